#include "cache/semantic/half_vector.h"

#include <bit>
#include <cmath>
#include <cstring>

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace nextgate::cache {
namespace {

constexpr uint32_t kSmallestNormal = 113U << 23;  // 2^-14, the smallest half that is no subnormal

uint16_t ToHalf(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t magnitude = bits & 0x7fffffffU;
  const uint32_t sign = bits >> 16 & 0x8000U;
  if (magnitude < kSmallestNormal) return static_cast<uint16_t>(sign);
  const uint32_t rounded = magnitude + 0xfffU + (magnitude >> 13 & 1U);  // to nearest, ties to even
  return static_cast<uint16_t>(sign | (rounded - (112U << 23)) >> 13);
}

// Four floats or four integers, which every processor this runs on adds at once.
using Floats = float __attribute__((vector_size(16)));
using Words = uint32_t __attribute__((vector_size(16)));
using Halves = uint16_t __attribute__((vector_size(8)));

#ifdef __x86_64__
__attribute__((target("avx2,fma,f16c"))) inline __m256 Fused(const float* a, const uint16_t* b,
                                                             __m256 sum) {
  const __m256 y = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(b)));
  return _mm256_fmadd_ps(_mm256_loadu_ps(a), y, sum);
}

__attribute__((target("avx2,fma,f16c"))) float DotAvx2(const float* a, const uint16_t* b,
                                                       size_t n) {
  __m256 s0 = _mm256_setzero_ps();
  __m256 s1 = s0;
  __m256 s2 = s0;
  __m256 s3 = s0;
  for (size_t i = 0; i < n; i += kLanes) {
    s0 = Fused(a + i, b + i, s0);
    s1 = Fused(a + i + 8, b + i + 8, s1);
    s2 = Fused(a + i + 16, b + i + 16, s2);
    s3 = Fused(a + i + 24, b + i + 24, s3);
  }
  const __m256 sum = _mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3));
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}
#endif

using DotFunction = float (*)(const float*, const uint16_t*, size_t);

DotFunction ChooseDot() {
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("f16c"))
    return DotAvx2;
#endif
  return DotPortable;
}

}  // namespace

std::vector<uint16_t> ToHalves(std::span<const float> values) {
  std::vector<uint16_t> halves(PaddedDimension(values.size()));
  for (size_t i = 0; i < values.size(); ++i) {
    if (!(std::abs(values[i]) < 2)) return {};
    halves[i] = ToHalf(values[i]);
  }
  return halves;
}

// A half's bits, moved to where a float has them, are its value times 2^-112.
float DotPortable(const float* a, const uint16_t* b, size_t n) {
  constexpr size_t kWidth = 4;
  constexpr size_t kSums = 4;
  Floats sums[kSums] = {};
  for (size_t i = 0; i < n; i += kWidth * kSums) {
    for (size_t s = 0; s < kSums; ++s) {
      Floats x;
      Halves half;
      std::memcpy(&x, a + i + s * kWidth, sizeof(x));
      std::memcpy(&half, b + i + s * kWidth, sizeof(half));
      const Words word = __builtin_convertvector(half, Words);
      const Words moved = (word & 0x8000U) << 16 | (word & 0x7fffU) << 13;
      Floats y;
      std::memcpy(&y, &moved, sizeof(y));
      sums[s] += x * (y * 0x1p112F);
    }
  }
  const Floats sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

float HalfToFloat(uint16_t half) {
  const uint32_t moved = (half & 0x8000U) << 16 | (half & 0x7fffU) << 13;
  return std::bit_cast<float>(moved) * 0x1p112F;
}

float Dot(const float* a, const uint16_t* b, size_t n) {
  static const DotFunction dot = ChooseDot();
  return dot(a, b, n);
}

}  // namespace nextgate::cache
