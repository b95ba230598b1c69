#include "kernels/sampling/sampling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <set>
#include <vector>

#include "kernels/sampling/philox.h"

namespace nextgate::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

int32_t Sample(std::vector<float> logits, const SamplingRow& row) {
  const auto vocab = static_cast<int64_t>(logits.size());
  std::vector<std::byte> scratch(cpu::SamplingWorkspaceBytes(vocab));
  Exec exec;
  exec.workspace = {scratch.data(), scratch.size()};
  int32_t out = -7;
  cpu::SampleTokens({&out, {1}}, View<const float, 2>(logits.data(), {1, vocab}), {&row, 1}, exec);
  return out;
}

// The distribution the parameters define, from their definitions: sort, mask, renormalise.
std::vector<double> Distribution(const std::vector<float>& logits, const SamplingRow& row) {
  const size_t n = logits.size();
  std::vector<double> p(n);
  const double max = *std::max_element(logits.begin(), logits.end());
  for (size_t v = 0; v < n; ++v) p[v] = std::exp((logits[v] - max) / row.temperature);
  const auto normalise = [&p] {
    const double sum = std::accumulate(p.begin(), p.end(), 0.0);
    for (double& x : p) x /= sum;
  };
  normalise();
  const double p_max = *std::max_element(p.begin(), p.end());
  for (double& x : p)
    if (x < row.min_p * p_max) x = 0;
  if (row.top_k > 0 && row.top_k < static_cast<int32_t>(n)) {
    std::vector<double> sorted = p;
    std::sort(sorted.rbegin(), sorted.rend());
    const double least = sorted[row.top_k - 1];
    for (double& x : p)
      if (x < least) x = 0;
  }
  normalise();
  if (row.top_p < 1) {
    std::vector<int> order(n);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return p[a] > p[b]; });
    double before = 0;
    for (const int v : order) {
      const double own = p[v];
      if (before >= row.top_p) p[v] = 0;
      before += own;
    }
  }
  normalise();
  return p;
}

// Pearson's statistic of `draws` samples, and its degrees of freedom.
std::pair<double, int> ChiSquare(const std::vector<float>& logits, SamplingRow row, int draws,
                                 const std::vector<double>& expected) {
  std::vector<int> count(logits.size());
  for (int i = 0; i < draws; ++i) {
    row.position = static_cast<uint64_t>(i);
    const int32_t token = Sample(logits, row);
    if (token < 0 || token >= static_cast<int32_t>(logits.size())) return {kInfinity, 1};
    ++count[token];
  }
  double statistic = 0;
  int cells = 0;
  for (size_t v = 0; v < logits.size(); ++v) {
    if (expected[v] == 0) {
      if (count[v] != 0) return {kInfinity, 1};
      continue;
    }
    const double e = expected[v] * draws;
    statistic += (count[v] - e) * (count[v] - e) / e;
    ++cells;
  }
  return {statistic, cells - 1};
}

TEST(Philox, GivesTheKnownAnswersOfItsAuthors) {
  // Random123's kat_vectors, philox4x32 with 10 rounds.
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}),
            (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, UniformsStayBelowOneAndAreNamedBySeedAndPosition) {
  std::set<double> seen;
  double sum = 0;
  for (uint64_t seed = 0; seed < 10; ++seed) {
    for (uint64_t position = 0; position < 1000; ++position) {
      const double u = PhiloxUniform(seed, position);
      ASSERT_GE(u, 0);
      ASSERT_LT(u, 1);
      ASSERT_EQ(u, PhiloxUniform(seed, position));
      seen.insert(u);
      sum += u;
    }
  }
  EXPECT_EQ(seen.size(), 10'000u);
  EXPECT_NEAR(sum / 10'000, 0.5, 5 * std::sqrt(1.0 / 12 / 10'000));  // five sigma
  EXPECT_NE(PhiloxWord(1, 2, 0), PhiloxWord(1, 2, 1));
}

TEST(SampleTokens, GreedyTakesTheLowestIdAmongTheLargest) {
  for (const size_t vocab : {1, 2, 15, 16, 17, 97, 4096}) {
    std::mt19937 random(static_cast<uint32_t>(vocab));
    for (int round = 0; round < 20; ++round) {
      std::vector<float> logits(vocab);
      for (float& x : logits) x = static_cast<float>(static_cast<int>(random() % 9) - 4);
      const auto expected = std::max_element(logits.begin(), logits.end()) - logits.begin();
      ASSERT_EQ(Sample(logits, {.temperature = 0}), expected) << vocab;
    }
  }
}

TEST(SampleTokens, FindsTheLargestAtEveryPlace) {
  for (size_t place = 0; place < 97; ++place) {
    std::vector<float> logits(97, -3.5f);
    logits[place] = -3.25f;
    ASSERT_EQ(Sample(logits, {.temperature = 0}), static_cast<int32_t>(place));
  }
}

TEST(SampleTokens, RefusesRowsWithoutAFiniteMaximum) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const float temperature : {0.0f, 1.0f}) {
    for (const size_t place : {0u, 5u, 18u, 36u}) {
      std::vector<float> logits(37, 1.0f);
      logits[place] = nan;
      EXPECT_EQ(Sample(logits, {.temperature = temperature}), -1);
      logits[place] = kInfinity;
      EXPECT_EQ(Sample(logits, {.temperature = temperature}), -1);
      logits[place] = -kInfinity;
      EXPECT_NE(Sample(logits, {.temperature = temperature}), -1);
    }
    EXPECT_EQ(Sample(std::vector<float>(37, -kInfinity), {.temperature = temperature}), -1);
  }
}

// 99.9 % quantile of chi-square by Wilson and Hilferty's approximation.
double Quantile999(int freedom) {
  const double a = 2.0 / (9.0 * freedom);
  return freedom * std::pow(1 - a + 3.09 * std::sqrt(a), 3);
}

TEST(SampleTokens, FollowsTheDistributionItsParametersDefine) {
  const std::vector<float> logits = {1.5f, 0.2f, -1.0f, 2.0f, 0.0f, 1.0f, -0.5f, 0.9f, 1.9f, -2.0f};
  const std::vector<SamplingRow> cases = {
      {.temperature = 1},
      {.temperature = 0.5f},
      {.temperature = 2.0f},
      {.temperature = 1, .top_k = 3},
      {.temperature = 1, .top_p = 0.7f},
      {.temperature = 1, .min_p = 0.3f},
      {.temperature = 0.8f, .top_p = 0.9f, .min_p = 0.05f, .top_k = 6},
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    SamplingRow row = cases[i];
    row.seed = 1234 + i;
    const auto [statistic, freedom] = ChiSquare(logits, row, 20'000, Distribution(logits, row));
    EXPECT_LT(statistic, Quantile999(freedom)) << "case " << i;
  }
}

TEST(SampleTokens, TheTestOfDistributionsSeesAWrongTemperature) {
  const std::vector<float> logits = {1.5f, 0.2f, -1.0f, 2.0f, 0.0f};
  const auto [statistic, freedom] = ChiSquare(logits, {.temperature = 1.1f, .seed = 3}, 20'000,
                                              Distribution(logits, {.temperature = 1.0f}));
  EXPECT_GT(statistic, Quantile999(freedom));
}

TEST(SampleTokens, KeepsExactlyTheTokensThatBruteForceKeeps) {
  std::mt19937 random(20261123);
  for (int round = 0; round < 60; ++round) {
    std::vector<float> logits(1 + random() % 12);
    for (float& x : logits) x = static_cast<float>(random() % 40) * 0.1f;  // with ties
    SamplingRow row{
        .temperature = 0.5f + static_cast<float>(random() % 20) * 0.1f,
        .top_p = random() % 2 ? 1.0f : 0.05f + static_cast<float>(random() % 90) * 0.01f,
        .min_p = random() % 2 ? 0.0f : static_cast<float>(random() % 60) * 0.01f,
        .top_k = static_cast<int32_t>(random() % 8),
        .seed = random()};
    const std::vector<double> p = Distribution(logits, row);
    std::vector<bool> seen(logits.size());
    for (uint64_t position = 0; position < 4000; ++position) {
      row.position = position;
      const int32_t token = Sample(logits, row);
      ASSERT_GE(token, 0);
      seen[token] = true;
    }
    for (size_t v = 0; v < logits.size(); ++v) {
      if (p[v] == 0) {
        EXPECT_FALSE(seen[v]) << "round " << round << " token " << v;
      }
      if (p[v] > 0.01) {
        EXPECT_TRUE(seen[v]) << "round " << round << " token " << v;
      }
    }
  }
}

TEST(SampleTokens, TinyTopPStillKeepsTheFirst) {
  const std::vector<float> logits = {0, 0, 0, 0};
  for (uint64_t position = 0; position < 50; ++position)
    EXPECT_EQ(Sample(logits, {.temperature = 1, .top_p = 1e-6f, .position = position}), 0);
}

TEST(EditLogits, AppliesBiasThenRepetitionThenSubtraction) {
  std::vector<float> row = {2.0f, -2.0f, 1.0f, 0.5f, 3.0f};
  const std::vector<float> before = row;
  const std::vector<LogitEdit> edits = {{.token = 0, .repetition = 2.0f, .subtract = 0.25f},
                                        {.token = 1, .repetition = 2.0f},
                                        {.token = 2, .bias = -3.0f, .repetition = 2.0f},
                                        {.token = 4, .bias = 100.0f, .forbid = true}};
  std::vector<float> saved(edits.size());
  const View<float, 1> view(row.data(), {5});
  cpu::EditLogits(view, edits, saved);
  EXPECT_EQ(row, (std::vector<float>{0.75f, -4.0f, -4.0f, 0.5f, -kInfinity}));
  cpu::RestoreLogits(view, edits, saved);
  EXPECT_EQ(row, before);
}

TEST(Logprobs, AreTheLogSoftmaxWithVllmsRanks) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> row(211);
  for (float& x : row) x = normal(random);
  row[17] = row[4];
  long double sum = 0;
  for (const float x : row) sum += std::exp(static_cast<long double>(x));
  const View<const float, 1> view(row.data(), {211});
  const LogprobRow logprobs = cpu::RowLogprobs(view);
  std::vector<std::byte> scratch(cpu::SamplingWorkspaceBytes(211));
  Exec exec;
  exec.workspace = {scratch.data(), scratch.size()};
  for (const int v : {0, 4, 17, 210}) {
    EXPECT_NEAR(logprobs.Of(row[v]), static_cast<double>(row[v] - std::log(sum)), 2e-6);
    const auto rank = std::count_if(row.begin(), row.end(), [&](float x) { return x >= row[v]; });
    EXPECT_EQ(cpu::RankOf(view, row[v]), rank);
  }
  std::vector<TopToken> top(20);
  cpu::TopLogprobs(top, view, logprobs, exec);
  std::vector<int32_t> order(211);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return row[a] > row[b]; });
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(top[i].token, order[i]);
    EXPECT_EQ(top[i].logprob, logprobs.Of(row[order[i]]));
  }
}

}  // namespace
}  // namespace nextgate::kernels
