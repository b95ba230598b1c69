// residual[t, :] += Σ_i weights[t, i] · experts[t, i, :] + sigmoid(shared_gate[t]) · shared[t, :]
//
//   residual     [T, H]     in and out
//   experts      [T, K, H]
//   weights      [T, K]
//   shared       [T, H]     may be empty (no shared expert)
//   shared_gate  [T, 1]     the raw projection
//
// The sum over i runs in order. Deterministic per row. Memory bound.
#pragma once

#include "kernels/core/exec.h"
#include "kernels/core/view.h"

namespace nextgate::kernels::cpu {

void CombineExperts(View<float, 2> residual, View<const float, 3> experts,
                    View<const float, 2> weights, View<const float, 2> shared,
                    View<const float, 2> shared_gate, Exec& exec);

// residual[t, :] += x[t, :]
void AddRows(View<float, 2> residual, View<const float, 2> x, Exec& exec);

}  // namespace nextgate::kernels::cpu
