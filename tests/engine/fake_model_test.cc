// The fake that the engine's tests stand on: it resumes as a model does, and notices what a model
// would silently compute nonsense from.
#include "tests/support/fake_model.h"

#include <gtest/gtest.h>

#include "tests/support/model_runner.h"

namespace nextgate::engine {
namespace {

using nextgate::testing::ModelRunner;
using Tokens = std::vector<int32_t>;

Tokens Prompt(int count) {
  Tokens tokens;
  for (int i = 0; i < count; ++i) tokens.push_back((i * 31 + 11) % kFakeVocab);
  return tokens;
}

// Sequence 0 has computed 130 tokens; its states at 64 and 128 are in checkpoints 0 and 1.
struct Computed {
  Computed() { runner.Step({{0, tokens}}, {{0, 64, 0}, {0, 128, 1}}); }
  Tokens tokens = Prompt(130);
  FakeModel model;
  ModelRunner runner{model, 3, 320, 4};
};

TEST(FakeModel, ResumesOnSharedBlocksAndKeepsStates) {
  Computed c;
  for (const int border : {64, 128}) {
    c.runner.Resume(1, border, 0, border / 64 - 1);
    c.runner.Resume(2, border, 0, border / 64 - 1);
    Tokens history(c.tokens.begin(), c.tokens.begin() + border);
    Tokens other = history;
    const auto logits = c.runner.Step({{2, {5}}, {1, Prompt(70)}}, {{1, border + 64, 2}});
    other.push_back(5);
    EXPECT_EQ(logits[0], FakeLogits(other));
    for (size_t i = 0; i < 70; ++i) {
      history.push_back(Prompt(70)[i]);
      ASSERT_EQ(logits[1 + i], FakeLogits(history)) << i;
    }
    c.runner.Resume(2, border + 64, 1, 2);
    history.resize(static_cast<size_t>(border + 64));
    history.push_back(3);
    EXPECT_EQ(c.runner.Step({{2, {3}}})[0], FakeLogits(history));
  }
}

TEST(FakeModelDeathTest, NoticesAStateOfAnotherPosition) {
  Computed c;
  c.runner.Resume(1, 128, 0, 0);
  EXPECT_DEATH(c.runner.Step({{1, {1}}}), "after 64 tokens, its sequence has 128");
  c.runner.Resume(1, 128, 0, 3);  // which holds nothing
  EXPECT_DEATH(c.runner.Step({{1, {1}}}), "its sequence has 128");
}

TEST(FakeModelDeathTest, NoticesStepsThatBreakTheirPromises) {
  Computed c;
  const auto step = [&](const std::vector<ModelRunner::Emit>& emits) {
    c.runner.Step({{0, Prompt(130)}}, emits);  // from 130 on, over 192 and 256
  };
  EXPECT_DEATH(step({{0, 128, 2}}), "goes from 130 to 260");
  EXPECT_DEATH(step({{0, 200, 2}}), "goes from 130 to 260");
  EXPECT_DEATH(step({{0, 320, 2}}), "goes from 130 to 260");
  EXPECT_DEATH(step({{0, 256, 2}, {0, 192, 3}}), "not sorted");
  EXPECT_DEATH(step({{0, 192, 2}, {0, 256, 2}}), "checkpoint 2 is emitted to");
  EXPECT_DEATH(step({{0, 192, 4}}), "checkpoints.slots");
  EXPECT_DEATH(step({{1, 192, 2}}), "sequences.size");

  c.runner.Resume(1, 128, 0, 1);
  EXPECT_DEATH(c.runner.Step({{1, Prompt(70)}}, {{0, 192, 1}}), "checkpoint 1 is emitted to");
  c.runner.Restart(0);
  EXPECT_DEATH(c.runner.Step({{0, {1}}, {1, {1}}}), "is written to and in two tables");
}

}  // namespace
}  // namespace nextgate::engine
