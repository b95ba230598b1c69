// Random numbers that are the same on every machine: integers only, nothing of the standard library's
// distributions.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <vector>

namespace nextgate::prefix_sim {

struct Range {
  int32_t low = 0;
  int32_t high = 0;  // inclusive
};

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next();  // SplitMix64

  // Uniform over 0 … n - 1, to within 2^-32. REQUIRES: 0 < n < 2^31.
  int32_t Below(int32_t n) {
    return static_cast<int32_t>((Next() >> 32) * static_cast<uint64_t>(n) >> 32);
  }
  bool Percent(int32_t percent) { return Below(100) < percent; }

  int32_t Uniform(Range range) { return range.low + Below(range.high - range.low + 1); }

  // Every doubling of the length is about equally likely, as lengths of texts are. REQUIRES: low > 0.
  int32_t Length(Range range);

  // 0 … n - 1, k with a weight of 1 / (k + 1): Zipf with exponent 1.
  int32_t Zipf(int32_t n);

  // Appends tokens that nobody else has.
  void AppendTokens(int32_t count, std::vector<int32_t>* tokens);

 private:
  uint64_t state_;
};

}  // namespace nextgate::prefix_sim
