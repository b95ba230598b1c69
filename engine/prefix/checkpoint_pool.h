// Slots for checkpoints, in their own format (kernels/delta_net/checkpoint.h). Who owns which slot is
// PrefixCache's business; the pool knows only which are free. A slot is a page (page_pool.h), which may
// be shared with KV blocks.
//
// Invariants: every slot is either free or taken once; the slot given back last is taken first.
//
// Threads: the engine thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/status.h"
#include "engine/model/step.h"
#include "engine/prefix/page_pool.h"

namespace nextgate::engine {

class CheckpointPool {
 public:
  // With memory of its own.
  static Result<std::unique_ptr<CheckpointPool>> Open(const kernels::CheckpointLayout& layout,
                                                      int32_t slots);
  // At most `slots` of pages that others use too. REQUIRES: a page holds a checkpoint and is a multiple
  // of 64 bytes; no more slots than pages.
  static std::unique_ptr<CheckpointPool> OpenIn(const kernels::CheckpointLayout& layout,
                                                std::shared_ptr<PagePool> pages, int32_t slots);

  int32_t slots_total() const { return slots_; }
  int32_t slots_used() const { return used_; }
  // That could be taken now.
  int32_t slots_free() const { return std::min(slots_ - used_, pages_->pages_free()); }

  // A slot whose content is whatever was there; nothing if none is to be had.
  std::optional<int32_t> Take();
  void GiveBack(int32_t slot);

  const PagePool* pages() const { return pages_.get(); }
  const CheckpointStorage& storage() const { return storage_; }

  // Fault injection: after `takes` more calls of Take the next `count` are refused, slots or not.
  void Refuse(int32_t takes, int32_t count) {
    refuse_from_ = takes;
    refuse_count_ = count;
  }

  void check_integrity() const;

 private:
  CheckpointPool() = default;

  std::shared_ptr<PagePool> pages_;
  CheckpointStorage storage_;
  int32_t slots_ = 0;
  int32_t used_ = 0;
  std::vector<uint8_t> taken_;  // [pages]
  int32_t refuse_from_ = 0;     // calls of Take until then
  int32_t refuse_count_ = 0;
};

}  // namespace nextgate::engine
