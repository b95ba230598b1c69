// The engine over real checkpoints: what a request gets depends on nothing but the request.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/model/step.h"
#include "tests/support/checkpoint_files.h"

namespace nextgate::engine {
namespace {

const std::string kGolden = NEXTGATE_SOURCE_DIR "/tests/golden/data/models/";

struct Answer {
  std::vector<int32_t> tokens;
  std::vector<float> logprobs;
  bool operator==(const Answer&) const = default;
};

EngineConfig Config(const std::string& dir, int32_t threads) {
  EngineConfig config;
  config.model_dir = dir;
  config.max_model_len = 512;
  config.max_num_seqs = 8;
  config.max_num_batched_tokens = 512;
  config.kv_tokens = 8 * 512;
  config.prefix_checkpoints = 64;
  config.num_threads = threads;
  return config;
}

std::unique_ptr<Engine> Open(const EngineConfig& config) {
  auto engine = Engine::Open(config);
  EXPECT_TRUE(engine.has_value()) << engine.error().message;
  return std::move(*engine);
}

std::vector<GenerationRequest> Requests(int32_t vocab) {
  std::mt19937 random(11);
  std::vector<GenerationRequest> requests;
  for (const int length : {5, 64, 1, 130, 33, 200, 65, 17}) {
    GenerationRequest r;
    for (int i = 0; i < length; ++i)
      r.prompt.push_back(static_cast<int32_t>(random() % static_cast<uint32_t>(vocab)));
    r.max_tokens = 80;
    r.ignore_eos = true;
    r.num_logprobs = 0;
    r.sampling.temperature = requests.size() % 2 ? 1.0 : 0.0;
    r.sampling.seed = 100 + requests.size();
    requests.push_back(r);
  }
  return requests;
}

Answer Collect(Generation& generation) {
  Answer answer;
  for (bool done = false; !done;) {
    const GenerationEvent event = generation.Next(std::chrono::milliseconds(1000));
    for (const auto& token : event.tokens) {
      answer.tokens.push_back(token.id);
      answer.logprobs.push_back(token.logprobs->chosen.logprob);
    }
    done = event.finished.has_value();
    if (done) {
      EXPECT_EQ(event.finished->reason, FinishReason::kLength) << event.finished->error;
    }
  }
  return answer;
}

std::vector<Answer> Together(Engine& engine, const std::vector<GenerationRequest>& requests) {
  std::vector<std::unique_ptr<Generation>> generations;
  for (const auto& request : requests) generations.push_back(*engine.Submit(request));
  std::vector<Answer> answers;
  for (auto& generation : generations) answers.push_back(Collect(*generation));
  return answers;
}

class RealModel : public ::testing::TestWithParam<const char*> {};

TEST_P(RealModel, AloneBatchedPreemptedChunkedAndThreadedGiveTheSameBits) {
  const std::string dir = kGolden + GetParam();
  const auto alone = Open(Config(dir, 1));
  const auto requests = Requests(alone->info().vocab_size);
  std::vector<Answer> expected;
  for (const auto& request : requests) expected.push_back(Together(*alone, {request})[0]);

  EXPECT_EQ(Together(*alone, requests), expected) << "batched with seven others";
  EXPECT_EQ(Together(*Open(Config(dir, 2)), requests), expected) << "two threads";

  EngineConfig tight = Config(dir, 2);
  tight.kv_tokens = 9 * kBlockTokens;
  tight.max_num_batched_tokens = 100;
  const auto preempting = Open(tight);
  for (int round = 0; round < 20 && preempting->Stats().preemptions == 0;
       ++round)  // they must meet
    EXPECT_EQ(Together(*preempting, requests), expected) << "preempted, in small chunks";
  EXPECT_GT(preempting->Stats().preemptions, 0u);

  EngineConfig whole = Config(dir, 2);
  whole.enable_chunked_prefill = false;
  EXPECT_EQ(Together(*Open(whole), requests), expected) << "prompts not interleaved";
}

// Warm answers have the bits of cold ones: prompts that end anywhere around a block, borders anywhere,
// with room and without, in any chunks.
TEST_P(RealModel, ResumedGivesTheBitsOfComputed) {
  const std::string dir = kGolden + GetParam();
  EngineConfig cold_config = Config(dir, 2);
  cold_config.enable_prefix_caching = false;
  const auto cold = Open(cold_config);
  std::mt19937 random(5);
  const auto vocab = static_cast<uint32_t>(cold->info().vocab_size);
  const auto more = [&](std::vector<int32_t> tokens, size_t count) {
    for (size_t i = 0; i < count; ++i) tokens.push_back(static_cast<int32_t>(random() % vocab));
    return tokens;
  };
  const std::vector<int32_t> shared = more({}, 150);
  std::vector<GenerationRequest> requests;
  for (const int32_t border : {64, 100, 128, 150})
    for (const size_t own : {1, 42, 63, 64, 65, 128}) {
      GenerationRequest r{.max_tokens = 20, .ignore_eos = true, .num_logprobs = 0};
      r.prompt = more({shared.begin(), shared.begin() + border}, own);
      r.message_borders = {border};
      r.sampling.temperature = requests.size() % 2 ? 1.0 : 0.0;
      r.sampling.seed = requests.size();
      requests.push_back(r);
    }
  std::vector<Answer> expected;
  for (const auto& request : requests) expected.push_back(Together(*cold, {request})[0]);
  ASSERT_EQ(cold->Stats().prefix.resumed_tokens, 0u);

  // Copying down happens behind the answers: a slow disk needs more rounds until there is `enough`.
  const auto expect_same = [&](Engine& engine, const char* how, const auto& enough) {
    for (int round = 0; round < 50 && (round == 0 || !enough(engine.Stats().prefix)); ++round)
      for (size_t i = 0; i < requests.size(); ++i)
        EXPECT_EQ(Together(engine, {requests[i]})[0], expected[i]) << how << ", " << i;
    EXPECT_TRUE(enough(engine.Stats().prefix)) << how;
  };
  const auto expect_equal = [&](const EngineConfig& config, const char* how, const auto& enough) {
    const auto warm = Open(config);
    EXPECT_EQ(Together(*warm, requests), expected) << how << ", at once";
    expect_same(*warm, how, enough);
  };
  const auto resumes = [](const PrefixStats& stats) { return stats.resumed_tokens > 2'000; };
  expect_equal(Config(dir, 2), "with room", resumes);
  EngineConfig one_memory = Config(dir, 2);
  one_memory.kv_tokens = 0;
  one_memory.prefix_checkpoints = -1;
  one_memory.max_num_seqs = 4;  // the memory is sized by their lengths
  expect_equal(one_memory, "states and blocks in one memory", [&](const PrefixStats& stats) {
    return resumes(stats) && stats.blocks_evicted + stats.checkpoints_evicted > 20;
  });
  EngineConfig whole = Config(dir, 2);
  whole.enable_chunked_prefill = false;
  expect_equal(whole, "prompts not interleaved", resumes);
  EngineConfig tight = Config(dir, 1);
  tight.kv_tokens = 9 * kBlockTokens;
  tight.max_num_batched_tokens = 100;
  tight.prefix_checkpoints = 5;
  expect_equal(tight, "tight, in small chunks", [&](const PrefixStats& stats) {
    return resumes(stats) && stats.checkpoints_evicted + stats.blocks_evicted > 20;
  });

  const auto loads = [](const PrefixStats& stats) { return stats.tiers[0].loaded > 3; };
  tight.prefix_host_bytes = 32 << 20;
  expect_equal(tight, "tight, with a host tier", loads);
  const nextgate::testing::TempDir disk;
  tight.prefix_host_bytes = 0;
  tight.prefix_disk_dir = disk.path();
  expect_equal(tight, "tight, with a disk tier", loads);
  const auto restarted = Open(tight);
  EXPECT_GT(restarted->Stats().prefix.tiers[0].discovered, 0u);
  expect_same(*restarted, "after a restart", loads);
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, RealModel,
                         ::testing::Values("bf16_base", "f32_wide_heads", "fp8_blocks"));

TEST(EnginePromptLogprobs, AreThoseTheSameTokensHadWhenGenerated) {
  const auto engine = Open(Config(kGolden + "bf16_base", 2));
  GenerationRequest request{.prompt = {1, 2, 3}, .max_tokens = 70, .ignore_eos = true};
  request.num_logprobs = 0;
  request.sampling.temperature = 0;
  const Answer answer = Together(*engine, {request})[0];
  GenerationRequest echo{.prompt = request.prompt, .max_tokens = 0};
  echo.prompt.insert(echo.prompt.end(), answer.tokens.begin(), answer.tokens.end());
  echo.num_prompt_logprobs = 0;
  auto generation = engine->Submit(echo);
  ASSERT_TRUE(generation.has_value());
  GenerationEvent event;
  while (!event.started) event = (*generation)->Next(std::chrono::milliseconds(1000));
  ASSERT_EQ(event.started->prompt_logprobs.size(), 72u);
  for (size_t i = 0; i < answer.tokens.size(); ++i) {
    EXPECT_EQ(event.started->prompt_logprobs[2 + i].chosen.logprob, answer.logprobs[i]) << i;
    EXPECT_EQ(event.started->prompt_logprobs[2 + i].chosen.rank, 1);
  }
}

}  // namespace
}  // namespace nextgate::engine
