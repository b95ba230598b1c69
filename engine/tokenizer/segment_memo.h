// Token ids of text segments seen lately: a system prompt, a long document asked about again. A
// segment is all the text between two recognised added tokens, and merges never cross one, so an
// entry is exact. Least recently used goes first; bounded in bytes.
//
// Threads: all methods may be called from any thread.
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/hash.h"

namespace nextgate::engine {

class SegmentMemo {
 public:
  // Shorter ones encode as fast as they are found; longer ones would push all others out.
  static constexpr size_t kSegmentBytesMin = 1024;

  explicit SegmentMemo(size_t budget_bytes) : budget_bytes_(budget_bytes) {}

  bool Admits(size_t segment_bytes) const {
    return segment_bytes >= kSegmentBytesMin && segment_bytes <= budget_bytes_ / 8;
  }
  // Appends the ids of `text` and says true, or leaves `ids` as they are.
  bool Find(const Hash128& hash, std::string_view text, std::vector<int32_t>* ids);
  void Insert(const Hash128& hash, std::string_view text, const int32_t* ids, size_t num_ids);

  size_t bytes() const;

 private:
  struct Entry {
    Hash128 hash;
    std::string text;  // proves equality
    std::vector<int32_t> ids;
    size_t Bytes() const { return sizeof(Entry) + text.size() + ids.size() * sizeof(int32_t); }
  };

  const size_t budget_bytes_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // most recently used first
  std::unordered_map<Hash128, std::list<Entry>::iterator> index_;
  size_t bytes_ = 0;
};

}  // namespace nextgate::engine
