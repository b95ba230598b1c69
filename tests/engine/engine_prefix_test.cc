// What the prefix cache promises of the engine, over the model whose logits are a hash of everything it
// was given: whatever is resumed, the answers are those of a request alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <latch>
#include <random>
#include <semaphore>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "engine/engine.h"
#include "engine/engine_parts.h"
#include "tests/support/engine_client.h"
#include "tests/support/fake_model.h"

namespace nextgate::engine {
namespace {

using std::chrono::milliseconds;

// Conversations that branch: every prompt is some beginning of an earlier one's tokens, and new ones.
class Conversations {
 public:
  explicit Conversations(uint32_t seed) : random_(seed) {}

  GenerationRequest Next() {
    GenerationRequest r = RandomRequest(random_);
    r.cache_salt = std::vector<std::string>{"", "", "a", std::string("b\0c", 3)}[random_() % 4];
    if (!known_.empty() && random_() % 5 != 0) {
      const std::vector<int32_t>& old = known_[random_() % known_.size()];
      const size_t length = random_() % 4 == 0 ? old.size() : random_() % (old.size() + 1);
      r.prompt.assign(old.begin(), old.begin() + static_cast<int64_t>(length));
      const size_t more = random_() % 3 == 0 ? 0 : random_() % 100;
      for (size_t i = 0; i < more || r.prompt.empty(); ++i)
        r.prompt.push_back(static_cast<int32_t>(random_() % kFakeVocab));
      r.prompt.resize(std::min<size_t>(r.prompt.size(), 300));
    }
    for (size_t at = 1 + random_() % 80; at < r.prompt.size(); at += 1 + random_() % 80)
      (random_() % 4 ? r.message_borders : r.marked_borders).push_back(static_cast<int32_t>(at));
    return r;
  }
  void Heard(const GenerationRequest& request, const std::vector<int32_t>& tokens) {
    known_.push_back(request.prompt);
    known_.back().insert(known_.back().end(), tokens.begin(), tokens.end());
  }
  std::mt19937& random() { return random_; }

 private:
  std::mt19937 random_;
  std::vector<std::vector<int32_t>> known_;
};

struct Totals {
  PrefixStats prefix;
  uint64_t preemptions = 0;
};

// Thirty rounds of requests at once, some of which nobody waits for.
void Converse(Conversations* talk, Engine* engine, Totals* all) {
  for (int round = 0; round < 30; ++round) {
    std::vector<GenerationRequest> requests;
    std::vector<std::unique_ptr<Generation>> generations;
    for (size_t i = 0; i < 1 + talk->random()() % 6; ++i) {
      requests.push_back(talk->random()() % 4 == 0 && i > 0 ? requests.back() : talk->Next());
      generations.push_back(Submit(*engine, requests.back()));
    }
    for (size_t i = 0; i < requests.size(); ++i) {
      if (talk->random()() % 6 == 0) {
        generations[i].reset();
        continue;
      }
      const Collected got = Collect(*generations[i]);
      ExpectEqual(got, Expected(requests[i]), requests[i]);
      EXPECT_EQ(got.start.cached_tokens % kBlockTokens, 0);
      EXPECT_LT(got.start.cached_tokens, got.start.prompt_tokens);
      talk->Heard(requests[i], got.tokens);
    }
  }
  while (engine->Stats().requests_finished < engine->Stats().requests_submitted)
    std::this_thread::sleep_for(milliseconds(1));
  const EngineStats stats = engine->Stats();
  ExpectNothingHeld(stats);
  const PrefixStats& p = stats.prefix;
  EXPECT_EQ(p.matched_tokens, p.resumed_tokens + p.replayed_tokens + p.lost_tokens);
  EXPECT_LE(p.checkpoints_used, p.checkpoints_total);
  all->prefix.resumed_tokens += p.resumed_tokens;
  all->prefix.replayed_tokens += p.replayed_tokens;
  all->prefix.waits += p.waits;
  all->prefix.checkpoints_evicted += p.checkpoints_evicted;
  all->prefix.blocks_evicted += p.blocks_evicted;
  all->preemptions += stats.preemptions;
}

EngineConfig AnySmallConfig(uint32_t seed, Conversations* talk) {
  EngineConfig config = SmallConfig();
  config.max_num_seqs = 1 + static_cast<int32_t>(talk->random()() % 6);
  config.max_num_batched_tokens =
      config.max_num_seqs + kBlockTokens + static_cast<int32_t>(talk->random()() % 300);
  config.kv_tokens =
      static_cast<int64_t>(7 + talk->random()() % (seed % 2 ? 4 : 16)) * kBlockTokens;
  config.prefix_checkpoints = static_cast<int32_t>(talk->random()() % 14);
  config.enable_chunked_prefill = seed % 3 != 0;
  return config;
}

TEST(EnginePrefix, WhatIsResumedGivesWhatWouldBeComputed) {
  Totals all;
  for (uint32_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(seed);
    Conversations talk(seed);
    const EngineConfig config = AnySmallConfig(seed, &talk);
    const auto engine = Open(config);
    Converse(&talk, engine.get(), &all);
    EXPECT_EQ(engine->Stats().prefix.checkpoints_total, config.prefix_checkpoints);
  }
  EXPECT_GT(all.prefix.resumed_tokens, 20'000u);
  EXPECT_GT(all.prefix.replayed_tokens, 1'000u);
  EXPECT_GT(all.prefix.waits, 20u);
  EXPECT_GT(all.prefix.checkpoints_evicted, 100u);
  EXPECT_GT(all.prefix.blocks_evicted, 500u);
  EXPECT_GT(all.preemptions, 20u);
}

// Pages of which seven blocks' worth, the longest request here, are never a checkpoint's.
std::unique_ptr<Engine> OpenSharing(const EngineConfig& config, int32_t page_blocks,
                                    int32_t pages_more, FakeModel::OnForward on_forward = {}) {
  auto parts = BuildParts(config, std::make_unique<FakeModel>(std::move(on_forward)));
  EXPECT_TRUE(parts.has_value()) << parts.error().message;
  const ModelConfig& shape = parts->model->config();
  const int32_t pages_for_one = (7 + page_blocks - 1) / page_blocks;
  const auto pages =
      *PagePool::Open(page_blocks * KvPool::BlockBytes(shape), pages_for_one + pages_more, "pages");
  parts->kv = KvPool::OpenIn(shape, pages);
  parts->checkpoints =
      CheckpointPool::OpenIn(parts->checkpoints->storage().layout, pages, pages_more);
  return StartEngine(std::move(*parts));
}

TEST(EnginePrefix, SoItDoesWhereBlocksAndCheckpointsShareTheirMemory) {
  Totals all;
  for (uint32_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(seed);
    Conversations talk(seed);
    const EngineConfig config = AnySmallConfig(seed, &talk);
    const auto engine = OpenSharing(config, 1 + static_cast<int32_t>(talk.random()() % 5),
                                    1 + static_cast<int32_t>(talk.random()() % 8));
    Converse(&talk, engine.get(), &all);
  }
  EXPECT_GT(all.prefix.resumed_tokens, 20'000u);
  EXPECT_GT(all.prefix.replayed_tokens, 1'000u);
  EXPECT_GT(all.prefix.waits, 20u);
  EXPECT_GT(all.prefix.checkpoints_evicted, 500u);
  EXPECT_GT(all.prefix.blocks_evicted, 500u);
  EXPECT_GT(all.preemptions, 5u);
}

TEST(EnginePrefix, WhereNothingIsAskedForBlocksAndCheckpointsShareTheirMemory) {
  EngineConfig config = SmallConfig();
  config.kv_tokens = 0;
  const auto parts = BuildParts(config, std::make_unique<FakeModel>());
  ASSERT_TRUE(parts.has_value()) << parts.error().message;
  EXPECT_EQ(parts->kv->pages(), parts->checkpoints->pages());
  EXPECT_GE(
      parts->kv->blocks_total() - parts->checkpoints->slots_total() * parts->kv->page_blocks(),
      512 / kBlockTokens);
  config.prefix_checkpoints = 3;
  const auto apart = BuildParts(config, std::make_unique<FakeModel>());
  EXPECT_NE(apart->kv->pages(), apart->checkpoints->pages());
  EXPECT_EQ(apart->checkpoints->slots_total(), 3);
}

std::vector<int32_t> operator+(std::vector<int32_t> a, const std::vector<int32_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST(EnginePrefix, ASharedBeginningThatEndsAtABorderIsResumedByTheSecond) {
  for (const int32_t shared : {64, 100, 128, 200, 700, 1000}) {
    SCOPED_TRACE(shared);
    const auto engine = Open(RoomyConfig());
    for (uint32_t sighting = 1; sighting <= 4; ++sighting) {
      GenerationRequest request =
          Greedy(Tokens(1, static_cast<size_t>(shared)) + Tokens(sighting + 1, 90), 3);
      request.message_borders = {shared};
      EXPECT_EQ(CachedOf(*engine, request), sighting == 1 ? 0 : shared / 64 * 64) << sighting;
    }
  }
}

TEST(EnginePrefix, ARawOneWithAShortReplayByTheSecondAndExactlyByTheThird) {
  for (const int32_t shared : {64, 300, 700, 1000, 1023}) {
    SCOPED_TRACE(shared);
    const auto engine = Open(RoomyConfig());
    const int32_t exact = shared / 64 * 64;
    for (uint32_t sighting = 1; sighting <= 4; ++sighting) {
      const int32_t cached = CachedOf(
          *engine, Greedy(Tokens(1, static_cast<size_t>(shared)) + Tokens(sighting + 1, 90), 3));
      EXPECT_GE(cached, sighting == 1 ? 0 : sighting == 2 ? exact - 255 : exact) << sighting;
      EXPECT_LE(cached, sighting == 1 ? 0 : exact) << sighting;
    }
  }
}

// In one memory that is full of what others asked before: guesses have no worth of their own.
TEST(EnginePrefix, ARawOneIsResumedByTheSecondThoughNoMemoryIsFree) {
  EngineConfig config = RoomyConfig();
  config.prefix_checkpoints = 0;
  const auto engine = OpenSharing(config, /*page_blocks=*/2, /*pages_more=*/200);
  for (uint32_t i = 0; i < 40; ++i) {
    GenerationRequest request = Greedy(Tokens(1000 + i, 900), 3);
    request.message_borders = {200, 880};
    CachedOf(*engine, request);
  }
  EXPECT_GT(engine->Stats().prefix.blocks_evicted, 0u);
  for (uint32_t i = 0; i < 5; ++i)
    for (uint32_t sighting = 1; sighting <= 2; ++sighting) {
      const int32_t cached =
          CachedOf(*engine, Greedy(Tokens(i, 1000) + Tokens(10 * i + sighting, 90), 3));
      EXPECT_GE(cached, sighting == 1 ? 0 : 960 - 255) << i;
    }
}

// What answers keep of their states for later takes memory from nobody who runs.
TEST(EnginePrefix, NobodyIsPreemptedForWhatOnlyMightBeOfUse) {
  uint64_t steps[2] = {};
  uint64_t preemptions[2] = {};
  for (const bool caching : {false, true}) {
    EngineConfig config = RoomyConfig();
    config.enable_prefix_caching = caching;
    config.prefix_checkpoints = 0;
    std::latch submitted(1);
    const auto engine = OpenSharing(config, /*page_blocks=*/8, /*pages_more=*/6,
                                    [&](const StepInput&) { submitted.wait(); });
    std::vector<GenerationRequest> requests;
    std::vector<std::unique_ptr<Generation>> generations;
    for (uint32_t i = 0; i < 8; ++i) {
      requests.push_back(Greedy(Tokens(i, 200), 700));
      generations.push_back(Submit(*engine, requests.back()));
    }
    submitted.count_down();
    for (size_t i = 0; i < requests.size(); ++i)
      ExpectEqual(Collect(*generations[i]), Expected(requests[i]), requests[i]);
    preemptions[caching] = engine->Stats().preemptions;
    steps[caching] = engine->Stats().steps;
  }
  EXPECT_LE(preemptions[true], preemptions[false]);
  EXPECT_LE(steps[true], steps[false] + 20);
}

TEST(EnginePrefix, TheSamePromptAgainLeavesOneBlockAtMost) {
  const auto engine = Open(RoomyConfig());
  for (const int32_t length : {1, 63, 64, 65, 127, 128, 129, 640}) {
    const GenerationRequest request =
        Greedy(Tokens(static_cast<uint32_t>(length), static_cast<size_t>(length)), 2);
    EXPECT_EQ(CachedOf(*engine, request), 0);
    EXPECT_EQ(CachedOf(*engine, request), (length - 1) / 64 * 64) << length;
  }
}

TEST(EnginePrefix, TheNextTurnResumesWhereTheAnswerStopped) {
  const auto engine = Open(RoomyConfig());
  std::vector<int32_t> prompt = Tokens(1, 50);
  int32_t computed = 0;
  for (uint32_t turn = 0; turn < 12; ++turn) {
    const GenerationRequest request = Greedy(prompt, 17 + 13 * static_cast<int32_t>(turn % 5));
    const Collected got = Collect(*Submit(*engine, request));
    EXPECT_EQ(got.start.cached_tokens, computed / 64 * 64) << turn;
    // The last token of an answer is never computed.
    computed = static_cast<int32_t>(prompt.size() + got.tokens.size()) - 1;
    prompt = prompt + got.tokens + Tokens(100 + turn, 30);
  }
}

// A stop string ends an answer at the gateway, which cancels; the engine is some tokens further by then.
TEST(EnginePrefix, ATurnBehindAStopStringResumesBeforeIt) {
  std::binary_semaphore further(0);
  std::binary_semaphore go_on(0);
  std::atomic<bool> held = false;
  const auto engine = Open(RoomyConfig(), [&](const StepInput& input) {
    if (input.sequences.begin()->context_len < 130 || held.exchange(true)) return;
    further.release();
    go_on.acquire();
  });
  const GenerationRequest request = Greedy(Tokens(1, 50), 400);
  auto generation = Submit(*engine, request);
  further.acquire();
  generation->Cancel();
  go_on.release();
  EXPECT_EQ(Collect(*generation).end.reason, FinishReason::kCancelled);
  std::vector<int32_t> kept = Expected(request).tokens;
  kept.resize(70);  // up to token 120, between the borders that were passed
  EXPECT_EQ(CachedOf(*engine, Greedy(request.prompt + kept + Tokens(2, 30), 3)), 64);
}

TEST(EnginePrefix, ScopesShareNothingAndPromptLogprobsAreComputed) {
  const auto engine = Open(RoomyConfig());
  GenerationRequest request = Greedy(Tokens(1, 200), 2);
  EXPECT_EQ(CachedOf(*engine, request), 0);
  request.cache_salt = "tenant";
  EXPECT_EQ(CachedOf(*engine, request), 0);
  EXPECT_EQ(CachedOf(*engine, request), 192);
  request.num_prompt_logprobs = 1;
  EXPECT_EQ(CachedOf(*engine, request), 0);
  EXPECT_EQ(engine->Stats().prefix.lookups_limited, 1u);
}

TEST(EnginePrefix, AfterAnErrorNothingIsResumedThatMayHaveCausedIt) {
  const std::vector<int32_t> prompt = Tokens(1, 200);
  const std::vector<int32_t> broken = prompt + Tokens(2, 20);
  const auto engine = Open(RoomyConfig(), {}, [&](auto history, std::span<float> logits) {
    if (std::ranges::equal(history, broken)) std::ranges::fill(logits, std::nanf(""));
  });
  EXPECT_EQ(CachedOf(*engine, Greedy(prompt, 2)), 0);
  EXPECT_EQ(CachedOf(*engine, Greedy(prompt, 2)), 192);
  EXPECT_EQ(Collect(*Submit(*engine, Greedy(broken, 2))).end.reason, FinishReason::kError);
  EXPECT_EQ(CachedOf(*engine, Greedy(prompt, 2)), 0);
  EXPECT_EQ(CachedOf(*engine, Greedy(prompt, 2)), 192);
}

TEST(EnginePrefix, TheFirstGoesOnWhileOthersArePreemptedWhateverTheyShare) {
  for (const bool shared : {false, true}) {
    std::vector<int32_t> longest;  // context of each step
    std::binary_semaphore first_step(0);
    std::binary_semaphore go_on(0);
    EngineConfig config = SmallConfig();
    config.max_model_len = 7 * kBlockTokens;
    config.kv_tokens = (shared ? 7 : 8) * kBlockTokens;
    config.prefix_checkpoints = 0;  // who is preempted begins anew
    const auto engine = Open(config, [&](const StepInput& input) {
      longest.push_back(0);
      for (const auto& s : input.sequences)
        longest.back() = std::max(longest.back(), s.context_len);
      if (longest.size() > 1) return;
      first_step.release();
      go_on.acquire();
    });
    std::vector<GenerationRequest> requests;
    std::vector<std::unique_ptr<Generation>> generations;
    for (uint32_t i = 0; i < 3; ++i) {  // the first needs a fifth block when none is free
      requests.push_back(Greedy(Tokens(shared ? 0 : i, 65) + Tokens(i, i == 0 ? 61 : 5), 140));
      generations.push_back(Submit(*engine, requests.back()));
      if (i == 0) first_step.acquire();
    }
    go_on.release();
    for (size_t i = 0; i < requests.size(); ++i)
      ExpectEqual(Collect(*generations[i]), Expected(requests[i]), requests[i]);
    EXPECT_GT(engine->Stats().preemptions, 0u);
    ASSERT_GT(longest.size(), 140u);
    for (int32_t step = 1; step < 140; ++step) EXPECT_EQ(longest[step], 125 + step);
  }
}

TEST(EnginePrefix, ARequestThatLeavesNoTokenCostsNobodyWhatIsCached) {
  const auto engine = Open(RoomyConfig());
  const GenerationRequest request = Greedy(Tokens(1, 200), 2);
  EXPECT_EQ(CachedOf(*engine, request), 0);
  GenerationRequest none = Greedy(Tokens(2, 100), 2);
  none.min_tokens = 1;
  for (int32_t id = 0; id < kFakeVocab; ++id) none.stop_token_ids.push_back(id);
  GenerationRequest infinite = Greedy(Tokens(3, 100), 2);
  infinite.sampling.repetition_penalty = 1e-300;
  for (const auto& bad : {none, infinite}) {
    const Collected got = Collect(*Submit(*engine, bad));
    EXPECT_EQ(got.end.reason, FinishReason::kError);
    EXPECT_NE(got.end.error.find("leave none"), std::string::npos) << got.end.error;
  }
  EXPECT_EQ(CachedOf(*engine, request), 192);
}

TEST(EnginePrefix, SwitchedOffItKeepsNothing) {
  EngineConfig config = RoomyConfig();
  config.enable_prefix_caching = false;
  const auto engine = Open(config);
  const GenerationRequest request = Greedy(Tokens(1, 200), 80);
  EXPECT_EQ(CachedOf(*engine, request), 0);
  EXPECT_EQ(CachedOf(*engine, request), 0);
  const PrefixStats stats = engine->Stats().prefix;
  EXPECT_EQ(stats.blocks_cached + stats.checkpoints_total + static_cast<int32_t>(stats.lookups), 0);
}

// However many wait for one beginning, who comes behind them and does not is not held up.
TEST(EnginePrefix, ThoseWhoWaitHoldUpNobodyElse) {
  EngineConfig config = RoomyConfig();
  config.max_num_batched_tokens = kBlockTokens + 40;  // the beginning takes long
  std::latch submitted(1);
  std::vector<std::pair<int32_t, size_t>> steps;  // the longest context, sequences
  const auto engine = Open(config, [&](const StepInput& input) {
    submitted.wait();
    int32_t longest = 0;
    for (const auto& s : input.sequences) longest = std::max(longest, s.context_len);
    steps.emplace_back(longest, input.sequences.size());
  });
  std::vector<GenerationRequest> requests;
  for (uint32_t i = 0; i < 400; ++i) {
    requests.push_back(Greedy(Tokens(0, 1500) + Tokens(1 + i, 3), 1));
    requests.back().message_borders = {1500};
  }
  requests.push_back(Greedy(Tokens(1000, 5), 8));
  std::vector<std::unique_ptr<Generation>> generations;
  for (const auto& request : requests) generations.push_back(Submit(*engine, request));
  submitted.count_down();
  for (size_t i = 0; i < requests.size(); ++i)
    ExpectEqual(Collect(*generations[i]), Expected(requests[i]), requests[i]);
  const auto other = std::ranges::find_if(steps, [](const auto& s) { return s.second > 1; });
  ASSERT_NE(other, steps.end());
  EXPECT_LT(other->first, 1'000) << "it ran beside the beginning that all others wait for";
}

TEST(EnginePrefix, TwoAtOnceComputeTheirBeginningOnce) {
  std::atomic<int64_t> computed = 0;
  std::binary_semaphore first_step(0);
  std::binary_semaphore go_on(0);
  std::atomic<bool> held = false;
  const auto engine = Open(RoomyConfig(), [&](const StepInput& input) {
    computed += static_cast<int64_t>(input.token_ids.size());
    if (held.exchange(true)) return;
    first_step.release();
    go_on.acquire();
  });
  auto blocker = Submit(*engine, Greedy({1}, 1));
  first_step.acquire();
  std::vector<GenerationRequest> requests;
  std::vector<std::unique_ptr<Generation>> generations;
  for (int i = 0; i < 4; ++i) {  // n = 4
    requests.push_back(Greedy(Tokens(1, 1500), 1));
    generations.push_back(Submit(*engine, requests.back()));
  }
  go_on.release();
  for (size_t i = 0; i < requests.size(); ++i)
    ExpectEqual(Collect(*generations[i]), Expected(requests[i]), requests[i]);
  EXPECT_EQ(computed, 1 + 1500 + 3 * (1500 - 1472));
  EXPECT_EQ(engine->Stats().prefix.waits, 3u);
}

}  // namespace
}  // namespace nextgate::engine
