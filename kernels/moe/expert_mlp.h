// The routed experts' SwiGLU, grouped by expert so that each expert's weights are read once a step:
//   h[t, i, :]   = silu(gate_e x_t) · (up_e x_t)       e = ids[t, i]
//   out[t, i, :] = down_e h[t, i, :]
//
//   out   [T, K, H]
//   x     [T, H]
//   ids   [T, K]                 each in [0, E); one expert at most once per row
//   gate_up  E matrices [2F, H], gate's rows first;  down  E matrices [H, F]
//
// And of one dense SwiGLU of the same layout (shared expert, dense layers): DenseMlp, out [T, H].
// cpu: one fixed-order product per output; bits depend on the row and its experts only. Workspace:
// ExpertMlpWorkspaceBytes. Memory bound at small T.
#pragma once

#include <span>

#include "kernels/core/dtype.h"
#include "kernels/core/exec.h"
#include "kernels/core/view.h"

namespace nextgate::kernels {

struct MlpWeights {
  WeightView gate_up;  // [2F, H]
  WeightView down;     // [H, F]
};

}  // namespace nextgate::kernels

namespace nextgate::kernels::cpu {

// width: F, or the widest if several kinds share the workspace; top: K (1 for DenseMlp).
size_t ExpertMlpWorkspaceBytes(int64_t tokens_max, int64_t top, int64_t width, int64_t experts);

void ExpertMlp(View<float, 3> out, View<const float, 2> x, View<const int32_t, 2> ids,
               std::span<const MlpWeights> experts, Exec& exec);
void DenseMlp(View<float, 2> out, View<const float, 2> x, const MlpWeights& weights, Exec& exec);

}  // namespace nextgate::kernels::cpu
