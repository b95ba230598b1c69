// Storage of checkpoints for tests: aligned as the engine's is, with margins, and poisoned, so that
// reading what was never written shows (NaN in every format) and writing beside one's slot too.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/delta_net/checkpoint.h"

namespace nextgate::testing {

class PoisonedCheckpoints {
 public:
  static constexpr std::byte kPoison{0xff};

  PoisonedCheckpoints(const kernels::CheckpointLayout& layout, int64_t slots)
      : bytes_(static_cast<size_t>(slots * layout.Bytes()) + 3 * kMargin, kPoison) {
    void* at = bytes_.data() + kMargin;
    size_t space = 2 * kMargin;
    view_ = {static_cast<std::byte*>(std::align(kMargin, 1, at, space)), slots, layout.Bytes(),
             layout};
  }
  PoisonedCheckpoints(const PoisonedCheckpoints&) = delete;
  PoisonedCheckpoints& operator=(const PoisonedCheckpoints&) = delete;

  const kernels::Checkpoints& view() const { return view_; }
  std::span<std::byte> slot(int64_t index) const {
    return {view_.at(index), static_cast<size_t>(view_.layout.Bytes())};
  }
  void Poison(int64_t index) { std::ranges::fill(slot(index), kPoison); }
  bool Untouched(int64_t index) const {
    return std::ranges::all_of(slot(index), [](std::byte b) { return b == kPoison; });
  }
  bool MarginsUntouched() const {
    const std::byte* const begin = view_.at(0);
    const std::byte* const end = view_.at(view_.slots);
    return std::all_of(bytes_.data(), begin, [](std::byte b) { return b == kPoison; }) &&
           std::all_of(end, bytes_.data() + bytes_.size(),
                       [](std::byte b) { return b == kPoison; });
  }

 private:
  static constexpr int64_t kMargin = 64;
  std::vector<std::byte> bytes_;
  kernels::Checkpoints view_;
};

}  // namespace nextgate::testing
