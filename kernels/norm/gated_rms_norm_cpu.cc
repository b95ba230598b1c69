#include "kernels/norm/gated_rms_norm.h"

#include <cmath>

#include "base/check.h"
#include "kernels/core/math.h"

namespace nextgate::kernels::cpu {

void GatedRmsNorm(View<float, 2> out, View<const float, 3> x, View<const float, 2> gate,
                  View<const float, 1> weight, float eps, Exec& exec) {
  const int64_t heads = x.shape[1];
  const int64_t dim = x.shape[2];
  CHECK(out.shape[0] == x.shape[0] && out.shape[1] == heads * dim && gate.shape == out.shape &&
        weight.shape[0] == dim);
  exec.pool->ParallelFor(x.shape[0] * heads, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t t = i / heads;
      const int64_t n = i % heads;
      const float* row = x.at(t, n);
      double squares = 0;
      for (int64_t d = 0; d < dim; ++d) squares += static_cast<double>(row[d]) * row[d];
      const float scale =
          1.0f / std::sqrt(static_cast<float>(squares / static_cast<double>(dim)) + eps);
      float* to = out.at(t, n * dim);
      const float* z = gate.at(t, n * dim);
      for (int64_t d = 0; d < dim; ++d) to[d] = weight.data[d] * (row[d] * scale) * Silu(z[d]);
    }
  });
}

}  // namespace nextgate::kernels::cpu
