// The gated delta rule in chunks of 64 tokens: mathematically the recurrence of delta_recurrent.h,
// as matrix products. Chunks end at absolute positions that are multiples of 64, and the state at
// any set of those ends can be had from the same call. Per value head and chunk of C tokens, with
// G_i = Σ_{j ≤ i} g_j, D_ij = e^(G_i − G_j) and S the state before:
//   T   = (I + tril(beta_i (k_i·k_j) D_ij, −1))⁻¹
//   W   = T (beta ⊙ v)          U = T (beta ⊙ e^G ⊙ k)
//   N   = W − U S                what each token adds
//   out = (e^G ⊙ q) S + tril((q_i·k_j) D_ij) N
//   S   ← e^(G_C) S + (e^(G_C − G) ⊙ k)ᵀ N
//
//   out, states, in             as in delta_recurrent.h
//   emits                       states to copy on the way
//
// cpu: fp32, close to the recurrence but not bit-equal, so the CPU engine never runs it: it is the
// reference of the GPU's. Workspace: DeltaChunkedWorkspaceBytes. Source:
// torch_chunk_gated_delta_rule in transformers' modeling_qwen3_next.py.
#pragma once

#include <span>

#include "kernels/core/exec.h"
#include "kernels/core/sequence.h"
#include "kernels/delta_net/delta_net_prologue.h"

namespace nextgate::kernels {

inline constexpr int kDeltaChunk = 64;

// The state after `position` tokens of a sequence (absolute; a multiple of 64 that this step
// reaches), all heads.
struct StateEmit {
  int32_t sequence = 0;  // index into the step's sequences
  int32_t position = 0;
  View<float, 3> to;  // [Nv, Dk, Dv]
};

}  // namespace nextgate::kernels

namespace nextgate::kernels::cpu {

size_t DeltaChunkedWorkspaceBytes(int threads, int64_t key_dim, int64_t value_dim);

void DeltaChunked(View<float, 3> out, View<float, 4> states, const DeltaNetInputs& in,
                  Sequences sequences, std::span<const StateEmit> emits, Exec& exec);

}  // namespace nextgate::kernels::cpu
