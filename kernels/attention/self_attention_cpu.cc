#include <algorithm>
#include <array>
#include <cmath>

#include "base/check.h"
#include "kernels/attention/self_attention.h"
#include "kernels/core/simd.h"

namespace nextgate::kernels::cpu {
namespace {

constexpr int64_t kQueryTile = 16;  // queries whose weights are there at once

// One head of one sequence, rows [begin, begin + length).
struct Head {
  View<float, 2> out;
  View<const float, 2> qkv;
  int64_t begin;
  int64_t length;
  int64_t idx;
  int64_t dim;     // D
  float* keys;     // [L, D]
  float* values;   // [D, L], transposed: a product's weights lie along its sum
  float* weights;  // [kQueryTile, L]
  int64_t width() const { return out.shape[1]; }  // N·D
};

void Gather(const Head& h) {
  for (int64_t j = 0; j < h.length; ++j) {
    const float* row = h.qkv.at(h.begin + j) + h.idx * h.dim;
    std::copy_n(row + h.width(), h.dim, h.keys + j * h.dim);
    for (int64_t d = 0; d < h.dim; ++d) h.values[d * h.length + j] = row[2 * h.width() + d];
  }
}

// weights ← softmax(scale · weights)
void Softmax(float* weights, int64_t length, float scale) {
  const float highest = *std::max_element(weights, weights + length);
  double sum = 0;
  for (int64_t j = 0; j < length; ++j) {
    weights[j] = std::exp((weights[j] - highest) * scale);
    sum += weights[j];
  }
  const float share = static_cast<float>(1 / sum);
  for (int64_t j = 0; j < length; ++j) weights[j] *= share;
}

void Attend(const Head& h) {
  const auto& simd = simd::Best();
  const float scale = 1 / std::sqrt(static_cast<float>(h.dim));
  std::array<const float*, kQueryTile> queries;
  std::array<const float*, kQueryTile> shares;
  std::array<float*, kQueryTile> weights;
  std::array<float*, kQueryTile> outs;
  for (int64_t first = 0; first < h.length; first += kQueryTile) {
    const int64_t count = std::min(kQueryTile, h.length - first);
    for (int64_t i = 0; i < count; ++i) {
      queries[i] = h.qkv.at(h.begin + first + i) + h.idx * h.dim;
      outs[i] = h.out.at(h.begin + first + i) + h.idx * h.dim;
      shares[i] = weights[i] = h.weights + i * h.length;
    }
    simd.product({.out = weights.data(),
                  .x = queries.data(),
                  .tokens = count,
                  .w = {.data = h.keys, .rows = h.length, .cols = h.dim},
                  .row_begin = 0,
                  .row_end = h.length});
    for (int64_t i = 0; i < count; ++i) Softmax(weights[i], h.length, scale);
    simd.product({.out = outs.data(),
                  .x = shares.data(),
                  .tokens = count,
                  .w = {.data = h.values, .rows = h.dim, .cols = h.length},
                  .row_begin = 0,
                  .row_end = h.dim});
  }
}

}  // namespace

// Per token and head: a key, a value, and its place in each of a tile's rows of weights.
size_t SelfAttentionWorkspaceBytes(int64_t tokens, int64_t heads, int64_t head_dim) {
  return static_cast<size_t>(tokens * heads * (2 * head_dim + kQueryTile)) * sizeof(float);
}

void SelfAttention(View<float, 2> out, View<const float, 2> qkv, std::span<const int32_t> ends,
                   int64_t heads, Exec& exec) {
  const int64_t tokens = out.shape[0];
  const int64_t dim = out.shape[1] / heads;
  CHECK(qkv.shape[0] == tokens && qkv.shape[1] == 3 * out.shape[1] && dim * heads == out.shape[1]);
  CHECK(std::ranges::is_sorted(ends) && !ends.empty() && ends.back() == tokens);
  CHECK(exec.workspace.bytes >= SelfAttentionWorkspaceBytes(tokens, heads, dim));
  float* scratch = reinterpret_cast<float*>(exec.workspace.data);
  const int64_t floats_per_token = 2 * dim + kQueryTile;  // of one head
  const auto sequences = static_cast<int64_t>(ends.size());
  exec.pool->ParallelFor(sequences * heads, 1, [&](int64_t first, int64_t last) {
    for (int64_t item = first; item < last; ++item) {
      const int64_t sequence = item / heads;
      const int64_t begin = sequence == 0 ? 0 : ends[static_cast<size_t>(sequence - 1)];
      const int64_t length = ends[static_cast<size_t>(sequence)] - begin;
      if (length == 0) continue;
      float* own = scratch + (begin * heads + item % heads * length) * floats_per_token;
      const Head head{.out = out,
                      .qkv = qkv,
                      .begin = begin,
                      .length = length,
                      .idx = item % heads,
                      .dim = dim,
                      .keys = own,
                      .values = own + length * dim,
                      .weights = own + 2 * length * dim};
      Gather(head);
      Attend(head);
    }
  });
}

}  // namespace nextgate::kernels::cpu
