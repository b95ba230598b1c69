// The peers' policies reuse what the peers themselves reused: one H200, the whole 80B shape, prompts of
// token ids, 2026-11-23. vLLM 0.26.0 ran with steps of 2,048 tokens and blocks of 544, SGLang 0.5.16
// with `extra_buffer` and chunks of 8,192.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "bench/prefix_sim/sglang_extra_buffer.h"
#include "bench/prefix_sim/traces.h"
#include "bench/prefix_sim/vllm_align.h"

namespace nextgate::prefix_sim {
namespace {

constexpr int32_t kAnswer = 16;

VllmAlign Vllm(int64_t batched_tokens = 2048) {
  return VllmAlign({.name = "vllm", .batched_tokens = batched_tokens},
                   {.bytes = 40 * kGiB, .state_bytes = StateBytes(2)});
}
SglangExtraBuffer Sglang() {
  return SglangExtraBuffer({.name = "sglang"}, {.bytes = 40 * kGiB, .state_bytes = StateBytes(4)});
}

std::vector<int32_t> ReusedBy(Policy&& policy, const Trace& trace) {
  std::vector<int32_t> reused;
  Generate(trace, [&](const Request& request) { reused.push_back(policy.Serve(request)); });
  policy.check_integrity();
  return reused;
}

struct Sighted {
  int32_t beginning;
  int32_t end;
  std::vector<int32_t> vllm;
  std::vector<int32_t> sglang;
};

class PeersSighting : public testing::TestWithParam<Sighted> {
 protected:
  static Trace FiveTimes() {
    return {.name = "sightings",
            .seed = 1,
            .kind = Sightings{
                .times = 5, .answer = kAnswer, .rows = {{GetParam().beginning, GetParam().end}}}};
  }
};

TEST_P(PeersSighting, VllmReusesWhatItReused) {
  EXPECT_EQ(ReusedBy(Vllm(), FiveTimes()), GetParam().vllm);
}
TEST_P(PeersSighting, SglangReusesWhatItReused) {
  EXPECT_EQ(ReusedBy(Sglang(), FiveTimes()), GetParam().sglang);
}

INSTANTIATE_TEST_SUITE_P(
    Measured, PeersSighting,
    testing::Values(
        Sighted{64, 64, {0, 0, 0, 0, 0}, {0, 0, 64, 64, 64}},
        Sighted{512, 64, {0, 0, 0, 0, 0}, {0, 0, 512, 512, 512}},
        Sighted{1024, 128, {0, 0, 544, 544, 544}, {0, 0, 1024, 1024, 1024}},
        Sighted{2048, 128, {0, 1632, 1632, 1632, 1632}, {0, 0, 2048, 2048, 2048}},
        Sighted{4096, 256, {0, 3264, 3808, 3808, 3808}, {0, 0, 4096, 4096, 4096}},
        Sighted{8192, 512, {0, 8160, 8160, 8160, 8160}, {0, 8192, 8192, 8192, 8192}},
        Sighted{12000, 512, {0, 11424, 11968, 11968, 11968}, {0, 8192, 11968, 11968, 11968}}),
    [](const auto& row) {
      return std::to_string(row.param.beginning) + "_" + std::to_string(row.param.end);
    });

Trace SixTurns() {
  return {.name = "conversation",
          .seed = 1,
          .kind = Conversation{.first = 1500, .answer = 200, .user = 100, .turns = 6}};
}

TEST(PeersConversation, VllmReusesWhatItReused) {
  EXPECT_THAT(ReusedBy(Vllm(), SixTurns()), testing::ElementsAre(0, 1632, 1632, 2176, 2176, 2720));
}
TEST(PeersConversation, SglangReusesWhatItReused) {
  EXPECT_THAT(ReusedBy(Sglang(), SixTurns()),
              testing::ElementsAre(0, 1536, 1792, 2048, 2560, 2816));
}

// Steps end on the grid, at the prompt's last grid position, and at the junction.
TEST(VllmStepEnd, IsWhereTheSchedulerStops) {
  const VllmAlignConfig config = {.batched_tokens = 2048};
  const auto end = [&](VllmStep step) { return VllmStepEnd(step, config); };
  EXPECT_EQ(end({.start = 0, .prompt = 500}), 500);
  EXPECT_EQ(end({.start = 0, .prompt = 1152}), 1088);
  EXPECT_EQ(end({.start = 1088, .prompt = 1152}), 1152);
  EXPECT_EQ(end({.start = 0, .prompt = 2176}), 1632);
  EXPECT_EQ(end({.start = 1632, .prompt = 2176}), 2176);
  EXPECT_EQ(end({.start = 0, .prompt = 1152, .junction = 544}), 544);
  EXPECT_EQ(end({.start = 544, .prompt = 9000, .junction = 4352}), 2176);  // not in this step
  EXPECT_EQ(end({.start = 3808, .prompt = 9000, .junction = 4352}), 4352);
}

// With a step of 8,192 a prompt of 1,600 + 600 is one step, whose state lies in the end.
TEST(VllmAlign, ReusesNothingWhenItsOneCheckpointFallsIntoTheUniqueEnd) {
  const Trace trace = {.name = "late",
                       .seed = 1,
                       .kind = Sightings{.times = 2, .answer = kAnswer, .rows = {{1600, 600}}}};
  EXPECT_THAT(ReusedBy(Vllm(8192), trace), testing::ElementsAre(0, 0));
}

TEST(SglangExtraBuffer, DividesTheBytesNineToTen) {
  const SglangExtraBuffer policy = Sglang();
  EXPECT_EQ(policy.slots_total(), 263);
  const int64_t states = policy.slots_total() * StateBytes(4);
  EXPECT_EQ(policy.pages_total(), (40 * kGiB - states) / kKvBlockBytes);
}

}  // namespace
}  // namespace nextgate::prefix_sim
