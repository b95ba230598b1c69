#include <cmath>

#include "base/check.h"
#include "kernels/norm/layer_norm.h"

namespace nextgate::kernels::cpu {

void AddLayerNorm(View<float, 2> out, View<const float, 2> x, View<const float, 1> bias,
                  View<const float, 2> residual, View<const float, 1> weight,
                  View<const float, 1> shift, float eps, Exec& exec) {
  const int64_t hidden = x.shape[1];
  CHECK(out.shape == x.shape && residual.shape == x.shape && bias.shape[0] == hidden);
  CHECK(weight.shape[0] == hidden && shift.shape[0] == hidden);
  exec.pool->ParallelFor(x.shape[0], 16, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      float* row = out.at(t);
      double sum = 0;
      for (int64_t h = 0; h < hidden; ++h) {
        row[h] = x.at(t)[h] + bias.data[h] + residual.at(t)[h];
        sum += row[h];
      }
      const double mean = sum / static_cast<double>(hidden);
      double squares = 0;
      for (int64_t h = 0; h < hidden; ++h) squares += (row[h] - mean) * (row[h] - mean);
      const double scale = 1 / std::sqrt(squares / static_cast<double>(hidden) + eps);
      for (int64_t h = 0; h < hidden; ++h)
        row[h] = static_cast<float>((row[h] - mean) * scale) * weight.data[h] + shift.data[h];
    }
  });
}

}  // namespace nextgate::kernels::cpu
