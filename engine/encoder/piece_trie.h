// The spellings of a vocabulary by their first bytes: all that a text begins with, in one walk.
//
// Threads: immutable after construction.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/tokenizer/vocabulary.h"

namespace nextgate::engine {

class PieceTrie {
 public:
  explicit PieceTrie(const Vocabulary& vocabulary);

  // Calls found(id, bytes) for each spelling that `text` begins with, the shortest first.
  template <class Found>
  void ForEachPrefix(std::string_view text, Found&& found) const {
    uint32_t node = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      node = Child(node, static_cast<uint8_t>(text[i]));
      if (node == 0) return;
      if (ids_[node] >= 0) found(ids_[node], i + 1);
    }
  }

 private:
  uint32_t Child(uint32_t node, uint8_t label) const;  // 0: there is none

  // By node, level by level from the root 0, so that a node's children lie one behind the other by
  // label: [first_child_[n], first_child_[n + 1]).
  std::vector<uint8_t> labels_;
  std::vector<int32_t> ids_;  // -1: no spelling ends here
  std::vector<uint32_t> first_child_;
};

}  // namespace nextgate::engine
