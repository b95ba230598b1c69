// Attention of an encoder: every token of a sequence sees every token of it, and none of another.
//
// p[i, j] = softmax_j(Σ_d q[i, n, d] · k[j, n, d] / √D),  out[i, n, :] = Σ_j p[i, j] · v[j, n, :]
//
//   out   [T, N·D]
//   qkv   [T, 3·N·D]  of a row: all q, all k, all v, each [N, D]
//   ends  [S]         ascending: sequence s owns rows [ends[s − 1], ends[s]); the last is T
//
// cpu: sums in fp32 in a fixed order that depends on the sequence's length only, softmax's sum in
// double. Arithmetic bound. exec.workspace holds SelfAttentionWorkspaceBytes or more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/core/exec.h"
#include "kernels/core/view.h"

namespace nextgate::kernels::cpu {

// For T tokens of width N·D, whatever sequences they make.
size_t SelfAttentionWorkspaceBytes(int64_t tokens, int64_t heads, int64_t head_dim);
void SelfAttention(View<float, 2> out, View<const float, 2> qkv, std::span<const int32_t> ends,
                   int64_t heads, Exec& exec);

}  // namespace nextgate::kernels::cpu
