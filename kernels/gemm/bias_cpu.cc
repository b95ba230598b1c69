#include <cmath>
#include <numbers>

#include "base/check.h"
#include "kernels/gemm/bias.h"

namespace nextgate::kernels::cpu {
namespace {

constexpr float kSqrtHalf = static_cast<float>(std::numbers::sqrt2 / 2);

template <class Function>
void EachElement(View<float, 2> x, View<const float, 1> bias, Exec& exec, Function function) {
  CHECK(bias.shape[0] == x.shape[1]);
  exec.pool->ParallelFor(x.shape[0], 4, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      float* row = x.at(t);
      for (int64_t n = 0; n < x.shape[1]; ++n) row[n] = function(row[n] + bias.data[n]);
    }
  });
}

}  // namespace

void AddBias(View<float, 2> x, View<const float, 1> bias, Exec& exec) {
  EachElement(x, bias, exec, [](float y) { return y; });
}

void AddBiasGelu(View<float, 2> x, View<const float, 1> bias, Exec& exec) {
  EachElement(x, bias, exec, [](float y) { return 0.5f * y * (1 + std::erf(y * kSqrtHalf)); });
}

}  // namespace nextgate::kernels::cpu
