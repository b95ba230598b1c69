// One sequence of a step, as every op that touches KV or states needs it. A step's tokens are rows
// [0, T) of the batch; a sequence owns consecutive rows that continue at context_len.
#pragma once

#include <cstdint>
#include <span>

namespace nextgate::kernels {

inline constexpr int kBlockTokens = 64;  // P: tokens of KV in one block

struct SequenceSpan {
  int32_t token_begin = 0;  // first row of this sequence in the batch
  int32_t token_count = 0;  // >= 1
  int32_t context_len = 0;  // tokens computed before this step = position of its first row
  int32_t state_slot = 0;   // where its recurrent and conv states live
  std::span<const int32_t> block_table;  // block ids, covering context_len + token_count tokens
};

using Sequences = std::span<const SequenceSpan>;

}  // namespace nextgate::kernels
