// AddBias:      x[t, n] += bias[n]
// AddBiasGelu:  x[t, n] = gelu(x[t, n] + bias[n]),  gelu(y) = y/2 · (1 + erf(y/√2)), the exact form
//
//   x     [T, N]
//   bias  [N]
//
// Deterministic per element. AddBias is memory bound, AddBiasGelu bound by erf.
#pragma once

#include "kernels/core/exec.h"
#include "kernels/core/view.h"

namespace nextgate::kernels::cpu {

void AddBias(View<float, 2> x, View<const float, 1> bias, Exec& exec);
void AddBiasGelu(View<float, 2> x, View<const float, 1> bias, Exec& exec);

}  // namespace nextgate::kernels::cpu
