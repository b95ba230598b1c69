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
//   emits                       states to keep on the way (checkpoint.h): each ends a chunk
//
// cpu: fp32, close to the recurrence but not bit-equal, so the CPU engine never runs it: it is the
// reference of the GPU's. Workspace: DeltaChunkedWorkspaceBytes. Source:
// torch_chunk_gated_delta_rule in transformers' modeling_qwen3_next.py.
#pragma once

#include "kernels/core/exec.h"
#include "kernels/core/sequence.h"
#include "kernels/delta_net/checkpoint.h"
#include "kernels/delta_net/delta_net_prologue.h"

namespace nextgate::kernels {

inline constexpr int kDeltaChunk = 64;
static_assert(kBlockTokens % kDeltaChunk == 0,
              "a block's end, where states are kept, ends a chunk");

}  // namespace nextgate::kernels

namespace nextgate::kernels::cpu {

size_t DeltaChunkedWorkspaceBytes(int threads, int64_t key_dim, int64_t value_dim);

void DeltaChunked(View<float, 3> out, View<float, 4> states, const DeltaNetInputs& in,
                  Sequences sequences, const LayerEmits& emits, Exec& exec);

}  // namespace nextgate::kernels::cpu
