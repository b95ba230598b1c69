#include "engine/prefix/page_pool.h"

#include "base/check.h"

namespace nextgate::engine {

Result<std::shared_ptr<PagePool>> PagePool::Open(int64_t page_bytes, int32_t pages,
                                                 const char* what) {
  std::shared_ptr<PagePool> pool(new PagePool);
  ASSIGN_OR_RETURN(
      pool->memory_,
      LazyBuffer::Open(static_cast<size_t>(page_bytes) * static_cast<size_t>(pages), what));
  pool->page_bytes_ = page_bytes;
  pool->taken_.assign(static_cast<size_t>(pages), 0);
  pool->free_.reserve(static_cast<size_t>(pages));
  for (int32_t page = pages; page-- > 0;) pool->free_.push_back(page);
  return pool;
}

int32_t PagePool::Take() {
  CHECK(!free_.empty(), "no page is free of %d", pages_total());
  const int32_t page = free_.back();
  free_.pop_back();
  CHECK(taken_[page] == 0, "page %d was free and taken", page);
  taken_[page] = 1;
  return page;
}

void PagePool::GiveBack(int32_t page) {
  CHECK(taken_[page] == 1, "page %d given back twice", page);
  taken_[page] = 0;
  free_.push_back(page);
}

void PagePool::check_integrity() const {
  std::vector<uint8_t> seen(taken_);
  for (const int32_t page : free_) {
    CHECK(page >= 0 && page < pages_total(), "free page %d of %d", page, pages_total());
    CHECK(seen[page] == 0, "page %d is free twice, or free and taken", page);
    seen[page] = 1;
  }
  for (int32_t page = 0; page < pages_total(); ++page)
    CHECK(seen[page] == 1, "page %d is lost", page);
}

}  // namespace nextgate::engine
