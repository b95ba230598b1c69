#include "base/check.h"
#include "kernels/core/simd.h"
#include "kernels/gemm/bias.h"

namespace nextgate::kernels::cpu {
namespace {

template <class Function>
void EachRow(View<float, 2> x, View<const float, 1> bias, Exec& exec, Function function) {
  CHECK(bias.shape[0] == x.shape[1]);
  exec.pool->ParallelFor(x.shape[0], 4, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) function(x.at(t), bias.data, x.shape[1]);
  });
}

}  // namespace

void AddBias(View<float, 2> x, View<const float, 1> bias, Exec& exec) {
  EachRow(x, bias, exec, [](float* row, const float* b, int64_t count) {
    for (int64_t n = 0; n < count; ++n) row[n] += b[n];
  });
}

void AddBiasGelu(View<float, 2> x, View<const float, 1> bias, Exec& exec) {
  EachRow(x, bias, exec, simd::Best().bias_gelu);
}

}  // namespace nextgate::kernels::cpu
