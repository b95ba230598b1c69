#include "engine/prefix/index_pool.h"

#include "base/check.h"

namespace nextgate::engine {

IndexPool::IndexPool(int32_t capacity) : held_(static_cast<size_t>(capacity), false) {
  free_.reserve(static_cast<size_t>(capacity));
  for (int32_t index = capacity - 1; index >= 0; --index) free_.push_back(index);
}

std::optional<int32_t> IndexPool::Take() {
  if (free_.empty()) return std::nullopt;
  const int32_t index = free_.back();
  free_.pop_back();
  held_[static_cast<size_t>(index)] = true;
  return index;
}

void IndexPool::Give(int32_t index) {
  CHECK(index >= 0 && index < capacity() && held_[static_cast<size_t>(index)],
        "index %d is not held", index);
  held_[static_cast<size_t>(index)] = false;
  free_.push_back(index);
}

void IndexPool::CheckIntegrity() const {
  std::vector<bool> seen = held_;
  for (const int32_t index : free_) {
    CHECK(index >= 0 && index < capacity() && !seen[static_cast<size_t>(index)],
          "index %d is free twice or held", index);
    seen[static_cast<size_t>(index)] = true;
  }
  for (size_t index = 0; index < seen.size(); ++index)
    CHECK(seen[index], "index %zu is lost", index);
}

}  // namespace nextgate::engine
