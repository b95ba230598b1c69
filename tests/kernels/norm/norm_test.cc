#include <gtest/gtest.h>

#include <cmath>

#include "kernels/norm/gated_rms_norm.h"
#include "kernels/norm/rms_norm.h"
#include "tests/support/random_tensor.h"

namespace nextgate::kernels {
namespace {

using testing::Matches;
using testing::Matrix;
using testing::Owned;
using testing::Random;
using testing::TestExec;

constexpr double kTolerance = 1e-6;  // a handful of roundings an element

std::vector<double> Normed(const std::vector<float>& x, int64_t width,
                           const std::vector<float>& weight, double offset, double eps) {
  std::vector<double> out;
  for (size_t row = 0; row < x.size(); row += static_cast<size_t>(width)) {
    double squares = 0;
    for (int64_t i = 0; i < width; ++i) squares += std::pow(x[row + static_cast<size_t>(i)], 2.0);
    for (int64_t i = 0; i < width; ++i)
      out.push_back(x[row + static_cast<size_t>(i)] /
                    std::sqrt(squares / static_cast<double>(width) + eps) *
                    (offset + weight[static_cast<size_t>(i)]));
  }
  return out;
}

TEST(RmsNorm, EqualsTheFormulaAndMayWorkInPlace) {
  Random random;
  TestExec exec(3);
  for (const int64_t hidden : {1, 17, 64, 2048}) {
    const int64_t tokens = 37;
    Matrix x = random.Tensor<2>({tokens, hidden}, 3);
    const auto weight = random.Tensor<1>({hidden}, 0.3f);
    const auto expected = Normed(x.values, hidden, weight.values, 1, 1e-6);
    Matrix out({tokens, hidden});
    cpu::RmsNorm(out.view, x.view, weight.view, 1e-6f, exec.exec);
    EXPECT_TRUE(Matches(out.values, expected, kTolerance)) << hidden;
    cpu::RmsNorm(x.view, x.view, weight.view, 1e-6f, exec.exec);
    EXPECT_EQ(x.values, out.values);
  }
}

TEST(RmsNorm, EpsilonDecidesForTinyRows) {
  TestExec exec;
  Matrix x({1, 2}, 1e-4f);
  Matrix out({1, 2});
  Owned<float, 1> weight({2}, 0.0f);
  cpu::RmsNorm(out.view, x.view, weight.view, 1e-2f, exec.exec);
  EXPECT_TRUE(
      Matches(out.values, std::vector<double>(2, 1e-4 / std::sqrt(1e-8 + 1e-2)), kTolerance));
}

TEST(AddRmsNorm, KeepsTheSumAndNormsIt) {
  Random random;
  TestExec exec;
  Matrix residual = random.Tensor<2>({5, 96});
  const Matrix x = random.Tensor<2>({5, 96});
  const auto weight = random.Tensor<1>({96}, 0.3f);
  std::vector<float> sum;
  for (size_t i = 0; i < x.values.size(); ++i) sum.push_back(residual.values[i] + x.values[i]);
  Matrix out({5, 96});
  cpu::AddRmsNorm(out.view, residual.view, x.view, weight.view, 1e-6f, exec.exec);
  EXPECT_EQ(residual.values, sum);
  EXPECT_TRUE(Matches(out.values, Normed(sum, 96, weight.values, 1, 1e-6), kTolerance));
}

TEST(GatedRmsNorm, NormsPerHeadAndGatesWithStridedRows) {
  Random random;
  TestExec exec;
  for (const int64_t dim : {5, 32, 128}) {
    const auto x = random.Tensor<3>({6, 3, dim});
    const Matrix wide = random.Tensor<2>({6, 3 * dim + 11});  // z is a slice of qkvz
    const View<const float, 2> gate(wide.view.at(0, 11), {6, 3 * dim}, wide.view.stride);
    const auto weight = random.Tensor<1>({dim});
    Matrix out({6, 3 * dim});
    cpu::GatedRmsNorm(out.view, x.view, gate, weight.view, 1e-6f, exec.exec);
    auto expected = Normed(x.values, dim, weight.values, 0, 1e-6);
    for (size_t i = 0; i < expected.size(); ++i) {
      const double z =
          gate.at(static_cast<int64_t>(i) / (3 * dim))[static_cast<int64_t>(i) % (3 * dim)];
      expected[i] *= z / (1 + std::exp(-z));
    }
    EXPECT_TRUE(Matches(out.values, expected, kTolerance)) << dim;
  }
}

}  // namespace
}  // namespace nextgate::kernels
