// Resuming from a checkpoint against computing from the start: bit-equal with fp32, close with the
// smaller formats; by how much is printed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "engine/model/qwen3_next.h"
#include "tests/support/model_runner.h"

namespace nextgate::engine {
namespace {

using kernels::StateFormat;
using nextgate::testing::ModelRunner;
using Logits = std::vector<std::vector<float>>;
using Tokens = std::vector<int32_t>;

constexpr int kPositions = 512;
constexpr int kTokens = 330;  // borders at 64, 128, 192, 256 and 320
constexpr int kBorders = kTokens / kBlockTokens;

std::unique_ptr<Qwen3Next> LoadCase(const std::string& name, int threads) {
  auto model = Qwen3Next::Load({.dir = NEXTGATE_SOURCE_DIR "/tests/golden/data/models/" + name,
                                .step_tokens_max = 2 * kPositions,
                                .logit_rows_max = 2 * kPositions,
                                .positions_max = kPositions,
                                .num_threads = threads});
  EXPECT_TRUE(model) << model.error().message;
  return model ? std::move(*model) : nullptr;
}

class Resume : public ::testing::TestWithParam<const char*> {
 protected:
  Tokens RandomTokens(int count, const Qwen3Next& model) {
    Tokens tokens(static_cast<size_t>(count));
    for (auto& token : tokens)
      token = static_cast<int32_t>(random_() % static_cast<uint64_t>(model.config().vocab_size));
    return tokens;
  }

  // Lengths that add up to `count`, each up to `longest`.
  std::vector<int> Chunks(int count, int longest) {
    std::vector<int> chunks;
    for (; count > 0; count -= chunks.back())
      chunks.push_back(std::min(count, 1 + static_cast<int>(random_() % longest)));
    return chunks;
  }

  const uint32_t seed_ = std::random_device()();
  const ::testing::ScopedTrace trace_{__FILE__, __LINE__, "seed " + std::to_string(seed_)};
  std::mt19937 random_{seed_};
};

Tokens Slice(const Tokens& tokens, int begin, int count) {
  return {tokens.begin() + begin, tokens.begin() + begin + count};
}

// The states at the borders in (begin, begin + count] of one chunk: the one at 64 · (b + 1) goes to
// checkpoint first + b.
std::vector<ModelRunner::Emit> EmitsWithin(int chunk, int begin, int count, int first) {
  std::vector<ModelRunner::Emit> emits;
  for (int b = begin / kBlockTokens; kBlockTokens * (b + 1) <= begin + count; ++b)
    emits.push_back({chunk, kBlockTokens * (b + 1), first + b});
  return emits;
}

// Computes tokens [begin, …) of `sequence` in the chunks, keeping the state at each border.
Logits Compute(ModelRunner& runner, int sequence, const Tokens& tokens, int begin,
               const std::vector<int>& chunks, int first_checkpoint) {
  Logits logits;
  for (const int count : chunks) {
    const auto rows = runner.Step({{sequence, Slice(tokens, begin, count)}},
                                  EmitsWithin(0, begin, count, first_checkpoint));
    logits.insert(logits.end(), rows.begin(), rows.end());
    begin += count;
  }
  return logits;
}

Logits From(const Logits& logits, int position) {
  return {logits.begin() + position, logits.end()};
}

bool SameBytes(std::span<const std::byte> a, std::span<const std::byte> b) {
  return std::ranges::equal(a, b);
}

// Checkpoints made in one step, in random chunks, and token by token are the same bytes; a sequence
// that resumes from any of them, in any chunks, on other threads, gets the same bits, and keeps the
// same states further on.
TEST_P(Resume, FromAnyBorderIsBitEqualInAnyChunksOnAnyThreads) {
  Tokens tokens;
  Logits cold;
  for (const int threads : {1, 2, 3}) {
    SCOPED_TRACE(std::to_string(threads) + " threads");
    const auto model = LoadCase(GetParam(), threads);
    ASSERT_NE(model, nullptr);
    if (tokens.empty()) {
      tokens = RandomTokens(kTokens, *model);
      cold = ModelRunner(*model, 1, kPositions).Step({{0, tokens}});
    }
    ModelRunner runner(*model, 2, kPositions, 3 * kBorders);
    const auto same_as_first = [&](int first, int b = 0) {
      for (; b < kBorders; ++b)
        EXPECT_TRUE(SameBytes(runner.checkpoint(first + b), runner.checkpoint(b))) << b;
    };
    ASSERT_EQ(Compute(runner, 0, tokens, 0, {kTokens}, 0), cold);
    runner.Restart(0);
    ASSERT_EQ(Compute(runner, 0, tokens, 0, Chunks(kTokens, 90), kBorders), cold);
    same_as_first(kBorders);
    runner.Restart(0);
    ASSERT_EQ(Compute(runner, 0, tokens, 0, Chunks(kTokens, 1), 2 * kBorders), cold);
    same_as_first(2 * kBorders);

    for (int b = 0; b < kBorders; ++b) {
      const int border = kBlockTokens * (b + 1);
      for (const int longest : {kTokens, 70, 1}) {
        SCOPED_TRACE("from " + std::to_string(border) + " in chunks to " + std::to_string(longest));
        runner.Resume(1, border, 0, b);
        for (int later = b + 1; later < kBorders; ++later)
          runner.PoisonCheckpoint(kBorders + later);
        const auto chunks = longest == kTokens ? std::vector<int>{kTokens - border}
                                               : Chunks(kTokens - border, longest);
        ASSERT_EQ(Compute(runner, 1, tokens, border, chunks, kBorders), From(cold, border));
        same_as_first(kBorders, b + 1);
      }
    }
  }
}

// Three sequences resume from one checkpoint in one step, on shared blocks, each with another end,
// while a fourth decodes over a border and its state is kept.
TEST_P(Resume, OfSeveralFromOneCheckpointBesideOneThatDecodes) {
  const auto model = LoadCase(GetParam(), 2);
  ASSERT_NE(model, nullptr);
  ModelRunner runner(*model, 5, kPositions, 4);
  const Tokens shared = RandomTokens(2 * kBlockTokens, *model);
  const Tokens decoded = RandomTokens(kBlockTokens, *model);
  runner.Step({{0, shared}}, {{0, 2 * kBlockTokens, 3}});
  runner.Step({{4, Slice(decoded, 0, kBlockTokens - 1)}});
  std::vector<Tokens> ends;
  std::vector<ModelRunner::Chunk> step = {{4, {decoded.back()}}};
  for (int s = 1; s <= 3; ++s) {
    runner.Resume(s, 2 * kBlockTokens, 0, 3);
    ends.push_back(RandomTokens(1 + static_cast<int>(random_() % 80), *model));
    step.push_back({s, ends.back()});
  }
  const Logits warm = runner.Step(step, {{0, kBlockTokens, 1}});

  ModelRunner alone(*model, 1, kPositions, 1);
  ASSERT_EQ(alone.Step({{0, decoded}}, {{0, kBlockTokens, 0}}).back(), warm[0]);
  EXPECT_TRUE(SameBytes(alone.checkpoint(0), runner.checkpoint(1)));
  size_t row = 1;
  for (const Tokens& end : ends) {
    Tokens whole = shared;
    whole.insert(whole.end(), end.begin(), end.end());
    alone.Restart(0);
    for (const auto& expected : From(alone.Step({{0, whole}}), 2 * kBlockTokens))
      ASSERT_EQ(warm[row++], expected);
  }
}

// How far two distributions are from each other: Σ p log(p / q).
double Divergence(const std::vector<float>& p_logits, const std::vector<float>& q_logits) {
  const auto log_sum = [](const std::vector<float>& logits) {
    const double highest = *std::ranges::max_element(logits);
    double sum = 0;
    for (const float x : logits) sum += std::exp(x - highest);
    return highest + std::log(sum);
  };
  const double p_sum = log_sum(p_logits);
  const double q_sum = log_sum(q_logits);
  double divergence = 0;
  for (size_t i = 0; i < p_logits.size(); ++i) {
    const double p = p_logits[i] - p_sum;
    divergence += std::exp(p) * (p - (q_logits[i] - q_sum));
  }
  return divergence;
}

double RelativeDifference(const std::vector<float>& actual, const std::vector<float>& expected) {
  double difference = 0, norm = 0;
  for (size_t v = 0; v < expected.size(); ++v) {
    difference += std::pow(actual[v] - expected[v], 2);
    norm += std::pow(expected[v], 2);
  }
  return std::sqrt(difference / norm);
}

size_t Greedy(const std::vector<float>& logits) {
  return static_cast<size_t>(std::ranges::max_element(logits) - logits.begin());
}

// Of the rows after a border. A rounded state turns a near tie of a tiny model's router now and then,
// or a head's read that is nearly zero before its norm, and such a row differs much: the median shows
// the format, the tail these.
struct Spread {
  std::vector<double> values;
  double At(double of) {
    std::ranges::sort(values);
    return values[static_cast<size_t>(of * static_cast<double>(values.size() - 1))];
  }
  double Mean() const {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  }
};

TEST_P(Resume, FromSmallerFormatsIsClose) {
  const auto model = LoadCase(GetParam(), 2);
  ASSERT_NE(model, nullptr);
  random_.seed(
      1);  // the bounds are on what is typical, and random tokens through random weights are not always
  const Tokens tokens = RandomTokens(kTokens, *model);
  for (const StateFormat format : {StateFormat::kBf16, StateFormat::kInt8}) {
    ModelRunner runner(*model, 2, kPositions, kBorders, format);
    const Logits cold = Compute(runner, 0, tokens, 0, {kTokens}, 0);
    Spread difference, divergence;
    int changed = 0;
    for (int b = 0; b < kBorders; ++b) {
      const int border = kBlockTokens * (b + 1);
      runner.Resume(1, border, 0, b);
      const Logits warm = runner.Step({{1, Slice(tokens, border, kTokens - border)}});
      for (size_t r = 0; r < warm.size(); ++r) {
        const auto& expected = cold[static_cast<size_t>(border) + r];
        difference.values.push_back(RelativeDifference(warm[r], expected));
        divergence.values.push_back(Divergence(expected, warm[r]));
        changed += Greedy(warm[r]) != Greedy(expected);
      }
    }
    std::printf(
        "%-17s %s: logits differ by %.1e (median; 95%%: %.1e), divergence %.1e (95%%: %.1e, "
        "mean %.1e), greedy token changed in %d of %zu\n",
        GetParam(), StateFormatName(format), difference.At(0.5), difference.At(0.95),
        divergence.At(0.5), divergence.At(0.95), divergence.Mean(), changed,
        divergence.values.size());
    EXPECT_GT(difference.At(0.5), 0);  // it was the small format
    EXPECT_LE(difference.At(0.5), 0.01);
    EXPECT_LE(divergence.At(0.5), 1e-4);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, Resume,
                         ::testing::Values("bf16_base", "f32_wide_heads", "f16_tied_dense",
                                           "bf16_many_experts", "fp8_blocks"));

}  // namespace
}  // namespace nextgate::engine
