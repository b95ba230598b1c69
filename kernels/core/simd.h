// The inner loops of the cpu:: bodies, compiled once for x86-64-v4 (AVX-512), once for x86-64-v3
// (AVX2 + FMA) and once in plain C++, chosen at start by what the processor has. All three add the
// same numbers in the same order: sixteen lanes, fused multiply-add, one reduction tree. So bits do
// not depend on the processor, the batch, or who computes which output.
//
// Not an op: only cpu:: bodies include it.
#pragma once

#include <cstdint>

#include "kernels/core/dtype.h"

namespace nextgate::kernels::simd {

// A block of a matrix product, out[t, n] = Σ_k x[t, k] · w[n, k].
struct ProductBlock {
  float* const* out;      // T row pointers; element (t, n) at out[t][n]
  const float* const* x;  // T row pointers of K floats
  int64_t tokens;         // T
  WeightView w;           // K = w.cols
  int64_t row_begin;      // n in [row_begin, row_end)
  int64_t row_end;
};

// One head's state for one token of the gated delta rule, in place:
//   S ← decay · S;  d = beta · (v − Sᵀk);  S ← S + k dᵀ;  out = Sᵀq        S is [Dk, Dv], row-major
struct DeltaStep {
  float* state;
  int64_t key_dim;    // Dk
  int64_t value_dim;  // Dv
  const float* q;
  const float* k;
  const float* v;
  float decay;
  float beta;
  float* out;  // [Dv]
};

struct Ops {
  const char* name;
  void (*product)(const ProductBlock&);
  float (*dot)(const float* a, const float* b, int64_t n);
  void (*axpy)(float* y, float a, const float* x, int64_t n);  // y += a · x
  void (*delta_step)(const DeltaStep&);
  void (*bias_gelu)(float* x, const float* bias,
                    int64_t n);  // x ← gelu(x + bias); kernels/gemm/bias.h
};

const Ops& PlainOps();
#ifdef __x86_64__
const Ops& Avx2Ops();
const Ops& Avx512Ops();
#endif

// What this processor runs fastest.
const Ops& Best();

}  // namespace nextgate::kernels::simd
