// AddBias:      x[t, n] += bias[n]
// AddBiasGelu:  x[t, n] = gelu(x[t, n] + bias[n]),  gelu(y) = y/2 · (1 + erf(y/√2)), the exact form
//
//   x     [T, N]
//   bias  [N]
//
// gelu is off by 2e-7 · |y| at most, and by 2e-7 where y < 0. Deterministic per element, on every
// processor. Both are memory bound.
#pragma once

#include "kernels/core/exec.h"
#include "kernels/core/view.h"

namespace nextgate::kernels::cpu {

void AddBias(View<float, 2> x, View<const float, 1> bias, Exec& exec);
void AddBiasGelu(View<float, 2> x, View<const float, 1> bias, Exec& exec);

}  // namespace nextgate::kernels::cpu
