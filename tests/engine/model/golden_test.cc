// The forward against Hugging Face transformers: tests/golden/make_model_goldens.py made the
// checkpoints and values.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <random>

#include "engine/model/qwen3_next.h"
#include "engine/model/safetensors.h"
#include "tests/support/model_runner.h"

namespace nextgate::engine {
namespace {

using nextgate::testing::ModelRunner;

const std::string kModels = NEXTGATE_SOURCE_DIR "/tests/golden/data/models/";
constexpr double kLogprobTolerance = 1e-3;
constexpr float kNearTie =
    0.01f;  // reference positions with a smaller gap between the best two are not compared
constexpr int kGenerated = 32;

template <class T>
std::vector<T> Values(const RawTensor& tensor) {
  std::vector<T> values(tensor.data.size() / sizeof(T));
  std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
  return values;
}

std::unique_ptr<Qwen3Next> LoadCase(const std::string& name, int threads = 2) {
  auto model = Qwen3Next::Load({.dir = kModels + name,
                                .step_tokens_max = 512,
                                .logit_rows_max = 512,
                                .positions_max = 512,
                                .num_threads = threads});
  EXPECT_TRUE(model) << model.error().message;
  return model ? std::move(*model) : nullptr;
}

double LogProb(const std::vector<float>& logits, int32_t token) {
  double highest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float x : logits) sum += std::exp(x - highest);
  return logits[static_cast<size_t>(token)] - highest - std::log(sum);
}

int32_t ArgMax(const std::vector<float>& logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

struct Prompt {
  int length;
  std::vector<int32_t> tokens;  // prompt and the reference's 32 greedy tokens
  std::vector<float> logprobs;
  std::vector<float> gaps;
};

std::vector<Prompt> PromptsOf(const SafetensorsFile& golden) {
  std::vector<Prompt> prompts;
  for (const auto& [name, tensor] : golden.tensors()) {
    if (!name.starts_with("tokens.")) continue;
    const std::string length = name.substr(7);
    prompts.push_back({std::stoi(length), Values<int32_t>(tensor),
                       Values<float>(golden.tensors().at("logprobs." + length)),
                       Values<float>(golden.tensors().at("gaps." + length))});
  }
  return prompts;
}

class Golden : public ::testing::TestWithParam<const char*> {};

TEST_P(Golden, GreedyTokensAndLogprobsEqualTheReference) {
  const auto golden = SafetensorsFile::Open(kModels + GetParam() + "/golden.safetensors");
  ASSERT_TRUE(golden) << golden.error().message;
  const auto model = LoadCase(GetParam());
  ASSERT_NE(model, nullptr);
  int compared = 0;
  int near_ties = 0;
  double worst = 0;
  for (const Prompt& prompt : PromptsOf(**golden)) {
    ASSERT_EQ(prompt.tokens.size(), static_cast<size_t>(prompt.length + kGenerated));
    // Fed with the reference's own tokens, so that every position is comparable; equal arguments of
    // the maximum at every position are equal greedy generations.
    const auto logits =
        ModelRunner(*model, 1, 512).Step({{0, {prompt.tokens.begin(), prompt.tokens.end() - 1}}});
    for (int i = 0; i < kGenerated; ++i) {
      const auto& row = logits[static_cast<size_t>(prompt.length - 1 + i)];
      const int32_t token = prompt.tokens[static_cast<size_t>(prompt.length + i)];
      ++compared;
      worst =
          std::max(worst, std::abs(LogProb(row, token) - prompt.logprobs[static_cast<size_t>(i)]));
      if (prompt.gaps[static_cast<size_t>(i)] < kNearTie) {
        ++near_ties;
      } else {
        EXPECT_EQ(ArgMax(row), token) << "prompt of " << prompt.length << ", position " << i;
      }
    }
  }
  EXPECT_LE(worst, kLogprobTolerance);
  EXPECT_LE(near_ties, compared / 20) << "of " << compared;
  RecordProperty("worst_logprob_difference", std::to_string(worst));
  std::printf("%s: %d positions, %d near ties, worst |logprob difference| %.2e\n", GetParam(),
              compared, near_ties, worst);
}

INSTANTIATE_TEST_SUITE_P(Cases, Golden,
                         ::testing::Values("bf16_base", "f32_wide_heads", "f16_tied_dense",
                                           "bf16_many_experts", "fp8_blocks"));

TEST(GoldenLayers, EveryLayerEqualsTheReference) {
  const auto golden = SafetensorsFile::Open(kModels + "bf16_base/golden.safetensors");
  ASSERT_TRUE(golden);
  const auto model = LoadCase("bf16_base");
  ASSERT_NE(model, nullptr);
  std::map<std::string, std::vector<float>> taps;
  model->SetTap([&](const std::string& name, kernels::View<const float, 2> rows) {
    auto& values = taps[name];
    for (int64_t t = 0; t < rows.shape[0]; ++t)
      values.insert(values.end(), rows.at(t), rows.at(t) + rows.shape[1]);
  });
  int beats = 0;
  model->SetHeartbeat([&] { ++beats; });
  const auto tokens = Values<int32_t>((*golden)->tensors().at("tokens.65"));
  ModelRunner(*model, 1, 128).Step({{0, {tokens.begin(), tokens.begin() + 65}}});
  int compared = 0;
  for (const auto& [name, tensor] : (*golden)->tensors()) {
    if (!name.starts_with("tap.")) continue;
    const auto expected = Values<float>(tensor);
    const auto& actual = taps[name.substr(4)];
    ASSERT_EQ(actual.size(), expected.size()) << name;
    double difference = 0;
    double norm = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      difference += std::pow(actual[i] - expected[i], 2);
      norm += std::pow(expected[i], 2);
    }
    EXPECT_LE(std::sqrt(difference / norm), 1e-5) << name;  // fp32, sums of some hundred terms
    ++compared;
  }
  EXPECT_EQ(compared, 2 + 2 * 4);  // embedding, final norm, and two a layer
  EXPECT_GE(beats, 4);             // /health stays green through a long forward
}

// --- bit equality: a sequence's logits depend on its own tokens only
// ---------------------------------------------

std::vector<int32_t> RandomTokens(std::mt19937& random, int count, int64_t vocab) {
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  for (auto& token : tokens) token = static_cast<int32_t>(random() % static_cast<uint64_t>(vocab));
  return tokens;
}

class BitEqual : public ::testing::TestWithParam<const char*> {};

TEST_P(BitEqual, AloneBatchedChunkedTokenByTokenAndOnAnyThreads) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto model = LoadCase(GetParam(), 1);
  ASSERT_NE(model, nullptr);
  const auto tokens = RandomTokens(random, 150, model->config().vocab_size);
  const auto whole = ModelRunner(*model, 1, 192).Step({{0, tokens}});

  for (const int threads : {2, 3}) {
    const auto other = LoadCase(GetParam(), threads);
    EXPECT_EQ(ModelRunner(*other, 1, 192).Step({{0, tokens}}), whole) << threads << " threads";
  }

  ModelRunner singly(*model, 1, 192);
  for (size_t i = 0; i < tokens.size(); ++i)
    ASSERT_EQ(singly.Step({{0, {tokens[i]}}})[0], whole[i]) << "token " << i;

  // In random chunks, beside seven others in random chunks, at a random place of the batch.
  ModelRunner crowd(*model, 8, 192);
  size_t done = 0;
  while (done < tokens.size()) {
    const size_t count = std::min(tokens.size() - done, size_t{1} + random() % 40);
    std::vector<ModelRunner::Chunk> chunks;
    for (int s = 1; s < 8; ++s) {
      crowd.Restart(s);
      chunks.push_back({s, RandomTokens(random, 1 + static_cast<int>(random() % 9),
                                        model->config().vocab_size)});
    }
    const size_t place = random() % 8;
    size_t rows_before = 0;
    for (size_t i = 0; i < place; ++i) rows_before += chunks[i].tokens.size();
    chunks.insert(chunks.begin() + static_cast<int64_t>(place),
                  {0,
                   {tokens.begin() + static_cast<int64_t>(done),
                    tokens.begin() + static_cast<int64_t>(done + count)}});
    const auto rows = crowd.Step(chunks);
    for (size_t i = 0; i < count; ++i)
      ASSERT_EQ(rows[rows_before + i], whole[done + i]) << "token " << done + i;
    done += count;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, BitEqual,
                         ::testing::Values("bf16_base", "f32_wide_heads", "f16_tied_dense",
                                           "fp8_blocks"));

}  // namespace
}  // namespace nextgate::engine
