// What the engine hands to one forward of the model, and the storage the model reads and writes.
// The contract between the scheduler (who fills it) and engine/model (who runs it).
//
// A *step* is one forward over T tokens of S sequences. A sequence's tokens are consecutive in the
// batch and continue at its context_len; the model writes their KV into the blocks of its table and
// advances the state in its slot. Before anything else the states in `loads` are read from their
// checkpoints; on the way the states in `emits` are written to theirs. On the CPU backend a sequence's results depend on its own tokens
// only: not on its neighbours, its chunking or the number of threads (bit for bit).
#pragma once

#include <cstdint>
#include <span>

#include "kernels/core/sequence.h"
#include "kernels/core/view.h"
#include "kernels/delta_net/checkpoint.h"

namespace nextgate::engine {

using kernels::kBlockTokens;  // P: tokens of KV in one block

struct StepInput {
  std::span<const int32_t> token_ids;  // [T]
  kernels::Sequences sequences;  // [S], in batch order; context_len == 0 starts from a zero state
  std::span<const int32_t> logit_rows;        // [R] rows whose logits are wanted, ascending
  std::span<const kernels::StateLoad> loads;  // at most one per state slot
  std::span<const kernels::StateEmit> emits;  // by (sequence, position)
};

// KV of every full-attention layer. k and v: [layers, B, Nkv, P, D], fp32 on the CPU. Owned by the
// engine's memory plan.
struct KvStorage {
  kernels::View<float, 5> k;
  kernels::View<float, 5> v;
};

// State of every Gated DeltaNet layer, fp32. recurrent: [slots, layers, Nv, Dk, Dv] (key channels
// as rows); conv: [slots, layers, C, J − 1], oldest input first. One slot is one contiguous row of
// each.
struct StateStorage {
  kernels::View<float, 5> recurrent;
  kernels::View<float, 4> conv;
};

// Where checkpoints are kept. Slots that a step loads from or emits to are left alone by others until
// it is done.
using CheckpointStorage = kernels::Checkpoints;

}  // namespace nextgate::engine
