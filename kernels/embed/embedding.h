// out[t, :] = table[ids[t], :], converted to float.
//
//   out    [T, H]
//   ids    [T]     each in [0, V); checked
//   table  [V, H]  f32, f16 or bf16
#pragma once

#include <span>

#include "kernels/core/dtype.h"
#include "kernels/core/exec.h"
#include "kernels/core/view.h"

namespace nextgate::kernels::cpu {

void Embedding(View<float, 2> out, std::span<const int32_t> ids, const WeightView& table,
               Exec& exec);

}  // namespace nextgate::kernels::cpu
