// Slots for the recurrent and conv states of every Gated DeltaNet layer: one slot holds one state,
// a running sequence holds one slot.
//
// Invariants: (1) every slot is either free or held once; (2) the slot given back last is taken
// first.
//
// Threads: the engine thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/status.h"
#include "engine/memory/lazy_buffer.h"
#include "engine/model/config.h"
#include "engine/model/step.h"

namespace nextgate::engine {

class StatePool {
 public:
  // Bytes of one state, all layers.
  static int64_t SlotBytes(const ModelConfig& config);

  static Result<std::unique_ptr<StatePool>> Open(const ModelConfig& config, int32_t slots);

  int32_t slots_total() const { return static_cast<int32_t>(held_.size()); }
  int32_t slots_free() const { return static_cast<int32_t>(free_.size()); }
  int32_t slots_used() const { return slots_total() - slots_free(); }

  // REQUIRES: a free slot. Its content is whatever was there: a sequence starts with context_len 0.
  int32_t Take();
  void GiveBack(int32_t slot);

  const StateStorage& storage() const { return storage_; }

  // Aborts if invariant 1 does not hold.
  void check_integrity() const;

 private:
  StatePool() = default;

  LazyBuffer memory_;
  StateStorage storage_;
  std::vector<int32_t> free_;  // a stack
  std::vector<uint8_t> held_;  // [slots]
};

}  // namespace nextgate::engine
