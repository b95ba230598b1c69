// When things were counted: what CacheStats' counters rose by, in buckets of 10 seconds for an hour and
// of 5 minutes for a day, so that a window of the past can be asked for.
//
// A window is made of whole buckets and of the one that is being filled: `1m` is the last 60 to 70
// seconds.
//
// Threads: one at a time. Memory: what does not occur in a bucket takes nothing.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "cache/stats.h"

namespace nextgate::cache {

enum class StatsWindow { k1m, k5m, k1h, k24h, kTotal };
std::optional<StatsWindow> FindStatsWindow(std::string_view name);  // "1m" … "24h", "total"
inline constexpr std::string_view kStatsWindows = "1m, 5m, 1h, 24h, total";

struct BucketSize {
  int64_t seconds;
  int64_t kept;  // buckets before the current one
};
inline constexpr std::array<BucketSize, 2> kBucketSizes = {{{10, 360}, {300, 288}}};

// The buckets that make up a window which ends at an instant. REQUIRES: not kTotal.
struct BucketRange {
  size_t size_idx;  // of kBucketSizes
  int64_t first, last;
};
BucketRange BucketsOf(StatsWindow window, int64_t unix_ms);

// A window cut into steps of whole buckets, for a curve over time: unix seconds at which a step begins →
// what was counted in it, all series together. Steps begin at multiples of their length; the first one is
// cut off where the window begins, the last one is not over yet. Together they are the window.
using StatsSteps = std::map<int64_t, StatsSnapshot>;
// How long a step is: 10 s for 1m and 5m, 1 min for 1h, 30 min for 24h. REQUIRES: not kTotal.
int64_t StepSeconds(StatsWindow window);
// The steps of a window that ends at an instant, empty. REQUIRES: not kTotal.
StatsSteps EmptySteps(StatsWindow window, int64_t unix_ms);
// The step that a bucket belongs to. REQUIRES: the bucket is one of the window's.
StatsSnapshot& StepOf(StatsSteps& steps, int64_t bucket_begins_s);

struct StatsDelta {
  SeriesLabels labels;
  size_t counter;  // id of CounterName
  int64_t value;
};

class TrafficHistory {
 public:
  // What rose since the last call; it is put into the buckets of `unix_ms`.
  std::vector<StatsDelta> Advance(const StatsBySeries& now, int64_t unix_ms);

  // If `steps` is given, they are put there. REQUIRES: not kTotal.
  StatsBySeries Sum(StatsWindow window, int64_t unix_ms, StatsSteps* steps = nullptr) const;

 private:
  using Bucket = std::map<std::pair<SeriesLabels, size_t>, int64_t>;

  StatsBySeries last_;
  std::array<std::map<int64_t, Bucket>, kBucketSizes.size()> buckets_;  // by size, by number
};

}  // namespace nextgate::cache
