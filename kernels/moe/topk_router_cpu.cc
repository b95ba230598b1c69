#include "kernels/moe/topk_router.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace nextgate::kernels::cpu {
namespace {

// Insertion into a short sorted list: K is about ten, E some hundreds.
void SelectRow(int32_t* ids, float* weights, int64_t top, const float* logits, int64_t experts) {
  int64_t filled = 0;
  for (int64_t e = 0; e < experts; ++e) {
    if (filled == top && !(logits[e] > logits[ids[top - 1]])) continue;
    int64_t at = filled < top ? filled++ : top - 1;
    for (; at > 0 && logits[e] > logits[ids[at - 1]]; --at) ids[at] = ids[at - 1];
    ids[at] = static_cast<int32_t>(e);
  }
  double sum = 0;
  for (int64_t e = 0; e < experts; ++e) sum += std::exp(logits[e] - logits[ids[0]]);
  for (int64_t i = 0; i < top; ++i)
    weights[i] = static_cast<float>(std::exp(logits[ids[i]] - logits[ids[0]]) / sum);
}

}  // namespace

void TopKRouter(View<int32_t, 2> ids, View<float, 2> weights, View<const float, 2> logits,
                bool renormalise, Exec& exec) {
  const int64_t top = ids.shape[1];
  CHECK(weights.shape == ids.shape && ids.shape[0] == logits.shape[0] && top >= 1 &&
        top <= logits.shape[1]);
  exec.pool->ParallelFor(ids.shape[0], 16, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      SelectRow(ids.at(t), weights.at(t), top, logits.at(t), logits.shape[1]);
      if (!renormalise) continue;
      float sum = 0;
      for (int64_t i = 0; i < top; ++i) sum += *weights.at(t, i);
      for (int64_t i = 0; i < top; ++i) *weights.at(t, i) /= sum;
    }
  });
}

}  // namespace nextgate::kernels::cpu
