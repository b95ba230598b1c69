#include "engine/scheduler.h"

#include <algorithm>

#include "base/check.h"
#include "engine/prefix/kv_pool.h"

namespace nextgate::engine {
namespace {

class Planner {
 public:
  Planner(const PlanInput& input, StepPlan* plan)
      : in_(input),
        plan_(*plan),
        tokens_left_(input.limits.step_tokens_max),
        rows_left_(input.limits.logit_rows_max),
        blocks_free_(input.blocks_free),
        slots_free_(input.slots_free) {
    for (const SequenceView& sequence : in_.sequences) running_ += sequence.running;
  }

  void Run() {
    if (!in_.limits.chunked_prefill && RunOnePrompt()) return;
    Decode();
    Prefill();
    Admit();
  }

 private:
  static int32_t Left(const SequenceView& s) { return s.tokens_total - s.tokens_computed; }
  static int32_t BlocksNew(const SequenceView& s) {
    return static_cast<int32_t>(BlocksFor(s.tokens_total)) - s.blocks_held;
  }

  // Rows of logits that computing [computed, end) yields.
  static int32_t RowsFor(const SequenceView& s, int32_t end) {
    const int32_t begin = std::max(s.prompt_rows_begin, s.tokens_computed);
    const int32_t prompt_rows = std::max(0, std::min(s.prompt_rows_end, end) - begin);
    return prompt_rows + (end == s.tokens_total ? 1 : 0);
  }

  // The longest chunk that ends at the sequence's end or on a multiple of 64 and fits what is left
  // of the step; 0 if none does.
  int32_t ChunkOf(const SequenceView& s) const {
    int32_t end = s.tokens_computed + std::min(Left(s), tokens_left_);
    if (end < s.tokens_total) end -= end % kBlockTokens;
    while (end > s.tokens_computed && RowsFor(s, end) > rows_left_)
      end = (end - 1) / kBlockTokens * kBlockTokens;
    return std::max(0, end - s.tokens_computed);
  }

  void Add(int32_t index, int32_t token_count, int32_t blocks_new, bool admitted) {
    const SequenceView& s = in_.sequences[index];
    plan_.work.push_back({index, token_count, blocks_new, admitted});
    tokens_left_ -= token_count;
    rows_left_ -= RowsFor(s, s.tokens_computed + token_count);
    blocks_free_ -= blocks_new + (admitted ? s.blocks_idle : 0);
    slots_free_ -= admitted ? 1 : 0;
    running_ += admitted ? 1 : 0;
  }

  bool IsPreempted(int32_t index) const {
    return std::find(plan_.preempted.begin(), plan_.preempted.end(), index) !=
           plan_.preempted.end();
  }

  // The youngest running sequence gives up its blocks and its slot.
  int32_t PreemptYoungest() {
    auto index = static_cast<int32_t>(in_.sequences.size());
    do --index;
    while (!in_.sequences[index].running || IsPreempted(index));
    plan_.preempted.push_back(index);
    blocks_free_ += in_.sequences[index].blocks_freed;
    ++slots_free_;
    --running_;
    return index;
  }

  void Decode() {
    for (int32_t i = 0; i < static_cast<int32_t>(in_.sequences.size()); ++i) {
      const SequenceView& s = in_.sequences[i];
      if (!s.running || Left(s) != 1 || IsPreempted(i)) continue;
      if (tokens_left_ == 0 || rows_left_ == 0) return;
      const int32_t blocks_new = BlocksNew(s);
      bool fits = true;
      while (fits && blocks_free_ < blocks_new) fits = PreemptYoungest() != i;
      if (fits) Add(i, 1, blocks_new, false);
    }
  }

  // Running prefills hold the blocks of all their tokens since admission.
  void Prefill() {
    for (int32_t i = 0; i < static_cast<int32_t>(in_.sequences.size()); ++i) {
      const SequenceView& s = in_.sequences[i];
      if (!s.running || Left(s) == 1 || IsPreempted(i)) continue;
      if (const int32_t count = ChunkOf(s); count > 0) Add(i, count, 0, false);
    }
  }

  bool CanAdmit(const SequenceView& s) const {
    const int64_t headroom = running_ > 0 ? 1 : 0;
    return slots_free_ > 0 && running_ < in_.limits.sequences_max &&
           BlocksNew(s) + s.blocks_idle + headroom <= blocks_free_;
  }

  void Admit() {
    if (!plan_.preempted.empty()) return;
    for (int32_t i = 0; i < static_cast<int32_t>(in_.sequences.size()); ++i) {
      const SequenceView& s = in_.sequences[i];
      if (s.running) continue;
      if (!in_.limits.chunked_prefill && Left(s) > 1) return;  // its turn comes, alone
      const int32_t count = CanAdmit(s) ? ChunkOf(s) : 0;
      if (count == 0) return;
      Add(i, count, BlocksNew(s), true);
    }
  }

  // Without chunked prefill: the first prompt that is running or can be admitted has the step to
  // itself. False if there is none.
  bool RunOnePrompt() {
    for (int32_t i = 0; i < static_cast<int32_t>(in_.sequences.size()); ++i) {
      const SequenceView& s = in_.sequences[i];
      if (!s.running || Left(s) == 1) continue;
      Add(i, ChunkOf(s), 0, false);
      return true;
    }
    for (int32_t i = 0; i < static_cast<int32_t>(in_.sequences.size()); ++i) {
      const SequenceView& s = in_.sequences[i];
      if (s.running) continue;
      if (Left(s) == 1 || !CanAdmit(s)) return false;
      Add(i, ChunkOf(s), BlocksNew(s), true);
      return true;
    }
    return false;
  }

  const PlanInput& in_;
  StepPlan& plan_;
  int32_t tokens_left_;
  int32_t rows_left_;
  int32_t blocks_free_;
  int32_t slots_free_;
  int32_t running_ = 0;
};

}  // namespace

void Scheduler::Plan(const PlanInput& input, StepPlan* plan) {
  CHECK(input.limits.step_tokens_max >= input.limits.sequences_max + kBlockTokens &&
        input.limits.logit_rows_max >= input.limits.sequences_max + kBlockTokens);
  plan->Clear();
  Planner(input, plan).Run();
}

}  // namespace nextgate::engine
