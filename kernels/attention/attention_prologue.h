// What gated attention does between its projections and its scores:
//   q[t, n, :]    = rope(norm(q_gate[t, n, 0:D], q_norm), position of t)
//   gate[t, n, :] = q_gate[t, n, D:2D], untouched
//   K[pos, m, :]  = rope(norm(k[t, m, :], k_norm), position of t);  V[pos, m, :] = v[t, m, :]
// where norm is the zero-centred RMS norm over D, and rope rotates the first 2·R dims, NeoX style:
//   (x_i, x_{i+R}) → (x_i cos θ − x_{i+R} sin θ, x_{i+R} cos θ + x_i sin θ),  θ = pos · inv_freq[i]
//
//   qkv       [T, Nq·2D + 2·Nkv·D]  rows: per query head q then gate; then k of all heads; then v
//   q         [T, Nq, D]            out
//   gate      [T, Nq · D]           out
//   kv                              out: written at the sequences' positions
//   q_norm, k_norm  [D]             zero-centred
//   inv_freq  [R]                   rotary frequencies; 2R ≤ D
//
// Deterministic per row. Memory bound. Source: Qwen3NextAttention, apply_rotary_pos_emb.
#pragma once

#include "kernels/attention/paged_kv.h"
#include "kernels/core/exec.h"

namespace nextgate::kernels {

struct AttentionPrologueWeights {
  View<const float, 1> q_norm;
  View<const float, 1> k_norm;
  View<const float, 1> inv_freq;
  float eps = 1e-6f;
};

}  // namespace nextgate::kernels

namespace nextgate::kernels::cpu {

void AttentionPrologue(View<float, 3> q, View<float, 2> gate, const PagedKv& kv,
                       View<const float, 2> qkv, Sequences sequences,
                       const AttentionPrologueWeights& weights, Exec& exec);

}  // namespace nextgate::kernels::cpu
