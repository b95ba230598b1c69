// What the engine's memory is spent on, decided once at start: weights, activations, logits, states
// (one slot per sequence), the prefix cache's host tier where the device's memory is the host's, and,
// with what is left, KV blocks and the prefix cache's checkpoints. Those two share it in pages of one
// checkpoint or some blocks, so that `blocks` and `checkpoints` are what it is sized by and no border
// between them; but of what was asked for by hand each has a pool of its own. Too little memory is an
// error with the arithmetic in it.
//
// Threads: pure, but for MachineMemoryBytes.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace nextgate::engine {

// The default KV pool on the CPU is no larger than this; --kv tokens given by hand may be.
inline constexpr int64_t kDefaultKvBytesMax = int64_t{4} << 30;

struct MemoryNeeds {
  int64_t machine_bytes = 0;
  double utilization = 0.9;  // share of it the plan may take
  int64_t weight_bytes = 0;
  int64_t activation_bytes = 0;
  int64_t logit_bytes = 0;
  int64_t slot_bytes = 0;          // of one state
  int32_t slots = 0;               // max_num_seqs
  int64_t host_tier_bytes = 0;     // in this memory; 0: none, or elsewhere
  int64_t block_bytes = 0;         // of one KV block
  int64_t kv_tokens = 0;           // asked for; 0: as many as are useful and fit
  int64_t checkpoint_bytes = 0;    // of one checkpoint
  double checkpoint_fraction = 0;  // of what is left for both and of what both take: their share
  int32_t checkpoints = -1;        // asked for; -1: as many as are useful and fit
  int32_t max_model_len = 0;
  bool max_model_len_fixed = false;  // asked for: may not be lowered to what fits
};

struct MemoryPlan {
  MemoryNeeds needs;
  int32_t blocks = 0;
  int32_t checkpoints = 0;
  int32_t max_model_len = 0;  // as asked, or lowered to the KV that fits
  int32_t page_blocks = 0;    // KV blocks that a checkpoint's page holds; 0: two pools
  int32_t pages = 0;
  int32_t checkpoints_max = 0;  // of the pages; the others hold one sequence at full length
};

// kResourceExhausted: it does not fit.
Result<MemoryPlan> PlanMemory(const MemoryNeeds& needs);

// The plan as lines of text, for the log at start.
std::string MemoryTable(const MemoryPlan& plan);

// Of the machine, or less where a control group says so.
int64_t MachineMemoryBytes();

}  // namespace nextgate::engine
