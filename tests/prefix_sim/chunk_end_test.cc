#include "bench/prefix_sim/chunk_end.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "bench/prefix_sim/random.h"

namespace nextgate::prefix_sim {
namespace {

constexpr int64_t kStateBytes = 4 * kKvBlockBytes;

ChunkEnd WithRoomFor(int64_t blocks, int64_t states) {
  return ChunkEnd(
      {.name = "chunk-end", .chunk_tokens = 256},
      {.bytes = blocks * kKvBlockBytes + (states + 1) * kStateBytes, .state_bytes = kStateBytes});
}

std::vector<int32_t> NewTokens(int32_t count) {
  static Random random(1);
  std::vector<int32_t> tokens;
  random.AppendTokens(count, &tokens);
  return tokens;
}

// Ends with one token of its own, so that all of `tokens` can be reused.
Request Asking(std::vector<int32_t> tokens) {
  tokens.push_back(-1);
  return {.prompt = tokens};
}

TEST(ChunkEnd, KeepsACheckpointWhereEachChunkEnds) {
  ChunkEnd policy = WithRoomFor(100, 10);
  const std::vector<int32_t> tokens = NewTokens(600);
  policy.Serve(Asking(tokens));
  EXPECT_EQ(policy.usage().state_bytes, 3 * kStateBytes);  // at 256, 512 and 576
  const auto reused_of_first = [&](int32_t count) {
    return policy.Serve(Asking({tokens.begin(), tokens.begin() + count}));
  };
  EXPECT_EQ(reused_of_first(255), 0);
  EXPECT_EQ(reused_of_first(500), 256);
  EXPECT_EQ(reused_of_first(600), 576);
}

TEST(ChunkEnd, ForgetsWhatWasUsedLongestAgo) {
  ChunkEnd policy = WithRoomFor(8, 2);  // two prompts of 256
  const auto a = NewTokens(256), b = NewTokens(256), c = NewTokens(256);
  policy.Serve(Asking(a));
  policy.Serve(Asking(b));
  EXPECT_EQ(policy.Serve(Asking(a)), 256);
  policy.Serve(Asking(c));  // b goes
  EXPECT_EQ(policy.Serve(Asking(a)), 256);
  EXPECT_EQ(policy.Serve(Asking(b)), 0);
  policy.check_integrity();
}

TEST(ChunkEnd, ACheckpointThatWasResumedFromIsYoungAgain) {
  ChunkEnd policy = WithRoomFor(13, 3);
  const auto a = NewTokens(256), b = NewTokens(256), c = NewTokens(256);
  auto longer = a;
  const auto end = NewTokens(64);
  longer.insert(longer.end(), end.begin(), end.end());
  policy.Serve(Asking(a));
  policy.Serve(Asking(b));
  EXPECT_EQ(policy.Serve(Asking(longer)), 256);
  policy.Serve(Asking(c));  // a fourth checkpoint: b's goes, and not a's
  EXPECT_EQ(policy.Serve(Asking(a)), 256);
  EXPECT_EQ(policy.Serve(Asking(b)), 0);
}

}  // namespace
}  // namespace nextgate::prefix_sim
