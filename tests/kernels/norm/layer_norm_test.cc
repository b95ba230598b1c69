#include "kernels/norm/layer_norm.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/random_tensor.h"

namespace nextgate::kernels {
namespace {

using testing::Matches;
using testing::Matrix;
using testing::Random;
using testing::TestExec;

constexpr double kTolerance = 1e-6;  // a handful of roundings an element

TEST(AddLayerNorm, EqualsTheFormulaAndMayWorkInPlace) {
  Random random;
  TestExec exec(3);
  constexpr double kEps = 1e-5;
  for (const int64_t hidden : {1, 17, 64, 384}) {
    const int64_t tokens = 37;
    const Matrix x = random.Tensor<2>({tokens, hidden}, 3);
    Matrix residual = random.Tensor<2>({tokens, hidden}, 3);
    const auto bias = random.Tensor<1>({hidden});
    const auto weight = random.Tensor<1>({hidden});
    const auto shift = random.Tensor<1>({hidden});
    std::vector<double> expected;
    for (int64_t t = 0; t < tokens; ++t) {
      std::vector<double> sum;
      double mean = 0;
      double variance = 0;
      for (int64_t h = 0; h < hidden; ++h) {
        sum.push_back(static_cast<double>(*x.view.at(t, h)) + *bias.view.at(h) +
                      *residual.view.at(t, h));
        mean += sum.back() / static_cast<double>(hidden);
      }
      for (const double y : sum) variance += (y - mean) * (y - mean) / static_cast<double>(hidden);
      for (int64_t h = 0; h < hidden; ++h)
        expected.push_back((sum[static_cast<size_t>(h)] - mean) / std::sqrt(variance + kEps) *
                               *weight.view.at(h) +
                           *shift.view.at(h));
    }
    Matrix out({tokens, hidden});
    cpu::AddLayerNorm(out.view, x.view, bias.view, residual.view, weight.view, shift.view,
                      static_cast<float>(kEps), exec.exec);
    EXPECT_TRUE(Matches(out.values, expected, kTolerance)) << hidden;
    cpu::AddLayerNorm(residual.view, x.view, bias.view, residual.view, weight.view, shift.view,
                      static_cast<float>(kEps), exec.exec);
    EXPECT_EQ(residual.values, out.values);
  }
}

}  // namespace
}  // namespace nextgate::kernels
