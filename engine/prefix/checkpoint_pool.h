// Slots for checkpoints, in their own format (kernels/delta_net/checkpoint.h). Who owns which slot is
// PrefixCache's business; the pool knows only which are free.
//
// Invariants: every slot is either free or taken once; the slot given back last is taken first.
//
// Threads: the engine thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/status.h"
#include "engine/memory/lazy_buffer.h"
#include "engine/model/step.h"

namespace nextgate::engine {

class CheckpointPool {
 public:
  static Result<std::unique_ptr<CheckpointPool>> Open(const kernels::CheckpointLayout& layout,
                                                      int32_t slots);

  int32_t slots_total() const { return static_cast<int32_t>(taken_.size()); }
  int32_t slots_free() const { return static_cast<int32_t>(free_.size()); }

  // A slot whose content is whatever was there; nothing if none is to be had.
  std::optional<int32_t> Take();
  void GiveBack(int32_t slot);

  const CheckpointStorage& storage() const { return storage_; }

  // Fault injection: after `takes` more calls of Take the next `count` are refused, slots or not.
  void Refuse(int32_t takes, int32_t count) {
    refuse_from_ = takes;
    refuse_count_ = count;
  }

  void check_integrity() const;

 private:
  CheckpointPool() = default;

  LazyBuffer memory_;
  CheckpointStorage storage_;
  std::vector<int32_t> free_;   // a stack
  std::vector<uint8_t> taken_;  // [slots]
  int32_t refuse_from_ = 0;     // calls of Take until then
  int32_t refuse_count_ = 0;
};

}  // namespace nextgate::engine
