// out[t, n, :] = sigmoid(gate[t, n, :]) · Σ_p softmax_p(scale · q[t, n, :]·K[p, m, :]) V[p, m, :]
// over the positions p ≤ position of t of t's sequence, with m = n / (Nq / Nkv) (grouped queries).
//
//   out   [T, Nq · D]
//   q     [T, Nq, D]
//   gate  [T, Nq · D]
//
// cpu: two passes over the positions in ascending order, so a row's bits depend neither on the
// chunk it was computed in nor on its neighbours. Workspace: threads · positions_max floats
// (PagedAttentionWorkspaceBytes). Bound by reading KV at decode, by arithmetic in long prefills.
#pragma once

#include "kernels/attention/paged_kv.h"
#include "kernels/core/exec.h"

namespace nextgate::kernels::cpu {

size_t PagedAttentionWorkspaceBytes(int threads, int64_t positions_max);

void PagedAttention(View<float, 2> out, View<const float, 3> q, View<const float, 2> gate,
                    const PagedKv& kv, Sequences sequences, float scale, Exec& exec);

}  // namespace nextgate::kernels::cpu
