// Which sequences run how many tokens in the next step. A pure function: the engine shows it every
// sequence and what is free, and carries out what it says.
//
// Rules: (1) decodes first, then prefills that have begun, then waiting requests, each by priority,
// then arrival. (2) A prefill chunk ends at a multiple of 64 or at the end of its tokens. (3) A
// waiting request is admitted when there is a state slot, room for its tokens' blocks and one block
// of headroom. (4) When a decode finds no block, the last of the running by priority and arrival is
// put back and recomputed later. (5) Without chunked prefill a prompt shares its steps with no
// other work, except that several whole prompts may share one.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace nextgate::engine {

struct SchedulerLimits {
  int32_t tokens_max = 2048;   // per step; ≥ 64
  int32_t sequences_max = 64;  // running at once
  bool chunked_prefill = true;
  int32_t prompt_logit_rows = 64;  // chunk size of a sequence that wants logits of its prompt
};

// One unfinished sequence as the scheduler sees it.
struct Schedulable {
  int32_t tokens = 0;    // prompt and generated so far
  int32_t computed = 0;  // of those, how many have been run; ≤ tokens − 1 before a step
  int32_t blocks_held = 0;
  bool running = false;        // holds a slot
  bool prompt_logits = false;  // wants logits of its prompt
  int32_t priority = 0;        // lower runs first
  uint64_t arrival = 0;
};

struct StepPlan {
  struct Run {
    int32_t sequence;  // index into what was shown
    int32_t count;     // tokens, from `computed` on
  };
  std::vector<int32_t> preempted;  // give everything back; carried out first
  std::vector<int32_t> admitted;   // take a slot; all of them appear in `runs`
  std::vector<Run> runs;           // blocks for computed + count tokens are there, in this order
  int32_t tokens = 0;
};

// Blocks that `tokens` tokens fill.
int32_t BlocksFor(int32_t tokens);

StepPlan PlanStep(const SchedulerLimits& limits, std::span<const Schedulable> sequences,
                  int32_t blocks_free, int32_t slots_free);

}  // namespace nextgate::engine
