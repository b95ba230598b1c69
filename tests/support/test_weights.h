// Random weight matrices of every type, with their values as the format's definition gives them.
#pragma once

#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/core/dtype.h"
#include "tests/support/random_tensor.h"

namespace nextgate::testing {

struct TestWeights {
  std::vector<uint8_t> bytes;
  std::vector<float> scales;
  std::vector<double> values;
  kernels::WeightView view;
};

inline double E4M3Value(
    uint8_t bits) {  // OCP 8-bit floating point, E4M3: bias 7, subnormals, no infinity
  const int exponent = (bits >> 3) & 15;
  const int mantissa = bits & 7;
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
  return bits & 0x80 ? -magnitude : magnitude;
}

inline double HalfValue(uint16_t bits) {  // IEEE 754 binary16
  const int exponent = (bits >> 10) & 31;
  const int mantissa = bits & 1023;
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

inline TestWeights MakeWeights(Random& random, kernels::DType dtype, int64_t rows, int64_t cols) {
  TestWeights w;
  w.bytes.resize(static_cast<size_t>(rows * cols) * kernels::DTypeBytes(dtype));
  const int64_t block_cols = (cols + 127) / 128;
  if (dtype == kernels::DType::kF8E4M3)
    for (int64_t i = 0; i < (rows + 127) / 128 * block_cols; ++i)
      w.scales.push_back(std::abs(random.Normal(0.01f)) + 0.001f);
  for (int64_t i = 0; i < rows * cols; ++i) {
    if (dtype == kernels::DType::kF8E4M3) {
      auto bits = static_cast<uint8_t>(random.Below(256));
      if ((bits & 0x7f) == 0x7f) bits = 0;
      w.bytes[static_cast<size_t>(i)] = bits;
      w.values.push_back(
          E4M3Value(bits) *
          w.scales[static_cast<size_t>(i / cols / 128 * block_cols + i % cols / 128)]);
    } else if (dtype == kernels::DType::kF32) {
      const float x = random.Normal();
      std::memcpy(&w.bytes[static_cast<size_t>(i) * 4], &x, 4);
      w.values.push_back(x);
    } else {
      auto bits = static_cast<uint16_t>(random.Below(1 << 16));
      if (dtype == kernels::DType::kF16)
        bits &= 0xbfff;  // below 2, so that no infinity and no outlier swamps the sum
      if (dtype == kernels::DType::kBF16)
        bits = static_cast<uint16_t>(std::bit_cast<uint32_t>(random.Normal()) >> 16);
      std::memcpy(&w.bytes[static_cast<size_t>(i) * 2], &bits, 2);
      w.values.push_back(dtype == kernels::DType::kF16
                             ? HalfValue(bits)
                             : std::bit_cast<float>(static_cast<uint32_t>(bits) << 16));
    }
  }
  w.view = {w.bytes.data(), dtype, rows, cols,
            dtype == kernels::DType::kF8E4M3 ? w.scales.data() : nullptr};
  return w;
}

}  // namespace nextgate::testing
