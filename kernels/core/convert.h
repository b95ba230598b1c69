// Weights to float, one by one or in runs; exact. FP8 without its scale. And float to bf16.
#pragma once

#include <bit>
#include <cstdint>

#include "kernels/core/dtype.h"

namespace nextgate::kernels {

inline float Bf16ToFloat(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

// Rounded to nearest even; above the largest bf16 that is infinity. A NaN stays one, made quiet.
inline uint16_t FloatToBf16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const uint32_t nan = bits >> 16 | 0x40;
  return static_cast<uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? nan : rounded);
}

// IEEE half. The exponent is moved by a multiplication, which takes care of subnormals too.
inline float HalfToFloat(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t magnitude = half & 0x7fff;
  if (magnitude >= 0x7c00)
    return std::bit_cast<float>(sign | 0x7f800000u | ((magnitude & 0x3ff) << 13));
  const float scaled = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(scaled) | sign);
}

// E4M3 has the bits of a half whose exponent is 8 too small. Its two NaNs (0x7f, 0xff) would read
// as ±480: the loader refuses them.
inline float E4M3ToFloat(uint8_t bits) {
  return HalfToFloat(static_cast<uint16_t>((bits & 0x80) << 8 | (bits & 0x7f) << 7)) * 256.0f;
}

// `count` elements of `data` from `offset` on.
inline void ConvertToFloat(float* out, const void* data, DType dtype, int64_t offset,
                           int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    switch (dtype) {
      case DType::kF32:
        out[i] = static_cast<const float*>(data)[offset + i];
        break;
      case DType::kF16:
        out[i] = HalfToFloat(static_cast<const uint16_t*>(data)[offset + i]);
        break;
      case DType::kBF16:
        out[i] = Bf16ToFloat(static_cast<const uint16_t*>(data)[offset + i]);
        break;
      case DType::kF8E4M3:
        out[i] = E4M3ToFloat(static_cast<const uint8_t*>(data)[offset + i]);
        break;
    }
  }
}

}  // namespace nextgate::kernels
