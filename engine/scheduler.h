// Decides which sequences run how many tokens in the next step. A pure function: what it sees is in
// PlanInput, what it decides in StepPlan; the engine carries it out.
//
// Order: lower priority value first, then earlier arrival. In that order:
//   1. decode: running sequences with one token left to compute, one token each;
//   2. prefill: running sequences with more, in chunks that end on multiples of 64 or at their end;
//   3. admission: waiting sequences, while there is a state slot, blocks for all their tokens and one
//      block of headroom (none is needed when nothing else runs); the first that does not fit holds
//      up those behind it, so that a large one is not starved by small ones. What the prefix cache has
//      of a waiting sequence counts as computed and held.
// All within step_tokens_max tokens and logit_rows_max rows of logits.
//
// A sequence gets the blocks of its known tokens at admission and one more as it grows past them.
// When none is free, the youngest running sequence (the last in the order) is preempted, and
// nothing is admitted in that step.
//
// Without chunked prefill a prompt of more than one token runs alone, one step_tokens_max piece
// after the other, before anything decodes.
//
// Invariants: (1) if a sequence is there, something runs or is preempted, given that each fits the
// pools alone; (2) the first running sequence in the order is never preempted; (3) the first running
// sequence with more than one token left advances in every step that does not preempt it:
// step_tokens_max leaves a block beside all that decode, so that no stream starves a prompt.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/model/step.h"

namespace nextgate::engine {

struct SchedulerLimits {
  int32_t step_tokens_max = 2048;  // >= sequences_max + kBlockTokens
  int32_t sequences_max = 64;
  int32_t logit_rows_max = 128;  // >= sequences_max + kBlockTokens
  bool chunked_prefill = true;
};

// What the scheduler sees of one sequence.
struct SequenceView {
  bool running = false;         // holds a state slot
  int32_t tokens_total = 0;     // known: prompt and generated; > tokens_computed
  int32_t tokens_computed = 0;  // or, while it waits, found in the prefix cache
  int32_t blocks_held = 0;      // those of tokens_computed among them
  int32_t blocks_idle = 0;      // waiting: of those, used by nobody yet, and part of blocks_free
  int32_t blocks_freed = 0;     // running: that come free if it and all behind it are preempted
  // Rows of the prompt whose logits are wanted (prompt_logprobs) and not there yet.
  int32_t prompt_rows_begin = 0;
  int32_t prompt_rows_end = 0;
};

struct PlanInput {
  SchedulerLimits limits;
  int32_t blocks_free = 0;  // or cached and used by nobody
  int32_t slots_free = 0;
  std::span<const SequenceView> sequences;  // in the order (priority, arrival)
};

struct StepPlan {
  struct Work {
    int32_t sequence = 0;     // index into PlanInput::sequences
    int32_t token_count = 0;  // >= 1
    int32_t blocks_new = 0;   // to take before the step
    bool admitted = false;    // takes a state slot
  };
  std::vector<int32_t> preempted;  // to be carried out first
  std::vector<Work> work;          // batch order

  void Clear() {
    preempted.clear();
    work.clear();
  }
};

class Scheduler {
 public:
  // Replaces *plan (its storage is reused).
  static void Plan(const PlanInput& input, StepPlan* plan);
};

}  // namespace nextgate::engine
