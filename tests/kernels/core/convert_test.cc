#include "kernels/core/convert.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/bf16_formula.h"

namespace nextgate::kernels {
namespace {

// Every upper half of a float, with lower halves on both sides of each tie.
TEST(FloatToBf16, IsTheNearestAndOfTwoTheEvenOne) {
  for (uint32_t upper = 0; upper < 1u << 16; ++upper)
    for (const uint32_t lower : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
      const auto x = std::bit_cast<float>(upper << 16 | lower);
      const float rounded = Bf16ToFloat(FloatToBf16(x));
      const double expected = testing::NearestBf16(x);
      if (std::isnan(x)) {
        ASSERT_TRUE(std::isnan(rounded)) << std::hex << upper << lower;
      } else {
        ASSERT_EQ(rounded, expected) << x;
        ASSERT_EQ(std::signbit(rounded), std::signbit(x)) << x;
      }
    }
}

}  // namespace
}  // namespace nextgate::kernels
