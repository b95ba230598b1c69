// bf16 by its definition: 8 bits of significand, the exponents of fp32.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

namespace nextgate::testing {

// The bf16 nearest to x, of two the one whose last bit is 0; infinity past the largest.
inline double NearestBf16(double x) {
  if (x == 0 || !std::isfinite(x)) return x;
  int exponent = 0;
  std::frexp(x, &exponent);  // |x| in [2^(exponent − 1), 2^exponent)
  const int unit = std::max(exponent - 8, -133);
  const double rounded = std::ldexp(std::nearbyint(std::ldexp(x, -unit)), unit);
  return std::abs(rounded) < 0x1p128
             ? rounded
             : std::copysign(std::numeric_limits<double>::infinity(), rounded);
}

}  // namespace nextgate::testing
