// KV of one full-attention layer in 64-token blocks. A head's positions of one block are
// contiguous, so attention reads whole rows in order.
#pragma once

#include "kernels/core/sequence.h"
#include "kernels/core/view.h"

namespace nextgate::kernels {

struct PagedKv {
  View<float, 4> k;  // [B, Nkv, P, D]
  View<float, 4> v;  // [B, Nkv, P, D]
};

}  // namespace nextgate::kernels
