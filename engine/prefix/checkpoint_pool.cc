#include "engine/prefix/checkpoint_pool.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace nextgate::engine {

Result<std::unique_ptr<CheckpointPool>> CheckpointPool::Open(
    const kernels::CheckpointLayout& layout, int32_t slots) {
  ASSIGN_OR_RETURN(auto pages, PagePool::Open(layout.Bytes(), slots, "checkpoints"));
  return OpenIn(layout, std::move(pages), slots);
}

std::unique_ptr<CheckpointPool> CheckpointPool::OpenIn(const kernels::CheckpointLayout& layout,
                                                       std::shared_ptr<PagePool> pages,
                                                       int32_t slots) {
  CHECK(pages->page_bytes() >= layout.Bytes() && slots <= pages->pages_total());
  std::unique_ptr<CheckpointPool> pool(new CheckpointPool);
  pool->storage_ = {.data = reinterpret_cast<std::byte*>(pages->floats()),
                    .slots = pages->pages_total(),
                    .stride = pages->page_bytes(),
                    .layout = layout};
  pool->slots_ = slots;
  pool->taken_.assign(static_cast<size_t>(pages->pages_total()), 0);
  pool->pages_ = std::move(pages);
  return pool;
}

std::optional<int32_t> CheckpointPool::Take() {
  if (refuse_count_ > 0 && --refuse_from_ < 0) {
    --refuse_count_;
    return std::nullopt;
  }
  if (slots_free() == 0) return std::nullopt;
  const int32_t slot = pages_->Take();
  taken_[slot] = 1;
  ++used_;
  return slot;
}

void CheckpointPool::GiveBack(int32_t slot) {
  CHECK(taken_[slot] == 1, "checkpoint slot %d given back twice", slot);
  taken_[slot] = 0;
  --used_;
  pages_->GiveBack(slot);
}

void CheckpointPool::check_integrity() const {
  pages_->check_integrity();
  CHECK(used_ == std::count(taken_.begin(), taken_.end(), 1) && used_ <= slots_,
        "%d checkpoint slots taken of %d", used_, slots_);
}

}  // namespace nextgate::engine
