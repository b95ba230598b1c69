#include "engine/step_batch.h"

#include <algorithm>

#include "base/check.h"
#include "engine/prefix/kv_pool.h"

namespace nextgate::engine {

StepBatch::StepBatch(const SchedulerLimits& limits) {
  token_ids_.reserve(static_cast<size_t>(limits.step_tokens_max));
  spans_.reserve(static_cast<size_t>(limits.sequences_max));
  logit_rows_.reserve(static_cast<size_t>(limits.logit_rows_max));
  loads_.reserve(static_cast<size_t>(limits.sequences_max));
  emits_.reserve(static_cast<size_t>(limits.step_tokens_max) / kBlockTokens +
                 static_cast<size_t>(limits.sequences_max));
  items_.reserve(static_cast<size_t>(limits.sequences_max));
}

void StepBatch::Clear() {
  token_ids_.clear();
  spans_.clear();
  logit_rows_.clear();
  loads_.clear();
  emits_.clear();
  items_.clear();
}

void StepBatch::Add(Sequence* sequence, int32_t token_count) {
  const Sequence& s = *sequence;
  const auto first_row = static_cast<int32_t>(token_ids_.size());
  const int32_t begin = s.tokens_computed;
  const int32_t end = begin + token_count;
  CHECK(token_count >= 1 && end <= s.tokens_total() && s.running());
  CHECK(BlocksFor(end) <= static_cast<int64_t>(s.block_table.size()));
  token_ids_.insert(token_ids_.end(), s.tokens.begin() + begin, s.tokens.begin() + end);
  spans_.push_back({.token_begin = first_row,
                    .token_count = token_count,
                    .context_len = begin,
                    .state_slot = s.state_slot,
                    .block_table = s.block_table});

  BatchItem item{.sequence = sequence,
                 .token_count = token_count,
                 .logit_begin = static_cast<int32_t>(logit_rows_.size())};
  item.prompt_row_begin = std::max(s.prompt_rows_begin(), begin);
  item.prompt_row_count = std::max(0, std::min(s.prompt_rows_end(), end) - item.prompt_row_begin);
  for (int32_t i = 0; i < item.prompt_row_count; ++i)
    logit_rows_.push_back(first_row + item.prompt_row_begin + i - begin);
  item.completes = end == s.tokens_total();
  item.samples = item.completes && s.generated() < s.request.max_tokens;
  if (item.samples) logit_rows_.push_back(first_row + token_count - 1);
  items_.push_back(item);
}

}  // namespace nextgate::engine
