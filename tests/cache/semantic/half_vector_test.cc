#include "cache/semantic/half_vector.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "tests/cache/semantic/plain_index.h"

namespace nextgate::cache {
namespace {

TEST(HalfVector, EveryNormalHalfBelowTwoSurvivesAndSubnormalsAreZero) {
  for (uint32_t half = 0; half < 0x10000; ++half) {
    const uint32_t magnitude = half & 0x7fff;
    if (magnitude >= 0x4000) continue;
    const float value = HalfToFloat(static_cast<uint16_t>(half));
    const auto back = ToHalves(std::span<const float>(&value, 1));
    ASSERT_EQ(back.size(), kLanes);
    EXPECT_EQ(back[0] & 0x7fff, magnitude < 0x0400 ? 0 : magnitude) << half;
    if (magnitude >= 0x0400) {
      EXPECT_EQ(std::signbit(value), half >= 0x8000);
    }
  }
}

TEST(HalfVector, RoundsToTheNearestAndHalfwayToEven) {
  const float step = 0x1p-11F;  // between halves in [0.5, 1) there are 2^-11
  const std::vector<float> values = {0.5F + step * 0.49F, 0.5F + step * 0.51F, 0.5F + step * 0.5F,
                                     0.5F + step * 1.5F};
  const auto halves = ToHalves(values);
  EXPECT_EQ(HalfToFloat(halves[0]), 0.5F);
  EXPECT_EQ(HalfToFloat(halves[1]), 0.5F + step);
  EXPECT_EQ(HalfToFloat(halves[2]), 0.5F);
  EXPECT_EQ(HalfToFloat(halves[3]), 0.5F + 2 * step);
}

TEST(HalfVector, WhatIsNoComponentOfAUnitVectorIsRefused) {
  for (const float odd : {2.0F, -2.0F, 1e30F, std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN()})
    EXPECT_TRUE(ToHalves(std::vector<float>{0.5F, odd}).empty()) << odd;
}

TEST(HalfVector, BothDotsAreTheSumInDouble) {
  std::mt19937_64 random(std::random_device{}());
  for (const int64_t dimension : {1, 31, 32, 33, 127, 384, 1024}) {
    const auto a = RandomUnit(random, dimension);
    const auto halves = ToHalves(RandomUnit(random, dimension));
    const size_t n = PaddedDimension(static_cast<size_t>(dimension));
    ASSERT_EQ(halves.size(), n);
    std::vector<float> padded(n);
    std::copy(a.begin(), a.end(), padded.begin());
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += static_cast<double>(padded[i]) * HalfToFloat(halves[i]);
    EXPECT_NEAR(Dot(padded.data(), halves.data(), n), sum, 1e-6);
    EXPECT_NEAR(DotPortable(padded.data(), halves.data(), n), sum, 1e-6);
  }
}

}  // namespace
}  // namespace nextgate::cache
