#include "kernels/attention/self_attention.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/random_tensor.h"

namespace nextgate::kernels {
namespace {

using testing::Matches;
using testing::Matrix;
using testing::Random;
using testing::TestExec;

// One sequence, rows [begin, end) of qkv, in double.
std::vector<double> Attended(const Matrix& qkv, int64_t begin, int64_t end, int64_t heads) {
  const int64_t width = qkv.view.shape[1] / 3;
  const int64_t dim = width / heads;
  std::vector<double> out;
  for (int64_t i = begin; i < end; ++i) {
    for (int64_t column = 0; column < width; ++column) {
      const int64_t first = column / dim * dim;  // of its head
      double sum = 0, total = 0;
      for (int64_t j = begin; j < end; ++j) {
        double score = 0;
        for (int64_t d = first; d < first + dim; ++d)
          score += static_cast<double>(*qkv.view.at(i, d)) * *qkv.view.at(j, width + d);
        const double share = std::exp(score / std::sqrt(static_cast<double>(dim)));
        sum += share * *qkv.view.at(j, 2 * width + column);
        total += share;
      }
      out.push_back(sum / total);
    }
  }
  return out;
}

TEST(SelfAttention, EverySequenceSeesAllOfItselfAndNothingElse) {
  Random random;
  constexpr int64_t kTokens = 117;
  const std::vector<int32_t> ends = {1, 8, 8, 24, 41, 117};  // an empty one too
  for (const auto& [heads, dim] : {std::pair{1, 1}, {3, 8}, {2, 33}, {12, 32}}) {
    TestExec exec(3, cpu::SelfAttentionWorkspaceBytes(kTokens, heads, dim));
    const Matrix qkv = random.Tensor<2>({kTokens, 3 * heads * dim});
    Matrix out({kTokens, heads * dim});
    cpu::SelfAttention(out.view, qkv.view, ends, heads, exec.exec);
    std::vector<double> expected;
    for (size_t s = 0; s < ends.size(); ++s)
      for (const double x : Attended(qkv, s == 0 ? 0 : ends[s - 1], ends[s], heads))
        expected.push_back(x);
    EXPECT_TRUE(Matches(out.values, expected, 2e-6)) << heads << " " << dim;

    TestExec alone(1, cpu::SelfAttentionWorkspaceBytes(17, heads, dim));
    Matrix part({17, heads * dim});
    const std::vector<int32_t> end = {17};
    cpu::SelfAttention(part.view, View<const float, 2>(qkv.view).Rows(24, 17), end, heads,
                       alone.exec);
    EXPECT_TRUE(std::equal(part.values.begin(), part.values.end(), out.view.at(24)));
  }
}

TEST(SelfAttention, LargeScoresDoNotOverflow) {
  TestExec exec(1, cpu::SelfAttentionWorkspaceBytes(2, 1, 1));
  Matrix qkv({2, 3}, 0.0f);
  qkv.values = {1e6f, 1e6f, 3, 1e6f, -1e6f, 5};
  Matrix out({2, 1});
  const std::vector<int32_t> ends = {2};
  cpu::SelfAttention(out.view, qkv.view, ends, 1, exec.exec);
  EXPECT_EQ(out.values, (std::vector<float>{3, 3}));
}

}  // namespace
}  // namespace nextgate::kernels
