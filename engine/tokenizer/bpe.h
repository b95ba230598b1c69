// The vocabulary and the merges of byte-level BPE: one word's bytes in, its token ids out, as
// `tokenizers` computes them (lowest rank first, then leftmost).
//
// Threads: immutable after Build; const methods may be called from any thread. A WordCache belongs
// to one thread at a time.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nextgate::engine {

// ByteLevel's alphabet: the bytes that `spelling` stands for ("Ġthe" → " the"). A spelling with a
// scalar outside the alphabet stands for its own UTF-8, as the ByteLevel decoder has it.
// `in_alphabet` (may be null) tells which.
std::string BytesOfSpelling(std::string_view spelling, bool* in_alphabet = nullptr);

// Ids of words seen lately. Direct-mapped, of fixed size (about 1.1 MB when full); a word that does
// not fit an entry is never kept.
class WordCache {
 public:
  static constexpr size_t kWordBytesMax = 27;
  static constexpr size_t kIdsMax = 8;

  WordCache() : entries_(kEntries) {}

 private:
  friend class BpeModel;
  static constexpr size_t kEntries = size_t{1} << 14;
  struct Entry {
    std::array<char, kWordBytesMax> word;
    uint8_t length = 0;  // 0: empty
    uint8_t num_ids = 0;
    std::array<int32_t, kIdsMax> ids;
  };
  std::vector<Entry> entries_;
};

class BpeModel {
 public:
  static constexpr size_t kShortWord = 48;  // bytes
  using Merge = std::pair<int32_t, int32_t>;

  // merges[rank] = ids of the two parts; results[rank] = the id of what they make. Where a pair
  // comes twice the later rank counts, as in `tokenizers`. REQUIRES: merges.size() ==
  // results.size().
  static BpeModel Build(const std::array<int32_t, 256>& id_of_byte,
                        const std::vector<Merge>& merges, const std::vector<int32_t>& results);

  // Appends the ids of `word` (raw bytes). O(n²) with a tiny constant up to kShortWord bytes, O(n
  // log n) beyond. `cache` may be null. Returns how often the heap of candidate merges was asked: 0
  // for short words, less than three times the word's bytes for long ones.
  int64_t EncodeWord(std::string_view word, WordCache* cache, std::vector<int32_t>* ids) const;

  size_t MemoryBytes() const { return slots_.size() * sizeof(Slot); }

 private:
  struct Slot {
    uint64_t pair = kEmpty;
    uint32_t rank = 0;
    int32_t result = 0;
  };
  static constexpr uint64_t kEmpty = ~uint64_t{0};

  BpeModel() = default;
  void InsertMerge(Merge merge, uint32_t rank, int32_t result);
  const Slot* FindMerge(int32_t left, int32_t right) const;
  void MergeShort(std::string_view word, std::vector<int32_t>* ids) const;
  int64_t MergeLong(std::string_view word, std::vector<int32_t>* ids) const;

  std::array<int32_t, 256> id_of_byte_{};
  std::vector<Slot> slots_;  // open addressing, a power of two, at most 5/8 full
  int shift_ = 0;            // of the multiplicative hash
};

}  // namespace nextgate::engine
