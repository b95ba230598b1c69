#include "cache/answer.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace nextgate::cache {
namespace {

TEST(Answer, GivesBackEveryDeltaOfEveryChoiceAsItWasSent) {
  struct Sent {
    int32_t choice;
    std::string text, logprobs, extras;
    std::vector<int32_t> tokens;
  };
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  const auto below = [&](int n) { return std::uniform_int_distribution<int>(0, n - 1)(random); };
  for (int round = 0; round < 50; ++round) {
    std::vector<Sent> sent(below(60));
    std::map<int32_t, std::string> bodies;
    AnswerBuilder builder;
    for (Sent& delta : sent) {
      delta.choice = below(3);
      delta.text = std::string(below(9), static_cast<char>('a' + below(26)));
      delta.tokens.assign(below(4), below(1000));
      if (below(2)) delta.logprobs = R"({"token":"x"})";
      if (below(5) == 0) delta.extras = R"({"tool_calls":[]})";
      bodies[delta.choice] += delta.text;
      builder.Append({.choice = delta.choice,
                      .text = delta.text,
                      .token_ids = delta.tokens,
                      .logprobs = delta.logprobs,
                      .extras = delta.extras});
    }
    const auto answer = builder.Finish(
        {.choices = {{.finish_reason = "stop"}, {.finish_reason = "length"}, {.stop_reason = "7"}},
         .usage = {.prompt_tokens = 5, .completion_tokens = 9, .cached_tokens = 2},
         .extras = "{}"});
    ASSERT_NE(answer, nullptr);
    ASSERT_EQ(answer->num_deltas(), sent.size());
    for (size_t i = 0; i < sent.size(); ++i) {
      const AnswerDelta got = answer->delta(i);
      EXPECT_EQ(got.choice, sent[i].choice);
      EXPECT_EQ(got.text, sent[i].text);
      EXPECT_EQ(std::vector(got.token_ids.begin(), got.token_ids.end()), sent[i].tokens);
      EXPECT_EQ(got.logprobs, sent[i].logprobs);
      EXPECT_EQ(got.extras, sent[i].extras);
    }
    for (int32_t choice = 0; choice < 3; ++choice)
      EXPECT_EQ(answer->ChoiceText(choice), bodies[choice]);
    EXPECT_EQ(answer->choices()[1].finish_reason, "length");
    EXPECT_EQ(answer->choices()[2].stop_reason, "7");
    EXPECT_EQ(answer->usage().cached_tokens, 2);
    EXPECT_EQ(answer->extras(), "{}");
  }
}

TEST(Answer, CountsTheBytesItHolds) {
  const auto size_of = [](size_t text, size_t tokens) {
    AnswerBuilder builder;
    builder.Append({.text = std::string(text, 'x'), .token_ids = std::vector<int32_t>(tokens, 1)});
    return builder.Finish({.choices = {{}}})->SizeBytes();
  };
  const size_t base = size_of(1000, 100);
  EXPECT_GE(base, 1000 + 100 * sizeof(int32_t));
  EXPECT_LE(base, 1000 + 100 * sizeof(int32_t) + 1024);
  EXPECT_EQ(size_of(6000, 100) - base, 5000u);
  EXPECT_EQ(size_of(1000, 350) - base, 1000u);
}

TEST(AnswerBuilder, GivesUpOnAnAnswerPastItsLimit) {
  AnswerBuilder builder(1000);
  builder.Append({.text = std::string(900, 'x')});
  EXPECT_FALSE(builder.overflowed());
  builder.Append({.text = std::string(101, 'x')});
  EXPECT_TRUE(builder.overflowed());
  builder.Append({.text = "more"});
  EXPECT_EQ(builder.Finish({.choices = {{}}}), nullptr);
}

}  // namespace
}  // namespace nextgate::cache
