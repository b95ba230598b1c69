#include "tests/support/engine_client.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "engine/sampling/sampler.h"

namespace nextgate::engine {

using std::chrono::milliseconds;

Collected Collect(Generation& generation) {
  Collected all;
  while (all.finished == 0) {
    GenerationEvent event = generation.Next(milliseconds(1000));
    if (event.started) {
      EXPECT_TRUE(all.tokens.empty());
      ++all.started;
      all.start = std::move(*event.started);
    }
    for (auto& token : event.tokens) {
      EXPECT_EQ(all.started, 1) << "a token before Started";
      all.tokens.push_back(token.id);
      all.logprobs.push_back(std::move(token.logprobs));
    }
    if (event.finished) {
      ++all.finished;
      all.end = std::move(*event.finished);
    }
  }
  EXPECT_EQ(all.started, 1);
  return all;
}

Collected Expected(const GenerationRequest& request) {
  Collected all;
  Sampler sampler(kFakeVocab);
  const std::vector<int32_t> eos = {kFakeEos};
  RequestSampling sampling(request, eos, kFakeVocab, request.sampling.seed.value_or(0));
  std::vector<int32_t> history;
  for (const int32_t token : request.prompt) {
    if (!history.empty() && request.num_prompt_logprobs >= 0) {
      std::vector<float> logits = FakeLogits(history);
      all.start.prompt_logprobs.push_back(
          sampler.LogprobsOf({logits.data(), {kFakeVocab}}, token, request.num_prompt_logprobs));
    }
    history.push_back(token);
  }
  all.end = {.reason = FinishReason::kLength};
  while (static_cast<int32_t>(all.tokens.size()) < request.max_tokens) {
    std::vector<float> logits = FakeLogits(history);
    const auto sampled = sampler.Sample({logits.data(), {kFakeVocab}}, sampling,
                                        static_cast<int64_t>(history.size()), request.num_logprobs);
    const int32_t token = sampled->token;
    sampling.Accept(token);
    history.push_back(token);
    all.tokens.push_back(token);
    all.logprobs.push_back(sampled->logprobs);
    const auto& stops = request.stop_token_ids;
    const bool stop = (token == kFakeEos && !request.ignore_eos) ||
                      std::find(stops.begin(), stops.end(), token) != stops.end();
    if (stop && static_cast<int32_t>(all.tokens.size()) >= request.min_tokens) {
      all.end = {.reason = FinishReason::kStop, .stop_token = token};
      break;
    }
  }
  return all;
}

void ExpectEqual(const PositionLogprobs& a, const PositionLogprobs& b) {
  EXPECT_EQ(a.chosen.token, b.chosen.token);
  EXPECT_EQ(a.chosen.logprob, b.chosen.logprob);
  EXPECT_EQ(a.chosen.rank, b.chosen.rank);
  ASSERT_EQ(a.top.size(), b.top.size());
  for (size_t i = 0; i < a.top.size(); ++i) {
    EXPECT_EQ(a.top[i].token, b.top[i].token);
    EXPECT_EQ(a.top[i].logprob, b.top[i].logprob);
  }
}

void ExpectEqual(const Collected& got, const Collected& expected,
                 const GenerationRequest& request) {
  EXPECT_EQ(got.tokens, expected.tokens);
  EXPECT_EQ(got.end.reason, expected.end.reason) << got.end.error;
  EXPECT_EQ(got.end.stop_token, expected.end.stop_token);
  EXPECT_EQ(got.start.prompt_tokens, static_cast<int32_t>(request.prompt.size()));
  ASSERT_EQ(got.start.prompt_logprobs.size(), expected.start.prompt_logprobs.size());
  for (size_t i = 0; i < got.start.prompt_logprobs.size(); ++i)
    ExpectEqual(got.start.prompt_logprobs[i], expected.start.prompt_logprobs[i]);
  ASSERT_EQ(got.logprobs.size(), expected.logprobs.size());
  for (size_t i = 0; i < got.logprobs.size(); ++i) {
    ASSERT_EQ(got.logprobs[i].has_value(), request.num_logprobs >= 0);
    if (got.logprobs[i]) ExpectEqual(*got.logprobs[i], *expected.logprobs[i]);
  }
}

EngineConfig SmallConfig() {
  EngineConfig config;
  config.max_model_len = 512;
  config.max_num_seqs = 4;
  config.max_num_batched_tokens = 128;
  config.kv_tokens = 8 * kBlockTokens;
  return config;
}

std::unique_ptr<Engine> Open(const EngineConfig& config, FakeModel::OnForward on_forward,
                             FakeModel::OnLogits on_logits) {
  auto engine = Engine::Open(
      config, std::make_unique<FakeModel>(std::move(on_forward), std::move(on_logits)));
  EXPECT_TRUE(engine.has_value()) << engine.error().message;
  return std::move(*engine);
}

std::unique_ptr<Generation> Submit(Engine& engine, GenerationRequest request) {
  auto generation = engine.Submit(std::move(request));
  EXPECT_TRUE(generation.has_value()) << generation.error().message;
  return std::move(*generation);
}

GenerationRequest Greedy(std::vector<int32_t> prompt, int32_t max_tokens) {
  GenerationRequest request{.prompt = std::move(prompt), .max_tokens = max_tokens};
  request.sampling.temperature = 0;
  request.ignore_eos = true;
  return request;
}

GenerationRequest RandomRequest(std::mt19937& random) {
  GenerationRequest r;
  const size_t length = 1 + random() % (random() % 3 == 0 ? 250 : 40);
  while (r.prompt.size() < length) r.prompt.push_back(static_cast<int32_t>(random() % kFakeVocab));
  r.max_tokens = static_cast<int32_t>(random() % 130);
  r.sampling.temperature = random() % 2 ? 0.0 : 1.0;
  r.sampling.seed = random();
  if (random() % 3 == 0) r.sampling.top_k = 1 + static_cast<int32_t>(random() % 20);
  if (random() % 3 == 0) r.sampling.top_p = 0.8;
  if (random() % 4 == 0) r.sampling.repetition_penalty = 1.2;
  if (random() % 4 == 0) r.sampling.frequency_penalty = 0.5;
  if (random() % 4 == 0) r.sampling.logit_bias = {{kFakeEos, 3.0f}};
  if (random() % 4 == 0) r.min_tokens = r.max_tokens / 2;
  if (random() % 4 == 0) r.stop_token_ids = {3, 50};
  if (random() % 3 == 0) r.num_logprobs = static_cast<int32_t>(random() % 4);
  if (random() % 4 == 0) r.num_prompt_logprobs = static_cast<int32_t>(random() % 3);
  r.ignore_eos = random() % 2;
  r.priority = static_cast<int32_t>(random() % 3);
  return r;
}

void ExpectNothingHeld(const EngineStats& stats) {
  EXPECT_EQ(stats.running, 0);
  EXPECT_EQ(stats.waiting, 0);
  EXPECT_EQ(stats.kv_blocks_used, 0);
  EXPECT_EQ(stats.state_slots_used, 0);
}

EngineConfig RoomyConfig() {
  EngineConfig config = SmallConfig();
  config.max_model_len = 2048;
  config.max_num_batched_tokens = 512;
  config.kv_tokens = 4 * 2048;
  config.prefix_checkpoints = 200;
  return config;
}

std::vector<int32_t> Tokens(uint32_t seed, size_t count) {
  std::mt19937 random(seed);
  std::vector<int32_t> tokens(count);
  for (int32_t& token : tokens) token = static_cast<int32_t>(random() % kFakeVocab);
  return tokens;
}

int32_t CachedOf(Engine& engine, const GenerationRequest& request) {
  const Collected got = Collect(*Submit(engine, request));
  ExpectEqual(got, Expected(request), request);
  return got.start.cached_tokens;
}

}  // namespace nextgate::engine
