// Philox4x32-10, a counter-based random generator: the output is a pure function of (key, counter),
// so a draw that is named by its position needs no state and does not care what was drawn before.
//
// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC'11), §3.3;
// tested against the known answers its authors published.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/core/view.h"

namespace nextgate::kernels {

using PhiloxCounter = std::array<uint32_t, 4>;
using PhiloxKey = std::array<uint32_t, 2>;

inline PhiloxCounter Philox4x32(PhiloxCounter counter, PhiloxKey key) {
  constexpr uint64_t kMultiplier0 = 0xD2511F53;
  constexpr uint64_t kMultiplier1 = 0xCD9E8D57;
  constexpr uint32_t kWeyl0 = 0x9E3779B9;  // golden ratio
  constexpr uint32_t kWeyl1 = 0xBB67AE85;  // sqrt(3) - 1
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = kMultiplier0 * counter[0];
    const uint64_t product1 = kMultiplier1 * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<uint32_t>(product0)};
    key = {key[0] + kWeyl0, key[1] + kWeyl1};
  }
  return counter;
}

// 64 random bits, named by (seed, stream, position). Streams keep uses of one seed apart.
inline uint64_t PhiloxWord(uint64_t seed, uint64_t position, uint32_t stream = 0) {
  const PhiloxCounter bits = Philox4x32(
      {static_cast<uint32_t>(position), static_cast<uint32_t>(position >> 32), stream, 0},
      {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  return (static_cast<uint64_t>(bits[0]) << 32) | bits[1];
}

// A double in [0, 1) with 53 random bits.
inline double PhiloxUniform(uint64_t seed, uint64_t position) {
  return static_cast<double>(PhiloxWord(seed, position) >> 11) * 0x1.0p-53;
}

}  // namespace nextgate::kernels
