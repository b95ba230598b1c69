// What the engine's own prefix cache reuses of the traces that the peers were measured with.
#include "bench/prefix_sim/ours.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string_view>
#include <vector>

#include "bench/prefix_sim/policies.h"
#include "bench/prefix_sim/replay.h"
#include "bench/prefix_sim/traces.h"

namespace nextgate::prefix_sim {
namespace {

using testing::ElementsAre;

std::vector<int32_t> Reused(const decltype(Trace::kind)& kind) {
  Ours policy({.name = "ours"}, {.bytes = 40 * kGiB, .state_bytes = StateBytes(2)});
  std::vector<int32_t> reused;
  Generate({.name = "trace", .seed = 1, .kind = kind}, [&](const Request& request) {
    reused.push_back(policy.Serve(request));
    policy.check_integrity();
  });
  return reused;
}

Sightings ThreeTimes(int32_t beginning, int32_t end, bool borders) {
  return {.times = 3, .answer = 16, .borders = borders, .rows = {{beginning, end}}};
}

TEST(Ours, ResumesABeginningThatEndsAtABorderFromTheSecondSighting) {
  EXPECT_THAT(Reused(ThreeTimes(64, 64, true)), ElementsAre(0, 64, 64));
  EXPECT_THAT(Reused(ThreeTimes(1100, 128, true)), ElementsAre(0, 1088, 1088));
  EXPECT_THAT(Reused(ThreeTimes(12'000, 512, true)), ElementsAre(0, 11'968, 11'968));
}

TEST(Ours, ResumesABeginningNobodyAnnouncedNearlyAtTheSecondAndWhollyAtTheThird) {
  EXPECT_THAT(Reused(ThreeTimes(64, 64, false)), ElementsAre(0, 64, 64));
  EXPECT_THAT(Reused(ThreeTimes(1100, 128, false)), ElementsAre(0, 1024, 1088));
  EXPECT_THAT(Reused(ThreeTimes(12'000, 512, false)), ElementsAre(0, 11'776, 11'968));
}

TEST(Ours, ResumesATurnWhereTheLastAnswerEnded) {
  EXPECT_THAT(Reused(Conversation{.first = 1500, .answer = 200, .user = 100, .turns = 6}),
              ElementsAre(0, 1664, 1984, 2240, 2560, 2880));
}

Outcome Replayed(const Trace& trace, std::string_view policy, int64_t gib) {
  const auto kind = std::ranges::find(PolicyKinds(), policy, &PolicyKind::name);
  std::vector<std::unique_ptr<Policy>> policies;
  policies.push_back(MakePolicy(*kind, gib * kGiB));
  const auto outcomes = Replay(trace, policies);
  EXPECT_TRUE(outcomes) << outcomes.error().message;
  return outcomes ? outcomes->front() : Outcome{};
}

TEST(Ours, RecomputesNoMoreThanVllmOnAnyTrace) {
  const auto traces = ReadTraces(NEXTGATE_SOURCE_DIR "/bench/prefix_sim/traces.json");
  ASSERT_TRUE(traces) << traces.error().message;
  for (const Trace& trace : *traces) {
    for (const int64_t gib : {4, 16, 40}) {
      const int64_t vllm = Replayed(trace, "vllm", gib).recomputed_tokens();
      for (const std::string_view ours : {"ours", "ours-int8"})
        EXPECT_LE(Replayed(trace, ours, gib).recomputed_tokens(), vllm)
            << trace.name << ", " << gib << " GiB, " << ours;
    }
  }
}

// The aim of half of vLLM's, where memory is neither so short nor so ample that nobody reaches it.
TEST(Ours, RecomputesHalfOfWhatVllmDoesInSixteenGiB) {
  const auto traces = ReadTraces(NEXTGATE_SOURCE_DIR "/bench/prefix_sim/traces.json");
  ASSERT_TRUE(traces) << traces.error().message;
  for (const Trace& trace : *traces) {
    if (trace.name != "chat" && trace.name != "agents") continue;
    EXPECT_LE(2 * Replayed(trace, "ours-int8", 16).recomputed_tokens(),
              Replayed(trace, "vllm", 16).recomputed_tokens())
        << trace.name;
  }
}

TEST(Ours, DividesItsBytesIntoPagesOfAStateOrTheBlocksThatAreAsLarge) {
  const int64_t page_bytes = 3 * kKvBlockBytes;
  const Ours policy({.name = "ours"}, {.bytes = StateBytes(4) + 104 * page_bytes + page_bytes / 2,
                                       .state_bytes = page_bytes - 1000});
  EXPECT_EQ(policy.TokensMax(), 100 * 3 * kBlockTokens) << "four are for states";
}

}  // namespace
}  // namespace nextgate::prefix_sim
