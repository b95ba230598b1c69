#include "cache/traffic_history.h"

#include <gtest/gtest.h>

#include <random>

namespace nextgate::cache {
namespace {

constexpr int64_t kStart = 1'700'000'000'000;  // a bucket of both sizes does not begin here

int64_t Misses(const StatsBySeries& sum) {
  int64_t misses = 0;
  for (const auto& [labels, counts] : sum) misses += counts.misses;
  return misses;
}

TEST(TrafficHistory, AWindowHoldsWhatWasCountedInItAndNothingOlder) {
  CacheStats stats;
  TrafficHistory history;
  StatsSeries& series = stats.For({.model = "m", .route = "r"});
  const auto count = [&](int64_t after_s) {
    series.CountMiss();
    const auto deltas = history.Advance(stats.BySeries(), kStart + 1000 * after_s);
    ASSERT_EQ(deltas.size(), 1u);
    EXPECT_EQ(deltas[0].labels.model, "m");
    EXPECT_EQ(CounterName(deltas[0].counter), "misses");
    EXPECT_EQ(deltas[0].value, 1);
  };
  for (const int64_t second : {0, 30, 290, 3000, 80'000}) count(second);
  const auto in = [&](StatsWindow window, int64_t after_s) {
    return Misses(history.Sum(window, kStart + 1000 * after_s));
  };
  EXPECT_EQ(in(StatsWindow::k1m, 80'000), 1);
  EXPECT_EQ(in(StatsWindow::k5m, 80'000), 1);
  EXPECT_EQ(in(StatsWindow::k24h, 80'000), 5);
  EXPECT_EQ(in(StatsWindow::k24h, 86'400 + 600), 2) << "the first three are over a day old";
  EXPECT_EQ(in(StatsWindow::k1m, 80'100), 0);
  EXPECT_TRUE(history.Advance(stats.BySeries(), kStart + 90'000'000).empty()) << "nothing rose";
}

TEST(TrafficHistory, WindowsAddUpToWhatWasCountedWhateverTheOrder) {
  std::mt19937 random(std::random_device{}());
  CacheStats stats;
  TrafficHistory history;
  StatsSnapshot sum_of_deltas;
  for (int i = 0; i < 500; ++i) {
    StatsSeries& series = stats.For(
        {.model = random() % 2 == 0 ? "a" : "b", .name_space = std::to_string(random() % 3)});
    if (random() % 3 == 0) series.CountHit(static_cast<Tier>(random() % kNumTiers));
    if (random() % 3 == 0) series.CountBypass(Reason::kSampled);
    if (random() % 3 == 0)
      series.CountLatency(Served::kStored, static_cast<int64_t>(random() % 9999));
    if (random() % 4 == 0)
      for (const StatsDelta& delta : history.Advance(stats.BySeries(), kStart + i * 1000))
        sum_of_deltas.Add(delta.counter, delta.value);
  }
  for (const StatsDelta& delta : history.Advance(stats.BySeries(), kStart + 500'000))
    sum_of_deltas.Add(delta.counter, delta.value);
  StatsSnapshot window;
  for (const auto& [labels, counts] : history.Sum(StatsWindow::k1h, kStart + 500'000))
    window.Add(counts);
  EXPECT_EQ(CountsJson(window), CountsJson(stats.Snapshot()));
  EXPECT_EQ(CountsJson(sum_of_deltas), CountsJson(stats.Snapshot()));
}

TEST(CacheStats, AClientThatInventsNamespacesGetsNoMoreSeriesThanThereMayBe) {
  CacheStats stats;
  for (int i = 0; i < 2000; ++i)
    stats.For({.model = "m", .name_space = std::to_string(i)}).CountMiss();
  const StatsBySeries all = stats.BySeries();
  EXPECT_EQ(all.size(), CacheStats::kSeriesMax);
  EXPECT_EQ(Misses(all), 2000);
  EXPECT_GT(all.at({"(other)", "(other)", "(other)"}).misses, 1000);
}

TEST(CacheStats, CounterNamesAreDistinctAndFoundAgain) {
  for (size_t id = 0; id < kNumCounters; ++id) {
    if (CounterName(id).ends_with('.')) continue;  // of Reason::kNone, never counted
    EXPECT_EQ(FindCounter(CounterName(id)), id) << CounterName(id);
  }
  EXPECT_EQ(FindCounter("hits.exact"), 0u);
  EXPECT_FALSE(FindCounter("hits.of another version"));
}

TEST(Latency, AQuantileIsWithinABinOfTheTrueOne) {
  std::array<int64_t, kLatencyBins> bins{};
  for (int64_t us = 1; us <= 100'000; ++us) ++bins[LatencyBin(us)];
  EXPECT_NEAR(*LatencyQuantileMs(bins, 0.5), 50, 5);
  EXPECT_NEAR(*LatencyQuantileMs(bins, 0.95), 95, 9.5);
  EXPECT_FALSE(LatencyQuantileMs(std::array<int64_t, kLatencyBins>{}, 0.5));
  EXPECT_EQ(LatencyBin(-5), 0u);
  EXPECT_EQ(LatencyBin(INT64_MAX), kLatencyBins - 1);
  for (int64_t us = 1; us < 1'000'000'000; us = us * 9 / 8 + 1)
    EXPECT_LE(LatencyBin(us), LatencyBin(us + us / 8 + 1)) << us;
}

// Whatever the instant and whenever it was counted: steps begin at multiples of their length, but for the
// first, follow each other without a gap, and add up to the window.
TEST(TrafficHistory, TheStepsOfAWindowAreTheWindow) {
  std::mt19937 random(std::random_device{}());
  CacheStats stats;
  TrafficHistory history;
  int64_t now_ms = kStart + random() % 100'000'000;
  for (int i = 0; i < 300; ++i, now_ms += 1000 * static_cast<int64_t>(random() % 600)) {
    stats.For({.model = random() % 2 == 0 ? "a" : "b"}).CountMiss();
    history.Advance(stats.BySeries(), now_ms);
  }
  for (const StatsWindow window :
       {StatsWindow::k1m, StatsWindow::k5m, StatsWindow::k1h, StatsWindow::k24h}) {
    const int64_t step_s = StepSeconds(window);
    StatsSteps steps;
    const int64_t misses = Misses(history.Sum(window, now_ms, &steps));
    int64_t in_steps = 0, expected = steps.begin()->first;
    for (const auto& [begins_s, counts] : steps) {
      EXPECT_EQ(begins_s, expected);
      expected = begins_s - begins_s % step_s + step_s;
      in_steps += counts.misses;
    }
    EXPECT_EQ(in_steps, misses);
    EXPECT_GE(misses, 0);
    EXPECT_LE(steps.rbegin()->first, now_ms / 1000);
    EXPECT_GT(expected, now_ms / 1000) << "the last one is not over yet";
    EXPECT_LE(steps.size(), 62u) << "a curve, not a log";
  }
}

}  // namespace
}  // namespace nextgate::cache
