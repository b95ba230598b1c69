// Sixteen floats in an array and std::fma: for processors without AVX2 (and other architectures),
// and the reference of the other two.
#include <cmath>
#include <cstdint>

#include "kernels/core/convert.h"

namespace nextgate::kernels::simd {
namespace {

struct F16 {
  float lane[16];
};

template <class Function>
F16 EachLane(Function function) {
  F16 out;
  for (int i = 0; i < 16; ++i) out.lane[i] = function(i);
  return out;
}

F16 Zero() { return {}; }
F16 Splat(float x) {
  return EachLane([&](int) { return x; });
}
F16 Load(const float* p) {
  return EachLane([&](int i) { return p[i]; });
}
void Store(float* p, const F16& x) {
  for (int i = 0; i < 16; ++i) p[i] = x.lane[i];
}
F16 Mul(const F16& a, const F16& b) {
  return EachLane([&](int i) { return a.lane[i] * b.lane[i]; });
}
F16 Sub(const F16& a, const F16& b) {
  return EachLane([&](int i) { return a.lane[i] - b.lane[i]; });
}
F16 Add(const F16& a, const F16& b) {
  return EachLane([&](int i) { return a.lane[i] + b.lane[i]; });
}
F16 Div(const F16& a, const F16& b) {
  return EachLane([&](int i) { return a.lane[i] / b.lane[i]; });
}
F16 Abs(const F16& a) {
  return EachLane([&](int i) { return std::fabs(a.lane[i]); });
}
F16 Min(const F16& a, const F16& b) {
  return EachLane([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
}
F16 Max(const F16& a, const F16& b) {
  return EachLane([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}
F16 Fma(const F16& a, const F16& b, const F16& c) {
  return EachLane([&](int i) { return std::fma(a.lane[i], b.lane[i], c.lane[i]); });
}

F16 FromBf16(const uint16_t* p) {
  return EachLane([&](int i) { return Bf16ToFloat(p[i]); });
}
F16 FromF16(const uint16_t* p) {
  return EachLane([&](int i) { return HalfToFloat(p[i]); });
}
F16 FromE4M3(const uint8_t* p) {
  return EachLane([&](int i) { return E4M3ToFloat(p[i]); });
}

float Sum(const F16& x) {
  float tree[16];
  Store(tree, x);
  for (int width = 8; width >= 1; width /= 2)
    for (int i = 0; i < width; ++i) tree[i] += tree[i + width];
  return tree[0];
}

}  // namespace
}  // namespace nextgate::kernels::simd

#include "kernels/core/simd_body.h"

namespace nextgate::kernels::simd {

const Ops& PlainOps() {
  static constexpr Ops kOps = {"plain", Product, Dot, Axpy, Delta, BiasGelu};
  return kOps;
}

const Ops& Best() {
#ifdef __x86_64__
  static const Ops& best = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")
                               ? Avx512Ops()
                           : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                                   __builtin_cpu_supports("f16c")
                               ? Avx2Ops()
                               : PlainOps();
  return best;
#else
  return PlainOps();
#endif
}

}  // namespace nextgate::kernels::simd
