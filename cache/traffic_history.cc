#include "cache/traffic_history.h"

#include "base/check.h"

namespace nextgate::cache {

std::optional<StatsWindow> FindStatsWindow(std::string_view name) {
  if (name == "1m") return StatsWindow::k1m;
  if (name == "5m") return StatsWindow::k5m;
  if (name == "1h") return StatsWindow::k1h;
  if (name == "24h") return StatsWindow::k24h;
  if (name == "total") return StatsWindow::kTotal;
  return std::nullopt;
}

BucketRange BucketsOf(StatsWindow window, int64_t unix_ms) {
  const auto range = [&](size_t size_idx, int64_t count) {
    const int64_t last = unix_ms / 1000 / kBucketSizes[size_idx].seconds;
    return BucketRange{.size_idx = size_idx, .first = last - count, .last = last};
  };
  switch (window) {
    case StatsWindow::k1m:
      return range(0, 6);
    case StatsWindow::k5m:
      return range(0, 30);
    case StatsWindow::k1h:
      return range(0, 360);
    case StatsWindow::k24h:
      return range(1, 288);
    case StatsWindow::kTotal:
      break;
  }
  CHECK(false);
}

std::vector<StatsDelta> TrafficHistory::Advance(const StatsBySeries& now, int64_t unix_ms) {
  std::vector<StatsDelta> deltas;
  for (const auto& [labels, counts] : now) {
    std::array<int64_t, kNumCounters> before{};
    StatsSnapshot& last = last_[labels];
    StatsSnapshot::ForEach(last, [&](size_t id, int64_t value) { before[id] = value; });
    StatsSnapshot::ForEach(counts, [&](size_t id, int64_t value) {
      if (value != before[id])
        deltas.push_back({.labels = labels, .counter = id, .value = value - before[id]});
    });
    last = counts;
  }
  for (size_t i = 0; i < kBucketSizes.size(); ++i) {
    const int64_t number = unix_ms / 1000 / kBucketSizes[i].seconds;
    auto& buckets = buckets_[i];
    for (const StatsDelta& delta : deltas)
      buckets[number][{delta.labels, delta.counter}] += delta.value;
    buckets.erase(buckets.begin(), buckets.lower_bound(number - kBucketSizes[i].kept));
  }
  return deltas;
}

StatsBySeries TrafficHistory::Sum(StatsWindow window, int64_t unix_ms) const {
  const BucketRange range = BucketsOf(window, unix_ms);
  const auto& buckets = buckets_[range.size_idx];
  StatsBySeries sum;
  for (auto it = buckets.lower_bound(range.first); it != buckets.end() && it->first <= range.last;
       ++it)
    for (const auto& [where, value] : it->second) sum[where.first].Add(where.second, value);
  return sum;
}

}  // namespace nextgate::cache
