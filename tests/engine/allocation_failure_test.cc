// What happens when memory is refused: at the start an error that names it, afterwards nothing that a
// client could tell.
#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine_parts.h"
#include "engine/memory/lazy_buffer.h"
#include "tests/support/engine_client.h"
#include "tests/support/fake_model.h"

namespace nextgate::engine {
namespace {

int64_t AddressSpaceBytes() {
  int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * 4096;
}

TEST(LazyBuffer, SaysWhatTheSystemRefuses) {
  const auto refused = LazyBuffer::Open(size_t{1} << 60, "everything");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(refused.error().message,
            "cannot reserve 1152921504606846976 bytes for everything: Cannot allocate memory");
}

TEST(CheckpointPool, RefusesWhereNoneIsFreeOrItIsTold) {
  auto opened = CheckpointPool::Open(
      CheckpointLayoutOf(FakeModel().config(), kernels::StateFormat::kFp32), 2);
  CheckpointPool& pool = **opened;
  pool.Refuse(/*takes=*/1, /*count=*/2);
  EXPECT_EQ(pool.Take(), 0);
  EXPECT_EQ(pool.Take(), std::nullopt);
  EXPECT_EQ(pool.Take(), std::nullopt);
  EXPECT_EQ(pool.slots_free(), 1);
  EXPECT_EQ(pool.Take(), 1);
  EXPECT_EQ(pool.Take(), std::nullopt);
  pool.GiveBack(0);
  EXPECT_EQ(pool.Take(), 0) << "the one given back last";
  pool.check_integrity();
  EXPECT_DEATH(
      {
        pool.GiveBack(0);
        pool.GiveBack(0);
      },
      "given back twice");
}

TEST(EngineOpen, NamesWhatCouldNotBeReservedAndLeavesNothingBehind) {
  EngineConfig config = SmallConfig();
  config.kv_tokens = int64_t{1} << 22;  // 64 MiB
  config.prefix_checkpoints = 1000;
  const std::vector<std::string> pools = {"KV blocks", "checkpoints", "states", "logits"};
  for (size_t n = 0; n < pools.size(); ++n) {
    const int64_t before = AddressSpaceBytes();
    for (int round = 0; round < 40; ++round) {
      LazyBuffer::Refuse(static_cast<int32_t>(n));
      const auto engine = Engine::Open(config, std::make_unique<FakeModel>());
      ASSERT_FALSE(engine.has_value());
      ASSERT_EQ(engine.error().code, ErrorCode::kResourceExhausted);
      ASSERT_TRUE(engine.error().message.starts_with("cannot reserve ") &&
                  engine.error().message.find(" for " + pools[n] + ": ") != std::string::npos)
          << engine.error().message;
    }
    EXPECT_LT(AddressSpaceBytes() - before, int64_t{1} << 30)
        << pools[n];  // 40 × 64 MiB is 2.5 GiB
  }
  const auto engine = Open(config);
  const GenerationRequest request = Greedy({1, 2, 3}, 5);
  ExpectEqual(Collect(*Submit(*engine, request)), Expected(request), request);
}

// Turns of a conversation, branches of it, the same again.
std::vector<GenerationRequest> Talk() {
  std::vector<GenerationRequest> requests;
  std::vector<int32_t> tokens;
  for (int turn = 0; turn < 5; ++turn) {
    for (int i = 0; i < 60 + turn; ++i) tokens.push_back((i * i + turn) % kFakeVocab);
    requests.push_back(Greedy(tokens, 75));
    requests.back().message_borders = {70, static_cast<int32_t>(tokens.size())};
    const std::vector<int32_t> answer = Expected(requests.back()).tokens;
    tokens.insert(tokens.end(), answer.begin(), answer.begin() + 40);
    if (turn % 2 == 0) requests.push_back(requests.back());
  }
  return requests;
}

// The n-th checkpoint is refused, or it and all after it. How many were, in the end.
uint64_t RunRefusing(int32_t n, int32_t count, size_t at_once) {
  EngineConfig config = SmallConfig();
  config.max_model_len = 1024;
  config.kv_tokens = 32 * kBlockTokens;
  config.prefix_checkpoints = 100;  // more than there are blocks: none is refused otherwise
  auto parts = BuildParts(config, std::make_unique<FakeModel>());
  EXPECT_TRUE(parts.has_value());
  parts->checkpoints->Refuse(n, count);
  const auto engine = StartEngine(std::move(*parts));
  const std::vector<GenerationRequest> requests = Talk();
  for (size_t first = 0; first < requests.size(); first += at_once) {
    std::vector<std::unique_ptr<Generation>> generations;
    const size_t end = std::min(first + at_once, requests.size());
    for (size_t i = first; i < end; ++i) generations.push_back(Submit(*engine, requests[i]));
    for (size_t i = first; i < end; ++i)
      ExpectEqual(Collect(*generations[i - first]), Expected(requests[i]), requests[i]);
  }
  const EngineStats stats = engine->Stats();
  ExpectNothingHeld(stats);
  EXPECT_EQ(stats.prefix.blocks_cached, stats.prefix.blocks_idle);
  return stats.prefix.checkpoints_refused;
}  // the engine checks that nothing is lost as it stops

TEST(EnginePrefix, AnswersAreTheSameWhicheverCheckpointsAreRefused) {
  for (const size_t at_once : {1, 4}) {
    for (const int32_t count : {1, 3, std::numeric_limits<int32_t>::max()}) {
      int32_t n = 0;
      while (RunRefusing(n, count, at_once) > 0) {
        ASSERT_FALSE(HasFailure()) << n << " " << count << " " << at_once;
        ASSERT_LT(++n, 1000);
      }
      EXPECT_GT(n, 10) << "too few to tell";
    }
  }
}

}  // namespace
}  // namespace nextgate::engine
