// The tokens of one step, laid out as the model wants them, and which rows of logits belong to
// whom.
//
// Threads: the engine thread. Storage is reused from step to step.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/model/step.h"
#include "engine/scheduler.h"
#include "engine/sequence.h"

namespace nextgate::engine {

struct BatchItem {
  Sequence* sequence = nullptr;
  int32_t token_count = 0;
  int32_t logit_begin = 0;       // its first row of logits
  int32_t prompt_row_begin = 0;  // prompt rows [begin, begin + count) come first
  int32_t prompt_row_count = 0;
  bool completes = false;  // every known token is computed after this step
  bool samples = false;    // and the last row of logits says what follows
};

class StepBatch {
 public:
  explicit StepBatch(const SchedulerLimits& limits);

  void Clear();
  // The state slot begins with what the checkpoint holds.
  void AddLoad(kernels::StateLoad load) { loads_.push_back(load); }
  // The next token_count tokens of the sequence. REQUIRES: its table covers them; it has a slot.
  void Add(Sequence* sequence, int32_t token_count);
  // What the sequences added so far keep on the way; more may be appended for the last one.
  std::vector<kernels::StateEmit>* emits() { return &emits_; }
  int32_t sequences() const { return static_cast<int32_t>(items_.size()); }

  StepInput input() const { return {token_ids_, spans_, logit_rows_, loads_, emits_}; }
  const std::vector<BatchItem>& items() const { return items_; }
  int64_t logit_rows() const { return static_cast<int64_t>(logit_rows_.size()); }
  bool empty() const { return items_.empty(); }

 private:
  std::vector<int32_t> token_ids_;
  std::vector<kernels::SequenceSpan> spans_;
  std::vector<int32_t> logit_rows_;
  std::vector<kernels::StateLoad> loads_;
  std::vector<kernels::StateEmit> emits_;
  std::vector<BatchItem> items_;
};

}  // namespace nextgate::engine
