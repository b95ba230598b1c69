#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/attention/attention_prologue.h"
#include "kernels/attention/paged_attention.h"
#include "tests/support/random_tensor.h"

namespace nextgate::kernels {
namespace {

using testing::Matches;
using testing::Matrix;
using testing::Owned;
using testing::Random;
using testing::TestExec;

struct Dims {
  int64_t heads, kv_heads, dim, rotary;
};
constexpr Dims kDims[] = {{4, 2, 16, 4}, {3, 1, 20, 20}, {16, 2, 256, 64}, {2, 2, 7, 2}};

// KV for `blocks` blocks, poisoned.
struct Kv {
  Kv(const Dims& d, int64_t blocks)
      : k({blocks, d.kv_heads, kBlockTokens, d.dim}),
        v({blocks, d.kv_heads, kBlockTokens, d.dim}) {}
  PagedKv paged() const { return {k.view, v.view}; }
  Owned<float, 4> k, v;
};

std::vector<float> Frequencies(int64_t rotary) {
  std::vector<float> frequencies;
  for (int64_t i = 0; i < rotary / 2; ++i)
    frequencies.push_back(
        std::pow(10000.0f, -2.0f * static_cast<float>(i) / static_cast<float>(rotary)));
  return frequencies;
}

// norm, then rotation of the first `rotary` dims: (x_i, x_{i + R}) by position · θ_i.
std::vector<double> NormRope(const float* x, const Dims& d, const std::vector<float>& weight,
                             int position, const std::vector<float>& frequencies) {
  double squares = 0;
  for (int64_t i = 0; i < d.dim; ++i) squares += std::pow(x[i], 2.0);
  std::vector<double> out;
  for (int64_t i = 0; i < d.dim; ++i)
    out.push_back(x[i] / std::sqrt(squares / static_cast<double>(d.dim) + 1e-6) *
                  (1 + weight[static_cast<size_t>(i)]));
  const auto half = static_cast<size_t>(d.rotary / 2);
  for (size_t i = 0; i < half; ++i) {
    const double angle = static_cast<double>(position) * frequencies[i];
    const double low = out[i];
    const double high = out[i + half];
    out[i] = low * std::cos(angle) - high * std::sin(angle);
    out[i + half] = high * std::cos(angle) + low * std::sin(angle);
  }
  return out;
}

TEST(AttentionPrologue, SplitsNormsRotatesAndWritesTheRightBlocks) {
  Random random;
  TestExec exec;
  for (const Dims& d : kDims) {
    const int64_t tokens = 5;
    const int32_t context = 62;  // crosses into the second block
    const std::vector<int32_t> table = {3, 1};
    const Matrix qkv = random.Tensor<2>({tokens, d.heads * 2 * d.dim + 2 * d.kv_heads * d.dim});
    const auto q_norm = random.Tensor<1>({d.dim}, 0.3f);
    const auto k_norm = random.Tensor<1>({d.dim}, 0.3f);
    const auto frequencies = Frequencies(d.rotary);
    Owned<float, 3> q({tokens, d.heads, d.dim});
    Matrix gate({tokens, d.heads * d.dim});
    Kv kv(d, 4);
    const SequenceSpan span{.token_begin = 0,
                            .token_count = static_cast<int32_t>(tokens),
                            .context_len = context,
                            .block_table = table};
    cpu::AttentionPrologue(q.view, gate.view, kv.paged(), qkv.view, {&span, 1},
                           {q_norm.view,
                            k_norm.view,
                            {frequencies.data(), {static_cast<int64_t>(frequencies.size())}},
                            1e-6f},
                           exec.exec);
    for (int64_t t = 0; t < tokens; ++t) {
      const int position = context + static_cast<int>(t);
      const int32_t block = table[static_cast<size_t>(position / kBlockTokens)];
      for (int64_t n = 0; n < d.heads; ++n) {
        const float* row = qkv.view.at(t, n * 2 * d.dim);
        const std::vector<float> actual(q.view.at(t, n), q.view.at(t, n) + d.dim);
        EXPECT_TRUE(Matches(actual, NormRope(row, d, q_norm.values, position, frequencies), 2e-6));
        EXPECT_TRUE(std::equal(row + d.dim, row + 2 * d.dim, gate.view.at(t, n * d.dim)));
      }
      for (int64_t m = 0; m < d.kv_heads; ++m) {
        const float* k = qkv.view.at(t, d.heads * 2 * d.dim + m * d.dim);
        const float* written = kv.k.view.at(block, m, position % kBlockTokens);
        EXPECT_TRUE(Matches({written, written + d.dim},
                            NormRope(k, d, k_norm.values, position, frequencies), 2e-6));
        EXPECT_TRUE(std::equal(k + d.kv_heads * d.dim, k + (d.kv_heads + 1) * d.dim,
                               kv.v.view.at(block, m, position % kBlockTokens)));
      }
    }
    EXPECT_TRUE(std::isnan(*kv.k.view.at(0)) && std::isnan(*kv.k.view.at(3, 0, 61)))
        << "wrote where it should not";
  }
}

TEST(PagedAttention, EqualsSoftmaxInDoubleOverScatteredBlocks) {
  Random random;
  for (const Dims& d : kDims) {
    const int64_t tokens = 3;
    const int32_t context = 130;
    const std::vector<int32_t> table = {4, 0, 2};
    TestExec exec(2);
    Kv kv(d, 5);
    for (auto* tensor : {&kv.k, &kv.v})
      for (int p = 0; p < context + tokens; ++p)
        for (int64_t m = 0; m < d.kv_heads; ++m)
          for (int64_t i = 0; i < d.dim; ++i)
            tensor->view.at(table[static_cast<size_t>(p / kBlockTokens)], m, p % kBlockTokens)[i] =
                random.Normal();
    const auto q = random.Tensor<3>({tokens, d.heads, d.dim});
    const Matrix gate = random.Tensor<2>({tokens, d.heads * d.dim});
    Matrix out({tokens, d.heads * d.dim});
    const SequenceSpan span{.token_begin = 0,
                            .token_count = static_cast<int32_t>(tokens),
                            .context_len = context,
                            .block_table = table};
    cpu::PagedAttention(out.view, q.view, gate.view, kv.paged(), {&span, 1}, 0.3f, exec.exec);
    std::vector<double> expected;
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t n = 0; n < d.heads; ++n) {
        std::vector<double> sum(static_cast<size_t>(d.dim), 0);
        double total = 0;
        for (int p = 0; p <= context + t; ++p) {
          const int32_t block = table[static_cast<size_t>(p / kBlockTokens)];
          const int64_t m = n * d.kv_heads / d.heads;
          double score = 0;
          for (int64_t i = 0; i < d.dim; ++i)
            score += static_cast<double>(q.view.at(t, n)[i]) *
                     kv.k.view.at(block, m, p % kBlockTokens)[i];
          const double weight = std::exp(0.3 * score);
          total += weight;
          for (int64_t i = 0; i < d.dim; ++i)
            sum[static_cast<size_t>(i)] += weight * kv.v.view.at(block, m, p % kBlockTokens)[i];
        }
        for (int64_t i = 0; i < d.dim; ++i)
          expected.push_back(sum[static_cast<size_t>(i)] / total /
                             (1 + std::exp(-static_cast<double>(gate.view.at(t, n * d.dim)[i]))));
      }
    }
    EXPECT_TRUE(Matches(out.values, expected, 2e-5)) << d.dim;
  }
}

// Both ops over one sequence of 150 tokens: at once, in chunks, token by token, beside a neighbour, on any
// number of threads, in any blocks.
TEST(PagedAttention, BitsDependNeitherOnBatchNorChunksNorThreads) {
  Random random;
  constexpr int32_t kTokens = 150;
  for (const Dims& d : kDims) {
    const int64_t width = d.heads * 2 * d.dim + 2 * d.kv_heads * d.dim;
    const Matrix qkv = random.Tensor<2>({kTokens, width});
    const Matrix other = random.Tensor<2>({kTokens, width});
    const auto q_norm = random.Tensor<1>({d.dim}, 0.3f);
    const auto k_norm = random.Tensor<1>({d.dim}, 0.3f);
    const auto frequencies = Frequencies(d.rotary);
    const AttentionPrologueWeights weights = {
        q_norm.view,
        k_norm.view,
        {frequencies.data(), {static_cast<int64_t>(frequencies.size())}},
        1e-6f};
    // The rows of the sequence, computed in steps of `chunk` tokens; `neighbour` runs before it in each step.
    const auto run = [&](int32_t chunk, int threads, std::vector<int32_t> table, bool neighbour) {
      TestExec exec(threads);
      Kv kv(d, 8);
      const std::vector<int32_t> other_table = {1, 3, 5};
      std::vector<float> rows;
      for (int32_t done = 0; done < kTokens; done += chunk) {
        const int32_t count = std::min(chunk, kTokens - done);
        const int32_t first = neighbour ? count : 0;
        Matrix input({first + count, width});
        if (neighbour) std::copy_n(other.view.at(done), count * width, input.view.at(0));
        std::copy_n(qkv.view.at(done), count * width, input.view.at(first));
        std::vector<SequenceSpan> spans;
        if (neighbour)
          spans.push_back({.token_count = count, .context_len = done, .block_table = other_table});
        spans.push_back({.token_begin = first,
                         .token_count = count,
                         .context_len = done,
                         .block_table = table});
        Owned<float, 3> q({first + count, d.heads, d.dim});
        Matrix gate({first + count, d.heads * d.dim});
        Matrix out({first + count, d.heads * d.dim});
        cpu::AttentionPrologue(q.view, gate.view, kv.paged(), input.view, spans, weights,
                               exec.exec);
        cpu::PagedAttention(out.view, q.view, gate.view, kv.paged(), spans, 0.3f, exec.exec);
        rows.insert(rows.end(), out.view.at(first), out.values.data() + out.values.size());
      }
      return rows;
    };
    const std::vector<float> whole = run(kTokens, 1, {0, 2, 4}, false);
    ASSERT_TRUE(std::isfinite(whole.back()));
    EXPECT_EQ(run(kTokens, 3, {7, 0, 6}, false), whole) << d.dim << ": threads, blocks";
    EXPECT_EQ(run(kTokens, 2, {0, 2, 4}, true), whole) << d.dim << ": a neighbour";
    EXPECT_EQ(run(37, 2, {0, 2, 4}, false), whole) << d.dim << ": chunks";
    EXPECT_EQ(run(1, 1, {4, 2, 0}, true), whole) << d.dim << ": token by token";
  }
}

}  // namespace
}  // namespace nextgate::kernels
