// What holds for every policy, whatever it keeps: it reuses only what was computed before, fits into
// its budget, and its books balance.
#include "bench/prefix_sim/policies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "bench/prefix_sim/limit.h"
#include "bench/prefix_sim/random.h"
#include "bench/prefix_sim/replay.h"
#include "bench/prefix_sim/traces.h"

namespace nextgate::prefix_sim {
namespace {

// All but the yardstick, whose memory is endless.
std::vector<PolicyKind> Kinds() {
  std::vector<PolicyKind> kinds(PolicyKinds().begin(), PolicyKinds().end());
  std::erase_if(kinds, [](const PolicyKind& kind) { return kind.name == "limit"; });
  return kinds;
}

std::string Named(const testing::TestParamInfo<PolicyKind>& info) {
  std::string name(info.param.name);
  std::ranges::replace(name, '-', '_');
  return name;
}

class EveryPolicy : public testing::TestWithParam<PolicyKind> {
 protected:
  static std::unique_ptr<Policy> Make(int64_t gib) { return MakePolicy(GetParam(), gib * kGiB); }

  static Outcome Run(const Trace& trace, int64_t gib) {
    std::vector<std::unique_ptr<Policy>> policies;
    policies.push_back(Make(gib));
    const auto outcomes = Replay(trace, policies);
    EXPECT_TRUE(outcomes) << outcomes.error().message;
    return outcomes ? outcomes->front() : Outcome{};
  }
};

Trace SmallChat(uint64_t seed) {
  return {.name = "chat",
          .seed = seed,
          .kind = Chat{.requests = 300,
                       .active = 12,
                       .systems = 3,
                       .regenerated_percent = 20,
                       .edited_percent = 20,
                       .system = {100, 3000},
                       .turns = {2, 9},
                       .user = {20, 900},
                       .answer = {1, 900}}};
}

TEST_P(EveryPolicy, ReusesNoMoreThanWasComputedBefore) {
  for (const int64_t gib : {1, 4, 40}) {
    const auto policy = Make(gib);
    Limit limit("limit");
    Generate(SmallChat(gib), [&](const Request& request) {
      const int32_t reused = policy->Serve(request);
      // vLLM's grid is coarser than the limit's, so it may lie up to 63 tokens beyond it.
      EXPECT_LT(reused, limit.Serve(request) + kBlockTokens);
      EXPECT_LT(reused, static_cast<int32_t>(request.prompt.size()));
    });
  }
}

// Logits are needed, and a state cannot step back: 1,088 is on every policy's grid.
TEST_P(EveryPolicy, ComputesAtLeastOneTokenOfAPromptItKnowsWhole) {
  const auto policy = Make(4);
  Random random(1);
  Request request = {.borders = {1088}, .answer = {1}};
  random.AppendTokens(1088, &request.prompt);
  for (int time = 0; time < 4; ++time) EXPECT_LT(policy->Serve(request), 1088);
}

TEST_P(EveryPolicy, KeepsItsBooksAndItsBudget) {
  const auto policy = Make(1);
  Generate(SmallChat(7), [&](const Request& request) {
    policy->Serve(request);
    policy->check_integrity();
    EXPECT_LE(policy->usage().total_bytes(), kGiB);
  });
}

TEST_P(EveryPolicy, ServesTheLongestRequestItPromisesAfterOthers) {
  const auto policy = Make(1);
  Generate(SmallChat(8), [&](const Request& request) { policy->Serve(request); });
  Random random(1);
  Request longest = {.answer = {1}};
  random.AppendTokens(static_cast<int32_t>(policy->TokensMax()) - 1, &longest.prompt);
  longest.borders = {static_cast<int32_t>(longest.prompt.size())};
  EXPECT_EQ(policy->Serve(longest), 0);
  policy->check_integrity();
}

// 40 beginnings of 8,192 tokens, 8 GiB of KV.
Trace Circle() {
  return {.name = "cycle",
          .seed = 1,
          .kind = Cycle{.prefixes = 40, .rounds = 3, .prefix = 8192, .user = 640}};
}

TEST_P(EveryPolicy, ForgetsACircleThatIsLargerThanItsMemory) {
  EXPECT_EQ(Run(Circle(), 1).reused_tokens, 0);
}

TEST_P(EveryPolicy, RemembersACircleThatFits) {
  EXPECT_GT(Run(Circle(), 40).reused_tokens, 2 * 40 * 8000);
}

TEST_P(EveryPolicy, DoesTheSameAgain) {
  EXPECT_EQ(Run(SmallChat(3), 2).reused_tokens, Run(SmallChat(3), 2).reused_tokens);
}

TEST_P(EveryPolicy, ReusesMoreOfAChatWithMoreMemory) {
  EXPECT_LT(Run(SmallChat(3), 1).reused_tokens, Run(SmallChat(3), 16).reused_tokens);
}

INSTANTIATE_TEST_SUITE_P(All, EveryPolicy, testing::ValuesIn(Kinds()), Named);

TEST(Replay, SaysWhichRequestIsTooLong) {
  std::vector<std::unique_ptr<Policy>> policies;
  policies.push_back(MakePolicy(PolicyKinds().front(), kGiB));
  const Trace trace = {
      .name = "long", .seed = 1, .kind = Conversation{.first = 100'000, .user = 1, .turns = 1}};
  const auto outcomes = Replay(trace, policies);
  ASSERT_FALSE(outcomes);
  EXPECT_THAT(outcomes.error().message, testing::HasSubstr("long: a request of 100000 tokens"));
}

}  // namespace
}  // namespace nextgate::prefix_sim
