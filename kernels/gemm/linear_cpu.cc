#include <algorithm>
#include <array>

#include "base/check.h"
#include "kernels/core/simd.h"
#include "kernels/gemm/linear.h"

namespace nextgate::kernels::cpu {
namespace {

constexpr int64_t kTokenTile = 64;           // rows of x that stay in the first-level caches
constexpr int64_t kMinMultiplies = 1 << 14;  // a range of outputs worth waking a thread for
constexpr int64_t kRowTile = 32;             // weight rows per pass over the token tile

}  // namespace

void Linear(View<float, 2> out, View<const float, 2> x, const WeightView& w, Exec& exec) {
  CHECK(out.shape[0] == x.shape[0] && out.shape[1] == w.rows && x.shape[1] == w.cols);
  CHECK((w.dtype == DType::kF8E4M3) == (w.scales != nullptr));
  const int64_t tokens = x.shape[0];
  const int64_t grain =
      std::max<int64_t>(8, kMinMultiplies / std::max<int64_t>(1, tokens * w.cols));
  exec.pool->ParallelFor(w.rows, grain, [&](int64_t begin, int64_t end) {
    std::array<const float*, kTokenTile> rows;
    std::array<float*, kTokenTile> out_rows;
    for (int64_t token = 0; token < tokens; token += kTokenTile) {
      const int64_t count = std::min(kTokenTile, tokens - token);
      for (int64_t t = 0; t < count; ++t) {
        rows[t] = x.at(token + t);
        out_rows[t] = out.at(token + t);
      }
      for (int64_t row = begin; row < end; row += kRowTile) {
        simd::Best().product({.out = out_rows.data(),
                              .x = rows.data(),
                              .tokens = count,
                              .w = w,
                              .row_begin = row,
                              .row_end = std::min(end, row + kRowTile)});
      }
    }
  });
}

}  // namespace nextgate::kernels::cpu
