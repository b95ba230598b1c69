#include "engine/scheduler.h"

#include <algorithm>
#include <numeric>
#include <tuple>
#include <utility>

#include "engine/model/step.h"

namespace nextgate::engine {
namespace {

// The state of one planning: what is still free, and what was decided.
class Planner {
 public:
  Planner(const SchedulerLimits& limits, std::span<const Schedulable> sequences,
          int32_t blocks_free, int32_t slots_free)
      : limits_(limits),
        sequences_(sequences),
        blocks_free_(blocks_free),
        slots_free_(slots_free),
        gone_(sequences.size(), false) {
    order_.resize(sequences.size());
    std::iota(order_.begin(), order_.end(), 0);
    std::ranges::sort(order_, {},
                      [&](int32_t i) { return std::tuple(At(i).priority, At(i).arrival); });
    running_ = static_cast<int32_t>(std::ranges::count(sequences, true, &Schedulable::running));
  }

  StepPlan Plan() {
    if (limits_.chunked_prefill) {
      PlanDecodes();
      PlanPrefills();
      PlanAdmissions();
    } else {
      PlanPrefills();
      if (plan_.runs.empty()) PlanAdmissions();
      if (plan_.runs.empty()) PlanDecodes();
    }
    return std::move(plan_);
  }

 private:
  const Schedulable& At(int32_t i) const { return sequences_[static_cast<size_t>(i)]; }
  bool Gone(int32_t i) const { return gone_[static_cast<size_t>(i)]; }
  int32_t TokensLeft() const { return limits_.tokens_max - plan_.tokens; }

  void Run(int32_t i, int32_t count) {
    blocks_free_ -= BlocksFor(At(i).computed + count) -
                    std::min(At(i).blocks_held, BlocksFor(At(i).computed + count));
    plan_.runs.push_back({i, count});
    plan_.tokens += count;
  }

  void PlanDecodes() {
    for (const int32_t i : order_) {
      const Schedulable& s = At(i);
      if (!s.running || s.tokens - s.computed != 1 || Gone(i) || TokensLeft() < 1) continue;
      if (MakeRoom(i, BlocksFor(s.tokens) - s.blocks_held)) Run(i, 1);
    }
  }

  // Puts back running sequences, last in the order first, until `blocks` are free; false if
  // `wanting` itself had to go.
  bool MakeRoom(int32_t wanting, int32_t blocks) {
    for (auto last = order_.rbegin(); blocks > blocks_free_ && last != order_.rend(); ++last) {
      const int32_t i = *last;
      if (!At(i).running || Gone(i)) continue;
      if (i != wanting && InPlan(i))
        continue;  // earlier in the order than `wanting`, so never reached before it
      gone_[static_cast<size_t>(i)] = true;
      plan_.preempted.push_back(i);
      blocks_free_ += At(i).blocks_held;
      ++slots_free_;
      --running_;
      if (i == wanting) return false;
    }
    return blocks <= blocks_free_;
  }
  bool InPlan(int32_t i) const {
    return std::ranges::find(plan_.runs, i, &StepPlan::Run::sequence) != plan_.runs.end();
  }

  // The longest chunk of the rest that fits the budget and ends where a chunk may end; 0 if none
  // does.
  int32_t Chunk(const Schedulable& s) const {
    const int32_t rest = s.tokens - s.computed;
    int32_t budget = TokensLeft();
    if (s.prompt_logits) budget = std::min(budget, limits_.prompt_logit_rows);
    if (rest <= budget) return rest;
    return std::max(0, (s.computed + budget) / kBlockTokens * kBlockTokens - s.computed);
  }

  // Without chunked prefill, a prompt that does not fit whole into the step runs in pieces, alone.
  bool MayShare(int32_t count, const Schedulable& s) const {
    return limits_.chunked_prefill || plan_.runs.empty() || count == s.tokens - s.computed;
  }

  void PlanPrefills() {
    for (const int32_t i : order_) {
      const Schedulable& s = At(i);
      if (!s.running || s.tokens - s.computed == 1 || Gone(i)) continue;
      const int32_t count = Chunk(s);
      if (count > 0 && WantsPromptLogits(s) && MayShare(count, s)) Run(i, count);
    }
  }

  // Logits of prompts are written for one sequence a step.
  bool WantsPromptLogits(const Schedulable& s) {
    if (!s.prompt_logits) return true;
    return !std::exchange(prompt_logits_planned_, true);
  }

  void PlanAdmissions() {
    for (const int32_t i : order_) {
      const Schedulable& s = At(i);
      if (s.running) continue;
      if (slots_free_ < 1 || running_ >= limits_.sequences_max ||
          BlocksFor(s.tokens) + 1 > blocks_free_)
        return;  // in order
      const int32_t count = Chunk(s);
      if (count == 0 || !MayShare(count, s)) return;
      if (!WantsPromptLogits(s)) continue;
      // All blocks of its tokens are spoken for now, so that a chunked prefill cannot run dry
      // half-way.
      const int32_t reserved = BlocksFor(s.tokens) - BlocksFor(s.computed + count);
      Run(i, count);
      blocks_free_ -= reserved;
      plan_.admitted.push_back(i);
      --slots_free_;
      ++running_;
    }
  }

  const SchedulerLimits& limits_;
  std::span<const Schedulable> sequences_;
  int32_t blocks_free_;
  int32_t slots_free_;
  int32_t running_ = 0;
  bool prompt_logits_planned_ = false;
  std::vector<int32_t> order_;
  std::vector<bool> gone_;
  StepPlan plan_;
};

}  // namespace

int32_t BlocksFor(int32_t tokens) { return (tokens + kBlockTokens - 1) / kBlockTokens; }

StepPlan PlanStep(const SchedulerLimits& limits, std::span<const Schedulable> sequences,
                  int32_t blocks_free, int32_t slots_free) {
  return Planner(limits, sequences, blocks_free, slots_free).Plan();
}

}  // namespace nextgate::engine
