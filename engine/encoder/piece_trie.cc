#include "engine/encoder/piece_trie.h"

#include <algorithm>

namespace nextgate::engine {

PieceTrie::PieceTrie(const Vocabulary& vocabulary) {
  std::vector<int32_t> sorted;
  for (int32_t id = 0; id < vocabulary.size(); ++id)
    if (!vocabulary.Spelling(id).empty()) sorted.push_back(id);
  const auto spelling = [&](size_t i) { return vocabulary.Spelling(sorted[i]); };
  std::ranges::sort(sorted, {}, [&](int32_t id) { return vocabulary.Spelling(id); });

  struct Range {  // of `sorted`: what has a node's bytes before it
    size_t begin, end;
  };
  std::vector<Range> level = {{0, sorted.size()}};
  labels_.push_back(0);
  for (size_t depth = 0; !level.empty(); ++depth) {
    std::vector<Range> below;
    for (auto [begin, end] : level) {
      const bool ends = begin < end && spelling(begin).size() == depth;
      ids_.push_back(ends ? sorted[begin] : -1);
      if (ends) ++begin;
      first_child_.push_back(static_cast<uint32_t>(labels_.size()));
      while (begin < end) {
        const char label = spelling(begin)[depth];
        size_t next = begin;
        while (next < end && spelling(next)[depth] == label) ++next;
        labels_.push_back(static_cast<uint8_t>(label));
        below.push_back({begin, next});
        begin = next;
      }
    }
    level = std::move(below);
  }
  first_child_.push_back(static_cast<uint32_t>(labels_.size()));
}

uint32_t PieceTrie::Child(uint32_t node, uint8_t label) const {
  const auto first = labels_.begin() + first_child_[node];
  const auto last = labels_.begin() + first_child_[node + 1];
  const auto found = std::lower_bound(first, last, label);
  return found == last || *found != label ? 0 : static_cast<uint32_t>(found - labels_.begin());
}

}  // namespace nextgate::engine
