#include "cache/latency.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace nextgate::cache {
namespace {

constexpr double kFirstUs = 10;
constexpr double kBinsPerDoubling = 4;

double LowerEdgeUs(size_t bin) {
  return bin == 0 ? 0 : kFirstUs * std::exp2(static_cast<double>(bin - 1) / kBinsPerDoubling);
}

}  // namespace

size_t LatencyBin(int64_t us) {
  if (us < static_cast<int64_t>(kFirstUs)) return 0;
  const double bin = std::log2(static_cast<double>(us) / kFirstUs) * kBinsPerDoubling;
  return std::min(kLatencyBins - 1, static_cast<size_t>(bin) + 1);
}

std::optional<double> LatencyQuantileMs(std::span<const int64_t> bins, double q) {
  const int64_t total = std::accumulate(bins.begin(), bins.end(), int64_t{0});
  if (total <= 0) return std::nullopt;
  const double wanted = q * static_cast<double>(total);
  double below = 0;
  for (size_t bin = 0; bin < bins.size(); ++bin) {
    const auto count = static_cast<double>(bins[bin]);
    if (count > 0 && below + count >= wanted) {
      const double low = LowerEdgeUs(bin), high = LowerEdgeUs(bin + 1);
      return (low + (high - low) * (wanted - below) / count) / 1000;
    }
    below += count;
  }
  return LowerEdgeUs(bins.size()) / 1000;
}

}  // namespace nextgate::cache
