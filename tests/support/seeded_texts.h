// What goldens over many texts are compared by: the seeded strings of tests/golden/tokenizer_corpora.py,
// number by number, and sums over the ids they give.
//
// Threads: values; a generator belongs to one thread.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace nextgate::testing {

// IEEE CRC-32 as zlib computes it, over [count, ids…] of each text, i32.
class Crc {
 public:
  void Add(const std::vector<int32_t>& ids);
  std::string Hex() const;

 private:
  void AddWord(uint32_t word);
  uint32_t state_ = ~uint32_t{0};
};

class SplitMix64 {
 public:
  explicit SplitMix64(uint64_t seed) : state_(seed) {}
  uint64_t Below(uint64_t n);

 private:
  uint64_t state_;
};

using Ranges = std::vector<std::pair<uint32_t, uint32_t>>;
// Of "random", "spaces" or "combining".
const Ranges& RangesOf(const std::string& family);
std::string FamilyString(SplitMix64* numbers, const Ranges& ranges);

std::string Utf8(uint32_t scalar);

}  // namespace nextgate::testing
