// What the engine hands to one forward of the model, and the storage the model reads and writes.
// The contract between the scheduler (who fills it) and engine/model (who runs it).
//
// A *step* is one forward over T tokens of S sequences. A sequence's tokens are consecutive in the
// batch and continue at its context_len; the model writes their KV into the blocks of its table and
// advances the state in its slot. On the CPU backend a sequence's results depend on its own tokens
// only: not on its neighbours, its chunking or the number of threads (bit for bit).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/core/view.h"

namespace nextgate::engine {

inline constexpr int kBlockTokens = 64;  // P: tokens of KV in one block

struct StepSequence {
  int32_t token_begin = 0;  // first row of this sequence in the batch
  int32_t token_count = 0;  // >= 1
  int32_t context_len = 0;  // tokens computed before this step = position of its first row
  int32_t state_slot =
      0;  // where its recurrent and conv states live; context_len == 0 starts from zero
  std::span<const int32_t> block_table;  // block ids, covering context_len + token_count tokens
};

struct StepInput {
  std::span<const int32_t> token_ids;       // [T]
  std::span<const StepSequence> sequences;  // [S], in batch order
  std::span<const int32_t> logit_rows;      // [R] rows whose logits are wanted, ascending
};

// KV of every full-attention layer. k and v: [layers, blocks, Nkv, P, D], fp32 on the CPU. Owned by
// the engine's memory plan.
struct KvStorage {
  kernels::View<float, 5> k;
  kernels::View<float, 5> v;
};

// State of every Gated DeltaNet layer, fp32. recurrent: [slots, layers, Nv, Dk, Dv] (S transposed:
// row i holds key channel i); conv: [slots, layers, C, Kconv - 1], oldest input first. One slot is
// one contiguous row of each.
struct StateStorage {
  kernels::View<float, 5> recurrent;
  kernels::View<float, 4> conv;
};

}  // namespace nextgate::engine
