#include "kernels/gemm/linear.h"

#include <gtest/gtest.h>

#include "kernels/core/simd.h"
#include "tests/support/random_tensor.h"
#include "tests/support/test_weights.h"

namespace nextgate::kernels {
namespace {

using testing::MakeWeights;
using testing::Matches;
using testing::Matrix;
using testing::Random;
using testing::SumTolerance;
using testing::TestExec;
using testing::TestWeights;

struct Shape {
  int64_t tokens, rows, cols;
};

class LinearTest : public ::testing::TestWithParam<DType> {};

TEST_P(LinearTest, EqualsTheSumInDouble) {
  Random random;
  TestExec exec;
  for (const Shape s : {Shape{1, 1, 1},
                        {1, 8, 16},
                        {2, 131, 257},
                        {3, 17, 129},
                        {5, 64, 300},
                        {8, 40, 128},
                        {70, 33, 31}}) {
    const TestWeights w = MakeWeights(random, GetParam(), s.rows, s.cols);
    const Matrix x = random.Tensor<2>({s.tokens, s.cols});
    Matrix out({s.tokens, s.rows});
    cpu::Linear(out.view, x.view, w.view, exec.exec);
    std::vector<double> expected;
    for (int64_t t = 0; t < s.tokens; ++t) {
      for (int64_t n = 0; n < s.rows; ++n) {
        double sum = 0;
        for (int64_t k = 0; k < s.cols; ++k)
          sum += *x.view.at(t, k) * w.values[static_cast<size_t>(n * s.cols + k)];
        expected.push_back(sum);
      }
    }
    EXPECT_TRUE(Matches(out.values, expected, SumTolerance(s.cols)))
        << s.tokens << " " << s.rows << " " << s.cols;
  }
}

TEST_P(LinearTest, ARowsBitsDoNotDependOnTheBatchOrTheThreads) {
  Random random;
  const TestWeights w = MakeWeights(random, GetParam(), 203, 171);
  const Matrix x = random.Tensor<2>({13, 171});
  TestExec one(1);
  Matrix alone({13, 203});
  for (int64_t t = 0; t < 13; ++t)
    cpu::Linear(alone.view.Rows(t, 1), View<const float, 2>(x.view).Rows(t, 1), w.view, one.exec);
  for (const int threads : {1, 2, 3}) {
    TestExec exec(threads);
    Matrix together({13, 203});
    cpu::Linear(together.view, x.view, w.view, exec.exec);
    EXPECT_EQ(together.values, alone.values) << threads << " threads";
  }
}

TEST_P(LinearTest, EverySimdBodyHasTheSameBits) {
  Random random;
  const TestWeights w = MakeWeights(random, GetParam(), 21, 173);
  const Matrix x = random.Tensor<2>({7, 173});
  const auto run = [&](const simd::Ops& ops) {
    Matrix out({7, 21});
    std::vector<float*> out_rows;
    std::vector<const float*> x_rows;
    for (int64_t t = 0; t < 7; ++t) {
      out_rows.push_back(out.view.at(t));
      x_rows.push_back(x.view.at(t));
    }
    ops.product({.out = out_rows.data(),
                 .x = x_rows.data(),
                 .tokens = 7,
                 .w = w.view,
                 .row_begin = 0,
                 .row_end = 21});
    return out.values;
  };
  const auto plain = run(simd::PlainOps());
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    EXPECT_EQ(run(simd::Avx2Ops()), plain);
  }
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) {
    EXPECT_EQ(run(simd::Avx512Ops()), plain);
  }
#endif
  EXPECT_EQ(run(simd::Best()), plain);
}

INSTANTIATE_TEST_SUITE_P(Types, LinearTest,
                         ::testing::Values(DType::kF32, DType::kF16, DType::kBF16, DType::kF8E4M3),
                         [](const auto& info) { return DTypeName(info.param); });

}  // namespace
}  // namespace nextgate::kernels
