#include "kernels/attention/paged_attention.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "kernels/core/math.h"
#include "kernels/core/simd.h"

namespace nextgate::kernels::cpu {
namespace {

// One row and head. scores: scratch for `positions` floats.
void Attend(float* out, const float* q, const PagedKv& kv, const SequenceSpan& sequence,
            int64_t kv_head, int64_t positions, float scale, float* scores) {
  const simd::Ops& simd = simd::Best();
  const int64_t dim = kv.k.shape[3];
  float highest = -std::numeric_limits<float>::infinity();
  for (int64_t p = 0; p < positions; ++p) {
    const int32_t block = sequence.block_table[static_cast<size_t>(p / kBlockTokens)];
    scores[p] = scale * simd.dot(q, kv.k.at(block, kv_head, p % kBlockTokens), dim);
    highest = std::max(highest, scores[p]);
  }
  double sum = 0;
  for (int64_t p = 0; p < positions; ++p) {
    scores[p] = std::exp(scores[p] - highest);
    sum += scores[p];
  }
  const auto inverse = static_cast<float>(1.0 / sum);
  std::fill_n(out, dim, 0.0f);
  for (int64_t p = 0; p < positions; ++p) {
    const int32_t block = sequence.block_table[static_cast<size_t>(p / kBlockTokens)];
    simd.axpy(out, scores[p] * inverse, kv.v.at(block, kv_head, p % kBlockTokens), dim);
  }
}

}  // namespace

size_t PagedAttentionWorkspaceBytes(int threads, int64_t positions_max) {
  return static_cast<size_t>(threads) * static_cast<size_t>(positions_max) * sizeof(float);
}

void PagedAttention(View<float, 2> out, View<const float, 3> q, View<const float, 2> gate,
                    const PagedKv& kv, Sequences sequences, float scale, Exec& exec) {
  const int64_t heads = q.shape[1];
  const int64_t dim = q.shape[2];
  const int64_t group = heads / kv.k.shape[1];
  CHECK(out.shape[1] == heads * dim && gate.shape == out.shape && heads % kv.k.shape[1] == 0);
  for (const SequenceSpan& s : sequences) {
    const int64_t positions_max = s.context_len + s.token_count;
    CHECK(PagedAttentionWorkspaceBytes(exec.pool->threads(), positions_max) <=
          exec.workspace.bytes);
    std::atomic<int> next_scratch = 0;
    // Rows of a long prefill cost more the later they are: an even split over (head, row) pairs,
    // head-major, gives each thread early and late rows alike.
    const int64_t grain = std::max<int64_t>(1, (1 << 13) / (positions_max * dim));
    exec.pool->ParallelFor(heads * s.token_count, grain, [&](int64_t begin, int64_t end) {
      float* scores =
          reinterpret_cast<float*>(exec.workspace.data) + next_scratch.fetch_add(1) * positions_max;
      for (int64_t i = begin; i < end; ++i) {
        const int64_t n = i / s.token_count;
        const int64_t row = i % s.token_count;
        const int64_t t = s.token_begin + row;
        float* to = out.at(t, n * dim);
        Attend(to, q.at(t, n), kv, s, n / group, s.context_len + row + 1, scale, scores);
        const float* z = gate.at(t, n * dim);
        for (int64_t d = 0; d < dim; ++d) to[d] *= Sigmoid(z[d]);
      }
    });
  }
}

}  // namespace nextgate::kernels::cpu
