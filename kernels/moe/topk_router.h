// p = softmax(logits[t, :]) in fp32; the K most likely experts, most likely first (ties: the lower
// id); renormalised to sum 1 where asked.
//
//   ids      [T, K]  out
//   weights  [T, K]  out
//   logits   [T, E]
//
// Deterministic per row. Source: Qwen3NextTopKRouter.
#pragma once

#include "kernels/core/exec.h"
#include "kernels/core/view.h"

namespace nextgate::kernels::cpu {

void TopKRouter(View<int32_t, 2> ids, View<float, 2> weights, View<const float, 2> logits,
                bool renormalise, Exec& exec);

}  // namespace nextgate::kernels::cpu

namespace nextgate::kernels::cuda {  // built where nvcc is found; launches on Exec::stream; E ≤
                                     // 1024, K ≤ 32

void TopKRouter(View<int32_t, 2> ids, View<float, 2> weights, View<const float, 2> logits,
                bool renormalise, Exec& exec);

}  // namespace nextgate::kernels::cuda
