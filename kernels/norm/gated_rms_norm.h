// out[t, n, d] = x[t, n, d] / sqrt(mean_d(x[t, n, :]²) + eps) · weight[d] · silu(gate[t, n · D +
// d])
//
//   out     [T, Nv · D]
//   x       [T, Nv, D]   the delta rule's output
//   gate    [T, Nv · D]  z; its rows may be strided
//   weight  [D]          plain, not zero-centred
//
// Deterministic per row. Memory bound. Source: Qwen3NextRMSNormGated.
#pragma once

#include "kernels/core/exec.h"
#include "kernels/core/view.h"

namespace nextgate::kernels::cpu {

void GatedRmsNorm(View<float, 2> out, View<const float, 3> x, View<const float, 2> gate,
                  View<const float, 1> weight, float eps, Exec& exec);

}  // namespace nextgate::kernels::cpu
