#include "engine/sampling/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <vector>

namespace nextgate::engine {
namespace {

constexpr int32_t kVocab = 13;
const std::vector<int32_t> kEos = {3, 11};

// The logits after every edit, by vLLM's formulas over the whole vocabulary.
std::vector<float> Reference(std::vector<float> x, const GenerationRequest& r,
                             const std::vector<int32_t>& output) {
  for (const auto& [token, bias] : r.sampling.logit_bias) x[token] += bias;
  std::map<int32_t, int> in_output;
  for (const int32_t token : output) ++in_output[token];
  for (int32_t v = 0; v < kVocab; ++v) {
    const bool in_prompt = std::find(r.prompt.begin(), r.prompt.end(), v) != r.prompt.end();
    if (in_prompt || in_output.count(v)) {
      const auto repetition = static_cast<float>(r.sampling.repetition_penalty);
      x[v] = x[v] > 0 ? x[v] / repetition : x[v] * repetition;
    }
    if (in_output.count(v)) {
      x[v] -= static_cast<float>(r.sampling.presence_penalty +
                                 r.sampling.frequency_penalty * in_output[v]);
    }
  }
  if (static_cast<int32_t>(output.size()) < r.min_tokens) {
    for (const int32_t token : kEos) x[token] = -std::numeric_limits<float>::infinity();
    for (const int32_t token : r.stop_token_ids)
      if (token < kVocab) x[token] = -std::numeric_limits<float>::infinity();
  }
  return x;
}

TEST(RequestSampling, EditsAreVllmsFormulasOverAnyHistory) {
  std::mt19937 random(99);
  for (int round = 0; round < 200; ++round) {
    GenerationRequest request;
    for (uint32_t i = 0; i < 1 + random() % 6; ++i) request.prompt.push_back(random() % kVocab);
    request.sampling.repetition_penalty = random() % 2 ? 1.0 : 1.3;
    request.sampling.presence_penalty = random() % 2 ? 0.0 : 0.7;
    request.sampling.frequency_penalty = random() % 2 ? 0.0 : -0.4;
    if (random() % 2) request.sampling.logit_bias = {{2, 1.5f}, {3, -4.0f}};
    request.min_tokens = static_cast<int32_t>(random() % 4);
    if (random() % 2) request.stop_token_ids = {5, 400};
    RequestSampling sampling(request, kEos, kVocab, 1);
    std::vector<int32_t> output;
    std::vector<float> row(kVocab);
    for (int step = 0; step < 8; ++step) {
      for (float& x : row) x = static_cast<float>(random() % 100) * 0.1f - 5.0f;
      std::vector<float> edited = row;
      std::vector<float> saved(sampling.edits().size());
      kernels::cpu::EditLogits({edited.data(), {kVocab}}, sampling.edits(), saved);
      const std::vector<float> expected = Reference(row, request, output);
      for (int32_t v = 0; v < kVocab; ++v)
        ASSERT_EQ(edited[v], expected[v])
            << "round " << round << " step " << step << " token " << v;
      output.push_back(static_cast<int32_t>(random() % kVocab));
      sampling.Accept(output.back());
    }
  }
}

TEST(RequestSampling, RaisesTinyTemperaturesButNotZero) {
  GenerationRequest request{.prompt = {1}};
  request.sampling.temperature = 1e-4;
  EXPECT_EQ(RequestSampling(request, {}, kVocab, 1).row(0).temperature, 0.01f);
  request.sampling.temperature = 0;
  EXPECT_EQ(RequestSampling(request, {}, kVocab, 1).row(0).temperature, 0.0f);
}

TEST(Sampler, LogprobsAreOfTheRawLogitsWhateverThePenalties) {
  Sampler sampler(kVocab);
  std::vector<float> row(kVocab, 0.0f);
  row[4] = 2.0f;
  row[6] = 1.0f;
  const std::vector<float> before = row;
  GenerationRequest request{.prompt = {1}};
  request.sampling.temperature = 0;
  request.sampling.logit_bias = {{6, 50.0f}};
  const RequestSampling sampling(request, {}, kVocab, 1);
  const auto sampled = sampler.Sample({row.data(), {kVocab}}, sampling, 1, 2);
  ASSERT_TRUE(sampled.has_value());
  EXPECT_EQ(sampled->token, 6);
  EXPECT_EQ(row, before);
  const double log_sum = std::log(std::exp(2.0) + std::exp(1.0) + 11);
  EXPECT_NEAR(sampled->logprobs->chosen.logprob, 1 - log_sum, 1e-6);
  EXPECT_EQ(sampled->logprobs->chosen.rank, 2);
  ASSERT_EQ(sampled->logprobs->top.size(), 2u);
  EXPECT_EQ(sampled->logprobs->top[0].token, 4);
  EXPECT_NEAR(sampled->logprobs->top[0].logprob, 2 - log_sum, 1e-6);
  EXPECT_EQ(sampled->logprobs->top[1].token, 6);
}

TEST(Sampler, SaysSoWhenEveryTokenIsForbidden) {
  Sampler sampler(2);
  std::vector<float> row = {1.0f, 2.0f};
  GenerationRequest request{.prompt = {1}, .min_tokens = 1, .stop_token_ids = {0, 1}};
  const auto sampled = sampler.Sample({row.data(), {2}}, RequestSampling(request, {}, 2, 1), 1, -1);
  ASSERT_FALSE(sampled.has_value());
  EXPECT_EQ(sampled.error().code, ErrorCode::kInvalidArgument);
}

TEST(Sampler, CapsTopLogprobsAtTheVocabulary) {
  Sampler sampler(kVocab);
  const std::vector<float> row(kVocab, 1.0f);
  EXPECT_EQ(sampler.LogprobsOf({row.data(), {kVocab}}, 0, 1000).top.size(),
            static_cast<size_t>(kVocab));
  EXPECT_TRUE(sampler.LogprobsOf({row.data(), {kVocab}}, 0, 0).top.empty());
}

}  // namespace
}  // namespace nextgate::engine
