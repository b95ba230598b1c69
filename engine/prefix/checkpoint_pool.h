// Slots for checkpoints, in their own format (kernels/delta_net/checkpoint.h). Who owns which slot is
// PrefixCache's business; the pool knows only which are free.
//
// Invariants: every slot is either free or taken once; the slot given back last is taken first.
//
// Threads: the engine thread.
#pragma once

#include <cstdint>
#include <memory>
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

  // REQUIRES: slots_free() > 0. Its content is whatever was there.
  int32_t Take();
  void GiveBack(int32_t slot);

  const CheckpointStorage& storage() const { return storage_; }

  void check_integrity() const;

 private:
  CheckpointPool() = default;

  LazyBuffer memory_;
  CheckpointStorage storage_;
  std::vector<int32_t> free_;   // a stack
  std::vector<uint8_t> taken_;  // [slots]
};

}  // namespace nextgate::engine
