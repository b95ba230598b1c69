#include "kernels/gemm/bias.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "tests/support/random_tensor.h"

namespace nextgate::kernels {
namespace {

using testing::Matches;
using testing::Matrix;
using testing::Random;
using testing::TestExec;

TEST(AddBias, AddsItToEveryRowAndGeluIsTheExactOne) {
  Random random;
  TestExec exec(3);
  for (const int64_t width : {1, 40, 131}) {
    const Matrix before = random.Tensor<2>({13, width}, 3);
    const auto bias = random.Tensor<1>({width}, 2);
    std::vector<double> sums, gelus;
    for (size_t i = 0; i < before.values.size(); ++i) {
      const double y =
          static_cast<double>(before.values[i]) + bias.values[i % static_cast<size_t>(width)];
      sums.push_back(y);
      gelus.push_back(y / 2 * (1 + std::erf(y / std::numbers::sqrt2)));
    }
    Matrix x = before;
    x.view.data = x.values.data();
    cpu::AddBias(x.view, bias.view, exec.exec);
    EXPECT_TRUE(Matches(x.values, sums, 1e-7)) << width;
    x.values = before.values;
    cpu::AddBiasGelu(x.view, bias.view, exec.exec);
    EXPECT_TRUE(Matches(x.values, gelus, 1e-6)) << width;
  }
}

}  // namespace
}  // namespace nextgate::kernels
