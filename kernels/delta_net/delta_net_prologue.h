// What Gated DeltaNet does between its projections and its recurrence. Per channel c of
// [q | k | v], J taps:
//   u[t, c]   = silu(Σ_j conv_weight[c, j] · x[t − (J − 1) + j, c])   causal, depthwise, no bias
//   q[t, n]   = u_q / sqrt(Σ u_q² + 1e-6) · Dk^-½                     per key head
//   k[t, n]   = u_k / sqrt(Σ u_k² + 1e-6)
//   v[t, m]   = u_v
//   beta[t, m] = sigmoid(b[t, m])
//   g[t, m]   = −exp(A_log[m]) · softplus(a[t, m] + dt_bias[m])       log of the state's decay
//
//   qkvz   [T, 2·Nk·Dk + 2·Nv·Dv]  rows [q | k | v | z]; z is not touched
//   ba     [T, 2·Nv]               rows [b | a]
//   conv_state  [slots, C, J − 1]  the last J − 1 inputs of each channel, oldest first; read as
//                                  zeros where context_len == 0, and advanced. C = 2·Nk·Dk + Nv·Dv
//   emits                          conv states to keep on the way (checkpoint.h)
//   q, k   [T, Nk, Dk]   out
//   v      [T, Nv, Dv]   out
//   beta, g  [T, Nv]     out
//
// Deterministic per row. Memory bound. Source: Qwen3NextGatedDeltaNet, causal_conv1d, l2norm.
#pragma once

#include "kernels/core/exec.h"
#include "kernels/core/sequence.h"
#include "kernels/core/view.h"
#include "kernels/delta_net/checkpoint.h"

namespace nextgate::kernels {

struct DeltaNetPrologueWeights {
  View<const float, 2> conv;     // [C, J]
  View<const float, 1> a_log;    // [Nv]
  View<const float, 1> dt_bias;  // [Nv]
};

// What the recurrence reads; [T, …] views into the step's activations.
struct DeltaNetInputs {
  View<float, 3> q;
  View<float, 3> k;
  View<float, 3> v;
  View<float, 2> beta;
  View<float, 2> g;
};

}  // namespace nextgate::kernels

namespace nextgate::kernels::cpu {

void DeltaNetPrologue(const DeltaNetInputs& out, View<float, 3> conv_state,
                      View<const float, 2> qkvz, View<const float, 2> ba, Sequences sequences,
                      const DeltaNetPrologueWeights& weights, const LayerEmits& emits, Exec& exec);

}  // namespace nextgate::kernels::cpu
