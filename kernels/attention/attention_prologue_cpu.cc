#include "kernels/attention/attention_prologue.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace nextgate::kernels::cpu {
namespace {

// out = rope(norm(x)); out and x do not overlap.
void NormAndRotate(float* out, const float* x, const float* weight, int64_t dim, int32_t position,
                   const AttentionPrologueWeights& weights) {
  double squares = 0;
  for (int64_t d = 0; d < dim; ++d) squares += static_cast<double>(x[d]) * x[d];
  const float scale =
      1.0f / std::sqrt(static_cast<float>(squares / static_cast<double>(dim)) + weights.eps);
  for (int64_t d = 0; d < dim; ++d) out[d] = x[d] * scale * (1.0f + weight[d]);
  const int64_t half = weights.inv_freq.shape[0];
  for (int64_t i = 0; i < half; ++i) {
    const float angle = static_cast<float>(position) * weights.inv_freq.data[i];
    const float cosine = std::cos(angle);
    const float sine = std::sin(angle);
    const float low = out[i];
    const float high = out[i + half];
    out[i] = low * cosine - high * sine;
    out[i + half] = high * cosine + low * sine;
  }
}

}  // namespace

void AttentionPrologue(View<float, 3> q, View<float, 2> gate, const PagedKv& kv,
                       View<const float, 2> qkv, Sequences sequences,
                       const AttentionPrologueWeights& weights, Exec& exec) {
  const int64_t heads = q.shape[1];
  const int64_t dim = q.shape[2];
  const int64_t kv_heads = kv.k.shape[1];
  CHECK(qkv.shape[1] == heads * 2 * dim + 2 * kv_heads * dim && gate.shape[1] == heads * dim);
  CHECK(kv.k.shape[3] == dim && kv.k.shape[2] == kBlockTokens &&
        2 * weights.inv_freq.shape[0] <= dim);
  for (const SequenceSpan& s : sequences) {
    exec.pool->ParallelFor(s.token_count, 8, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t t = s.token_begin + i;
        const auto position = static_cast<int32_t>(s.context_len + i);
        const int32_t block = s.block_table[static_cast<size_t>(position / kBlockTokens)];
        for (int64_t n = 0; n < heads; ++n) {
          const float* from = qkv.at(t, n * 2 * dim);
          NormAndRotate(q.at(t, n), from, weights.q_norm.data, dim, position, weights);
          std::copy_n(from + dim, dim, gate.at(t, n * dim));
        }
        for (int64_t m = 0; m < kv_heads; ++m) {
          const float* k = qkv.at(t, heads * 2 * dim + m * dim);
          NormAndRotate(kv.k.at(block, m, position % kBlockTokens), k, weights.k_norm.data, dim,
                        position, weights);
          std::copy_n(k + kv_heads * dim, dim, kv.v.at(block, m, position % kBlockTokens));
        }
      }
    });
  }
}

}  // namespace nextgate::kernels::cpu
