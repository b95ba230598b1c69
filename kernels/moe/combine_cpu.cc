#include <cmath>

#include "base/check.h"
#include "kernels/core/math.h"
#include "kernels/moe/combine.h"

namespace nextgate::kernels::cpu {

void CombineExperts(View<float, 2> residual, View<const float, 3> experts,
                    View<const float, 2> weights, View<const float, 2> shared,
                    View<const float, 2> shared_gate, Exec& exec) {
  const int64_t hidden = residual.shape[1];
  const int64_t top = experts.shape[1];
  const bool has_shared = !shared.empty();
  CHECK(experts.shape[0] == residual.shape[0] && experts.shape[2] == hidden &&
        weights.shape[1] == top);
  CHECK(!has_shared ||
        (shared.shape == residual.shape && shared_gate.shape[0] == residual.shape[0]));
  exec.pool->ParallelFor(residual.shape[0], 16, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const float gate = has_shared ? Sigmoid(*shared_gate.at(t)) : 0.0f;
      for (int64_t h = 0; h < hidden; ++h) {
        float sum = 0;
        for (int64_t i = 0; i < top; ++i) sum += *weights.at(t, i) * experts.at(t, i)[h];
        if (has_shared) sum += gate * shared.at(t)[h];
        residual.at(t)[h] += sum;
      }
    }
  });
}

void AddRows(View<float, 2> residual, View<const float, 2> x, Exec& exec) {
  CHECK(residual.shape == x.shape);
  exec.pool->ParallelFor(x.shape[0], 16, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      for (int64_t h = 0; h < x.shape[1]; ++h) residual.at(t)[h] += x.at(t)[h];
  });
}

}  // namespace nextgate::kernels::cpu
