#include "engine/prefix/checkpoint_pool.h"

#include "base/check.h"

namespace nextgate::engine {

Result<std::unique_ptr<CheckpointPool>> CheckpointPool::Open(
    const kernels::CheckpointLayout& layout, int32_t slots) {
  std::unique_ptr<CheckpointPool> pool(new CheckpointPool);
  ASSIGN_OR_RETURN(pool->memory_, LazyBuffer::Open(static_cast<size_t>(layout.Bytes()) *
                                                       static_cast<size_t>(slots),
                                                   "checkpoints"));
  pool->storage_ = {.data = reinterpret_cast<std::byte*>(pool->memory_.floats()),
                    .slots = slots,
                    .layout = layout};
  pool->taken_.assign(static_cast<size_t>(slots), 0);
  pool->free_.reserve(static_cast<size_t>(slots));
  for (int32_t slot = slots; slot-- > 0;) pool->free_.push_back(slot);
  return pool;
}

std::optional<int32_t> CheckpointPool::Take() {
  if (refuse_count_ > 0 && --refuse_from_ < 0) {
    --refuse_count_;
    return std::nullopt;
  }
  if (free_.empty()) return std::nullopt;
  const int32_t slot = free_.back();
  free_.pop_back();
  CHECK(taken_[slot] == 0, "checkpoint slot %d was free and taken", slot);
  taken_[slot] = 1;
  return slot;
}

void CheckpointPool::GiveBack(int32_t slot) {
  CHECK(taken_[slot] == 1, "checkpoint slot %d given back twice", slot);
  taken_[slot] = 0;
  free_.push_back(slot);
}

void CheckpointPool::check_integrity() const {
  std::vector<uint8_t> seen(taken_);
  for (const int32_t slot : free_) {
    CHECK(slot >= 0 && slot < slots_total(), "free checkpoint slot %d of %d", slot, slots_total());
    CHECK(seen[slot] == 0, "checkpoint slot %d is free twice, or free and taken", slot);
    seen[slot] = 1;
  }
  for (int32_t slot = 0; slot < slots_total(); ++slot)
    CHECK(seen[slot] == 1, "checkpoint slot %d is lost", slot);
}

}  // namespace nextgate::engine
