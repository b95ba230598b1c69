// Hands out the numbers 0 … capacity − 1, each to one holder at a time: KV blocks and state slots.
// The storage behind the numbers is SequenceStorage.
//
// Threads: the engine thread only. Invariant: free + held = capacity, no number in both;
// CheckIntegrity proves it.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace nextgate::engine {

class IndexPool {
 public:
  explicit IndexPool(int32_t capacity);

  // The lowest-numbered free index that was freed last; nothing when all are held.
  std::optional<int32_t> Take();
  // REQUIRES: `index` is held.
  void Give(int32_t index);

  int32_t capacity() const { return static_cast<int32_t>(held_.size()); }
  int32_t num_free() const { return static_cast<int32_t>(free_.size()); }
  int32_t num_held() const { return capacity() - num_free(); }

  // Aborts if the invariant is broken.
  void CheckIntegrity() const;

 private:
  std::vector<int32_t> free_;  // a stack
  std::vector<bool> held_;
};

}  // namespace nextgate::engine
