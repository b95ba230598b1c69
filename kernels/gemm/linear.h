// out[t, n] = Σ_k x[t, k] · w[n, k]
//
//   out  [T, N]  rows may be strided (a slice of a wider buffer)
//   x    [T, K]
//   w    [N, K]  any weight type; FP8 is dequantised by its 128×128 block scales, activations are
//   not quantised
//
// cpu: one fused-multiply-add chain per output in a fixed order over k, so a row's bits depend on
// that row only. Memory bound at small T (weights are read once), arithmetic bound above.
#pragma once

#include "kernels/core/dtype.h"
#include "kernels/core/exec.h"
#include "kernels/core/view.h"

namespace nextgate::kernels::cpu {

void Linear(View<float, 2> out, View<const float, 2> x, const WeightView& w, Exec& exec);

}  // namespace nextgate::kernels::cpu

// Built where nvcc is found; cuBLASLt on Exec::stream with Exec::cublas_handle. F32, F16 and BF16
// weights; with the latter two x is rounded to their type first. fp32 accumulation. The order of
// the sums is the library's choice per shape.
namespace nextgate::kernels::cuda {

size_t LinearWorkspaceBytes(int64_t tokens_max, int64_t depth_max);
void Linear(View<float, 2> out, View<const float, 2> x, const WeightView& w, Exec& exec);

}  // namespace nextgate::kernels::cuda
