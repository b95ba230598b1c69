// Included by simd_avx512.cc, simd_avx2.cc and simd_plain.cc, each of which has defined F16
// (sixteen floats) and its operations in an anonymous namespace. Nothing here may have external
// linkage except through the table at the end, since the three files are compiled for different
// processors.
#pragma once

#include <cstring>

#include "kernels/core/simd.h"

namespace nextgate::kernels::simd {
namespace {

constexpr int64_t kLanes = 16;
constexpr int64_t kScaleBlock = 128;  // FP8 scales: one per 128 × 128 weights

// The first `count` floats, zeros behind them.
F16 LoadPart(const float* p, int64_t count) {
  alignas(64) float lanes[kLanes] = {};
  std::memcpy(lanes, p, static_cast<size_t>(count) * sizeof(float));
  return Load(lanes);
}

template <DType kType>
F16 LoadWeight(const void* data, int64_t offset) {
  if constexpr (kType == DType::kF32) return Load(static_cast<const float*>(data) + offset);
  if constexpr (kType == DType::kBF16) return FromBf16(static_cast<const uint16_t*>(data) + offset);
  if constexpr (kType == DType::kF16) return FromF16(static_cast<const uint16_t*>(data) + offset);
  if constexpr (kType == DType::kF8E4M3)
    return FromE4M3(static_cast<const uint8_t*>(data) + offset);
}

template <DType kType>
F16 LoadWeightPart(const void* data, int64_t offset, int64_t count) {
  constexpr int64_t kBytes = static_cast<int64_t>(DTypeBytes(kType));
  alignas(64) char lanes[kLanes * kBytes] = {};
  std::memcpy(lanes, static_cast<const char*>(data) + offset * kBytes,
              static_cast<size_t>(count * kBytes));
  return LoadWeight<kType>(lanes, 0);
}

// kRows × kTokens outputs at once: weights are converted once for all tokens. Each output has one
// accumulator that sees k in ascending order, so its bits do not depend on the tile it was computed
// in.
template <DType kType, int kRows, int kTokens>
void ProductTile(const ProductBlock& b, int64_t row, int64_t token) {
  const int64_t depth = b.w.cols;
  F16 sum[kRows][kTokens];
  for (auto& of_row : sum)
    for (F16& s : of_row) s = Zero();
  const auto step = [&](int64_t k, int64_t count) __attribute__((always_inline)) {
    const bool whole = count == kLanes;
    F16 x[kTokens];
    for (int t = 0; t < kTokens; ++t)
      x[t] = whole ? Load(b.x[token + t] + k) : LoadPart(b.x[token + t] + k, count);
    for (int r = 0; r < kRows; ++r) {
      const int64_t offset = (row + r) * depth + k;
      F16 w = whole ? LoadWeight<kType>(b.w.data, offset)
                    : LoadWeightPart<kType>(b.w.data, offset, count);
      if constexpr (kType == DType::kF8E4M3) {
        const int64_t blocks = (depth + kScaleBlock - 1) / kScaleBlock;
        w = Mul(w, Splat(b.w.scales[(row + r) / kScaleBlock * blocks + k / kScaleBlock]));
      }
      for (int t = 0; t < kTokens; ++t) sum[r][t] = Fma(w, x[t], sum[r][t]);
    }
  };
  int64_t k = 0;
  for (; k + kLanes <= depth; k += kLanes) step(k, kLanes);
  if (k < depth) step(k, depth - k);
  for (int r = 0; r < kRows; ++r)
    for (int t = 0; t < kTokens; ++t) b.out[token + t][row + r] = Sum(sum[r][t]);
}

template <DType kType, int kTokens>
void ProductRows(const ProductBlock& b, int64_t token) {
  constexpr int kRows = kTokens == 1 ? 8 : 4;
  int64_t row = b.row_begin;
  for (; row + kRows <= b.row_end; row += kRows) ProductTile<kType, kRows, kTokens>(b, row, token);
  for (; row < b.row_end; ++row) ProductTile<kType, 1, kTokens>(b, row, token);
}

template <DType kType>
void ProductOf(const ProductBlock& b) {
  int64_t token = 0;
  for (; token + 4 <= b.tokens; token += 4) ProductRows<kType, 4>(b, token);
  if (token + 2 <= b.tokens) {
    ProductRows<kType, 2>(b, token);
    token += 2;
  }
  if (token < b.tokens) ProductRows<kType, 1>(b, token);
}

void Product(const ProductBlock& b) {
  switch (b.w.dtype) {
    case DType::kF32:
      return ProductOf<DType::kF32>(b);
    case DType::kBF16:
      return ProductOf<DType::kBF16>(b);
    case DType::kF16:
      return ProductOf<DType::kF16>(b);
    case DType::kF8E4M3:
      return ProductOf<DType::kF8E4M3>(b);
  }
}

float Dot(const float* a, const float* b, int64_t n) {
  F16 sum = Zero();
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) sum = Fma(Load(a + i), Load(b + i), sum);
  if (i < n) sum = Fma(LoadPart(a + i, n - i), LoadPart(b + i, n - i), sum);
  return Sum(sum);
}

void Axpy(float* y, float a, const float* x, int64_t n) {
  const F16 factor = Splat(a);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) Store(y + i, Fma(factor, Load(x + i), Load(y + i)));
  for (; i < n; ++i) y[i] = __builtin_fmaf(a, x[i], y[i]);
}

// gelu(y) = y · Φ(y) = max(y, 0) − h · Φ(−h) with h = |y|, where nothing cancels. Φ(−h), the normal
// distribution's tail, is a quotient of polynomials on [0, 6] that was fitted for the least
// h · error (2e-8; iteratively reweighted least squares after Lawson), and h · Φ(−h) is less than
// 1e-8 beyond. A NaN stays one.
F16 Gelu(F16 y) {
  constexpr float kAbove[] = {1.90793271e-05f, -0.000616340491f, 0.00833025668f, -0.0603297912f,
                              0.247064874f,    -0.542769134f,    0.49999994f};
  constexpr float kBelow[] = {8.05801901e-05f, -0.000177068083f, 0.0012058618f,
                              -0.00111828896f, 0.0220973734f,    -0.0429938436f,
                              0.264722526f,    -0.287662804f,    1.0f};
  const F16 h = Min(Splat(6.0f), Abs(y));
  F16 above = Splat(kAbove[0]);
  for (int i = 1; i < 7; ++i) above = Fma(above, h, Splat(kAbove[i]));
  F16 below = Splat(kBelow[0]);
  for (int i = 1; i < 9; ++i) below = Fma(below, h, Splat(kBelow[i]));
  return Sub(Max(Zero(), y), Mul(h, Div(above, below)));
}

void BiasGelu(float* x, const float* bias, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) Store(x + i, Gelu(Add(Load(x + i), Load(bias + i))));
  if (i == n) return;
  alignas(64) float last[kLanes];
  Store(last, Gelu(Add(LoadPart(x + i, n - i), LoadPart(bias + i, n - i))));
  std::memcpy(x + i, last, static_cast<size_t>(n - i) * sizeof(float));
}

// Columns [begin, begin + kWidth · 16) of one head's state stay in registers between the two passes
// over k.
template <int kWidth>
void DeltaColumns(const DeltaStep& s, int64_t begin) {
  const F16 decay = Splat(s.decay);
  F16 memory[kWidth];
  for (F16& m : memory) m = Zero();
  for (int64_t i = 0; i < s.key_dim; ++i) {
    float* row = s.state + i * s.value_dim + begin;
    const F16 key = Splat(s.k[i]);
    for (int c = 0; c < kWidth; ++c) {
      const F16 value = Mul(Load(row + c * kLanes), decay);
      Store(row + c * kLanes, value);
      memory[c] = Fma(value, key, memory[c]);
    }
  }
  F16 delta[kWidth];
  F16 out[kWidth];
  for (int c = 0; c < kWidth; ++c) {
    delta[c] = Mul(Sub(Load(s.v + begin + c * kLanes), memory[c]), Splat(s.beta));
    out[c] = Zero();
  }
  for (int64_t i = 0; i < s.key_dim; ++i) {
    float* row = s.state + i * s.value_dim + begin;
    const F16 key = Splat(s.k[i]);
    const F16 query = Splat(s.q[i]);
    for (int c = 0; c < kWidth; ++c) {
      const F16 value = Fma(key, delta[c], Load(row + c * kLanes));
      Store(row + c * kLanes, value);
      out[c] = Fma(value, query, out[c]);
    }
  }
  for (int c = 0; c < kWidth; ++c) Store(s.out + begin + c * kLanes, out[c]);
}

// The same, one column at a time, for a value_dim that sixteen does not divide.
void DeltaColumn(const DeltaStep& s, int64_t column) {
  float memory = 0;
  for (int64_t i = 0; i < s.key_dim; ++i) {
    float& value = s.state[i * s.value_dim + column];
    value *= s.decay;
    memory = __builtin_fmaf(value, s.k[i], memory);
  }
  const float delta = (s.v[column] - memory) * s.beta;
  float out = 0;
  for (int64_t i = 0; i < s.key_dim; ++i) {
    float& value = s.state[i * s.value_dim + column];
    value = __builtin_fmaf(s.k[i], delta, value);
    out = __builtin_fmaf(value, s.q[i], out);
  }
  s.out[column] = out;
}

void Delta(const DeltaStep& s) {
  int64_t column = 0;
  for (; column + 4 * kLanes <= s.value_dim; column += 4 * kLanes) DeltaColumns<4>(s, column);
  for (; column + kLanes <= s.value_dim; column += kLanes) DeltaColumns<1>(s, column);
  for (; column < s.value_dim; ++column) DeltaColumn(s, column);
}

}  // namespace
}  // namespace nextgate::kernels::simd
