#include "kernels/norm/rms_norm.h"

#include <cmath>

#include "base/check.h"

namespace nextgate::kernels::cpu {
namespace {

void NormRow(float* out, const float* x, const float* weight, int64_t hidden, float eps) {
  double squares = 0;
  for (int64_t h = 0; h < hidden; ++h) squares += static_cast<double>(x[h]) * x[h];
  const float scale =
      1.0f / std::sqrt(static_cast<float>(squares / static_cast<double>(hidden)) + eps);
  for (int64_t h = 0; h < hidden; ++h) out[h] = x[h] * scale * (1.0f + weight[h]);
}

}  // namespace

void RmsNorm(View<float, 2> out, View<const float, 2> x, View<const float, 1> weight, float eps,
             Exec& exec) {
  CHECK(out.shape == x.shape && weight.shape[0] == x.shape[1]);
  exec.pool->ParallelFor(x.shape[0], 16, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) NormRow(out.at(t), x.at(t), weight.data, x.shape[1], eps);
  });
}

void AddRmsNorm(View<float, 2> out, View<float, 2> residual, View<const float, 2> x,
                View<const float, 1> weight, float eps, Exec& exec) {
  CHECK(out.shape == x.shape && residual.shape == x.shape && weight.shape[0] == x.shape[1]);
  exec.pool->ParallelFor(x.shape[0], 16, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t h = 0; h < x.shape[1]; ++h) residual.at(t)[h] += x.at(t)[h];
      NormRow(out.at(t), residual.at(t), weight.data, x.shape[1], eps);
    }
  });
}

}  // namespace nextgate::kernels::cpu
