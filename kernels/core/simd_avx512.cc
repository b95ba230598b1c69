#ifdef __x86_64__
#include <immintrin.h>

#include <cstdint>

namespace nextgate::kernels::simd {
namespace {

using F16 = __m512;

inline F16 Zero() { return _mm512_setzero_ps(); }
inline F16 Splat(float x) { return _mm512_set1_ps(x); }
inline F16 Load(const float* p) { return _mm512_loadu_ps(p); }
inline void Store(float* p, F16 x) { _mm512_storeu_ps(p, x); }
inline F16 Mul(F16 a, F16 b) { return _mm512_mul_ps(a, b); }
inline F16 Sub(F16 a, F16 b) { return _mm512_sub_ps(a, b); }
inline F16 Add(F16 a, F16 b) { return _mm512_add_ps(a, b); }
inline F16 Div(F16 a, F16 b) { return _mm512_div_ps(a, b); }
inline F16 Abs(F16 a) { return _mm512_abs_ps(a); }
inline F16 Min(F16 a, F16 b) {
  return _mm512_min_ps(a, b);
}  // b if either is NaN, as in all bodies
inline F16 Max(F16 a, F16 b) { return _mm512_max_ps(a, b); }
inline F16 Fma(F16 a, F16 b, F16 c) { return _mm512_fmadd_ps(a, b, c); }

inline F16 FromBf16(const uint16_t* p) {
  const __m512i wide =
      _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
inline F16 FromF16(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
// E4M3 has the bits of an fp16 whose exponent is 8 too small: shift them in place, multiply by 2^8.
// Exact for all finite values; NaNs are refused by the loader.
inline F16 FromE4M3(const uint8_t* p) {
  const __m256i wide = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  const __m256i sign = _mm256_slli_epi16(_mm256_and_si256(wide, _mm256_set1_epi16(0x80)), 8);
  const __m256i rest = _mm256_slli_epi16(_mm256_and_si256(wide, _mm256_set1_epi16(0x7f)), 7);
  return _mm512_mul_ps(_mm512_cvtph_ps(_mm256_or_si256(sign, rest)), _mm512_set1_ps(256.0f));
}

// Lanes i and i + 8, then + 4, + 2, + 1: the tree that all three variants share.
inline float Sum(F16 x) {
  const __m256 high = _mm512_extractf32x8_ps(x, 1);
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(x), high);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

}  // namespace
}  // namespace nextgate::kernels::simd

#include "kernels/core/simd_body.h"

namespace nextgate::kernels::simd {

const Ops& Avx512Ops() {
  static constexpr Ops kOps = {"avx512", Product, Dot, Axpy, Delta, BiasGelu};
  return kOps;
}

}  // namespace nextgate::kernels::simd
#endif
