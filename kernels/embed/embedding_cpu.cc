#include "kernels/embed/embedding.h"

#include "base/check.h"
#include "kernels/core/convert.h"

namespace nextgate::kernels::cpu {

void Embedding(View<float, 2> out, std::span<const int32_t> ids, const WeightView& table,
               Exec& exec) {
  CHECK(out.shape[0] == static_cast<int64_t>(ids.size()) && out.shape[1] == table.cols);
  CHECK(table.dtype != DType::kF8E4M3, "embeddings are not quantised");
  exec.pool->ParallelFor(out.shape[0], 64, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      CHECK(ids[t] >= 0 && ids[t] < table.rows, "token id %d of a vocabulary of %ld", ids[t],
            static_cast<long>(table.rows));
      ConvertToFloat(out.at(t), table.data, table.dtype, ids[t] * table.cols, table.cols);
    }
  });
}

}  // namespace nextgate::kernels::cpu
