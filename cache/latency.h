// A histogram of times in bins that grow by the fourth root of two, from 10 µs to about 1,000 s: small
// enough to count into with one atomic, to subtract and to add up over instances, and exact to 9 %.
//
// Threads: pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace nextgate::cache {

inline constexpr size_t kLatencyBins = 108;

// The bin of `us` microseconds; below and above the range, the first and the last.
size_t LatencyBin(int64_t us);

// The time in ms below which the share `q` of the counted lies, within its bin in proportion; nothing
// if nothing was counted. REQUIRES: 0 < q < 1.
std::optional<double> LatencyQuantileMs(std::span<const int64_t> bins, double q);

}  // namespace nextgate::cache
