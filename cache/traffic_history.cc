#include "cache/traffic_history.h"

#include <iterator>

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

int64_t StepSeconds(StatsWindow window) {
  switch (window) {
    case StatsWindow::k1m:
    case StatsWindow::k5m:
      return 10;
    case StatsWindow::k1h:
      return 60;
    case StatsWindow::k24h:
      return 1800;
    case StatsWindow::kTotal:
      break;
  }
  CHECK(false);
}

StatsSteps EmptySteps(StatsWindow window, int64_t unix_ms) {
  const BucketRange range = BucketsOf(window, unix_ms);
  const int64_t bucket_s = kBucketSizes[range.size_idx].seconds, step_s = StepSeconds(window);
  StatsSteps steps;
  for (int64_t begins = range.first * bucket_s; begins <= range.last * bucket_s;
       begins += step_s - begins % step_s)
    steps[begins];
  return steps;
}

StatsSnapshot& StepOf(StatsSteps& steps, int64_t bucket_begins_s) {
  return std::prev(steps.upper_bound(bucket_begins_s))->second;
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

StatsBySeries TrafficHistory::Sum(StatsWindow window, int64_t unix_ms, StatsSteps* steps) const {
  const BucketRange range = BucketsOf(window, unix_ms);
  const auto& buckets = buckets_[range.size_idx];
  StatsBySeries sum;
  if (steps != nullptr) *steps = EmptySteps(window, unix_ms);
  for (auto it = buckets.lower_bound(range.first); it != buckets.end() && it->first <= range.last;
       ++it) {
    StatsSnapshot* step = steps == nullptr
                              ? nullptr
                              : &StepOf(*steps, it->first * kBucketSizes[range.size_idx].seconds);
    for (const auto& [where, value] : it->second) {
      sum[where.first].Add(where.second, value);
      if (step != nullptr) step->Add(where.second, value);
    }
  }
  return sum;
}

}  // namespace nextgate::cache
