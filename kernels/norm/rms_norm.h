// out[t, h] = x[t, h] / sqrt(mean_h(x[t, :]²) + eps) · (1 + weight[h])
//
//   out     [T, H]  may alias x
//   x       [T, H]
//   weight  [H]     zero-centred: the checkpoint stores w − 1
//
// AddRmsNorm first adds: residual[t, :] += x[t, :], then norms the sum.
// Deterministic per row. Memory bound: reads and writes its rows once.
// Source: Qwen3NextRMSNorm in transformers' modular_qwen3_next.py.
#pragma once

#include "kernels/core/exec.h"
#include "kernels/core/view.h"

namespace nextgate::kernels::cpu {

void RmsNorm(View<float, 2> out, View<const float, 2> x, View<const float, 1> weight, float eps,
             Exec& exec);
void AddRmsNorm(View<float, 2> out, View<float, 2> residual, View<const float, 2> x,
                View<const float, 1> weight, float eps, Exec& exec);

}  // namespace nextgate::kernels::cpu

namespace nextgate::kernels::cuda {  // built where nvcc is found; launches on Exec::stream, sums in
                                     // fp32 in a fixed order

void RmsNorm(View<float, 2> out, View<const float, 2> x, View<const float, 1> weight, float eps,
             Exec& exec);
void AddRmsNorm(View<float, 2> out, View<float, 2> residual, View<const float, 2> x,
                View<const float, 1> weight, float eps, Exec& exec);

}  // namespace nextgate::kernels::cuda
