// sum[t, h] = x[t, h] + bias[h] + residual[t, h]
// out[t, h] = (sum[t, h] − mean_h sum[t, :]) / sqrt(var_h sum[t, :] + eps) · weight[h] + shift[h]
//
//   out       [T, H]  may alias x or residual
//   x         [T, H]
//   bias      [H]
//   residual  [T, H]
//   weight, shift  [H]
//
// The variance is the mean of squares, not the sample's. Sums in double: deterministic per row.
// Memory bound. Source: BertSelfOutput and BertOutput in transformers' modeling_bert.py.
#pragma once

#include "kernels/core/exec.h"
#include "kernels/core/view.h"

namespace nextgate::kernels::cpu {

void AddLayerNorm(View<float, 2> out, View<const float, 2> x, View<const float, 1> bias,
                  View<const float, 2> residual, View<const float, 1> weight,
                  View<const float, 1> shift, float eps, Exec& exec);

}  // namespace nextgate::kernels::cpu
