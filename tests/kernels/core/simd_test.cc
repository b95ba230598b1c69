// Every SIMD body of the vector loops has the bits of the plain one, at every length.
#include "kernels/core/simd.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <numbers>
#include <vector>

#include "tests/support/random_tensor.h"

namespace nextgate::kernels {
namespace {

using testing::Random;
using testing::SumTolerance;

std::vector<const simd::Ops*> BodiesOfThisProcessor() {
  std::vector<const simd::Ops*> bodies = {&simd::Best()};
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    bodies.push_back(&simd::Avx2Ops());
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq"))
    bodies.push_back(&simd::Avx512Ops());
#endif
  return bodies;
}

TEST(Simd, DotHasTheSameBitsInEveryBody) {
  Random random;
  for (int64_t n = 0; n < 300; ++n) {
    const auto a = random.Tensor<1>({n});
    const auto b = random.Tensor<1>({n});
    const float plain = simd::PlainOps().dot(a.values.data(), b.values.data(), n);
    double exact = 0;
    double size = 0;
    for (int64_t i = 0; i < n; ++i) {
      const double product =
          static_cast<double>(a.values[static_cast<size_t>(i)]) * b.values[static_cast<size_t>(i)];
      exact += product;
      size += std::abs(product);
    }
    EXPECT_LE(std::abs(plain - exact), SumTolerance(n) * size) << n;
    for (const simd::Ops* ops : BodiesOfThisProcessor())
      EXPECT_EQ(ops->dot(a.values.data(), b.values.data(), n), plain) << ops->name << " " << n;
  }
}

TEST(Simd, AxpyHasTheSameBitsInEveryBodyAndStaysInItsBounds) {
  Random random;
  for (int64_t n = 0; n < 300; ++n) {
    const auto x = random.Tensor<1>({n});
    const auto before = random.Tensor<1>({n + 16});
    const float a = random.Normal();
    const auto run = [&](const simd::Ops& ops) {
      std::vector<float> y = before.values;
      ops.axpy(y.data(), a, x.values.data(), n);
      return y;
    };
    const std::vector<float> plain = run(simd::PlainOps());
    for (size_t i = 0; i < plain.size(); ++i) {
      const float expected =
          i < x.values.size() ? std::fma(a, x.values[i], before.values[i]) : before.values[i];
      ASSERT_EQ(plain[i], expected) << n << " " << i;
    }
    for (const simd::Ops* ops : BodiesOfThisProcessor())
      EXPECT_EQ(run(*ops), plain) << ops->name << " " << n;
  }
}

TEST(Simd, GeluHasTheSameBitsInEveryBodyAndIsTheExactOne) {
  std::vector<float> y;
  for (float at = -9; at <= 9; at += 0.000731f) y.push_back(at);
  for (const float at : {0.0f, -0.0f, 1e-30f, -1e-30f, 6.0f, -6.0f, 300.0f, -300.0f, 1e38f, -1e38f})
    y.push_back(at);
  const std::vector<float> bias(y.size(), 0.0f);
  std::vector<float> plain = y;
  simd::PlainOps().bias_gelu(plain.data(), bias.data(), std::ssize(y));
  for (size_t i = 0; i < y.size(); ++i) {
    const double exact = y[i] / 2.0 * std::erfc(-static_cast<double>(y[i]) / std::numbers::sqrt2);
    const double size = y[i] < 0 ? std::min(1.0, std::abs(static_cast<double>(y[i]))) : y[i];
    ASSERT_LE(std::abs(plain[i] - exact), 2e-7 * size + 1e-38) << y[i];
  }
  for (const simd::Ops* ops : BodiesOfThisProcessor()) {
    std::vector<float> x = y;
    ops->bias_gelu(x.data(), bias.data(), std::ssize(y));
    ASSERT_EQ(x, plain) << ops->name;
    x = {std::numeric_limits<float>::quiet_NaN()};
    ops->bias_gelu(x.data(), bias.data(), 1);
    EXPECT_TRUE(std::isnan(x[0])) << ops->name;
  }
}

TEST(Simd, GeluAddsTheBiasAtEveryLengthAndStaysInItsBounds) {
  Random random;
  for (int64_t n = 0; n < 70; ++n) {
    const auto x = random.Tensor<1>({n + 16});
    const auto bias = random.Tensor<1>({n});
    const auto run = [&](const simd::Ops& ops) {
      std::vector<float> y = x.values;
      ops.bias_gelu(y.data(), bias.values.data(), n);
      return y;
    };
    const std::vector<float> plain = run(simd::PlainOps());
    for (size_t i = 0; i < plain.size(); ++i) {
      float expected = x.values[i];
      if (i < bias.values.size()) {
        const float zero = 0;
        expected += bias.values[i];
        simd::PlainOps().bias_gelu(&expected, &zero, 1);
      }
      ASSERT_EQ(plain[i], expected) << n << " " << i;
    }
    for (const simd::Ops* ops : BodiesOfThisProcessor())
      EXPECT_EQ(run(*ops), plain) << ops->name << " " << n;
  }
}

}  // namespace
}  // namespace nextgate::kernels
