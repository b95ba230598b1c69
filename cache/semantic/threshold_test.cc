#include "cache/semantic/threshold_test.h"

#include <algorithm>
#include <cmath>

namespace nextgate::cache {
namespace {

constexpr std::array kStakes = {0.1, 0.3, 0.5, 0.7};  // p, in units of error_max
constexpr std::array kWorse = {2.0, 5.0};             // likewise, of the monitor
constexpr double kWorstRate = 0.9;                    // no rate that is looked for is above it
constexpr double kLogMax = 600;                       // exp of it is still finite

// What a label does to the logs of the four stakes' wealths.
struct Odds {
  explicit Odds(double error_max) {
    for (size_t i = 0; i < kStakes.size(); ++i) {
      wrong[i] = std::log(kStakes[i]);
      right[i] = std::log1p(-kStakes[i] * error_max) - std::log1p(-error_max);
    }
  }
  double Wealth(const ThresholdTest::Band& seen) const {
    double sum = 0;
    for (size_t i = 0; i < kStakes.size(); ++i)
      sum +=
          std::exp(std::min(kLogMax, static_cast<double>(seen.wrong) * wrong[i] +
                                         static_cast<double>(seen.labels - seen.wrong) * right[i]));
    return sum / static_cast<double>(kStakes.size());
  }
  std::array<double, kStakes.size()> wrong{}, right{};
};

}  // namespace

int ThresholdTest::BandOf(double score) {
  if (!(score < kTop)) return 0;
  // The slack is for scores that lie on a border but for rounding.
  return static_cast<int>(std::min<double>(kBands, std::ceil((kTop - score) / kWidth - 1e-6)));
}

double ThresholdTest::Threshold(int bands) { return bands <= 0 ? 2 : kTop - kWidth * (bands - 1); }

void ThresholdTest::Add(double score, bool wrong) {
  const int band = BandOf(score);
  if (band >= kBands) return;
  ++bands_[band].labels;
  bands_[band].wrong += wrong ? 1 : 0;
}

double ThresholdTest::Wealth(int bands, double error_max) const {
  Band seen;
  for (int b = 0; b < bands; ++b) {
    seen.labels += bands_[b].labels;
    seen.wrong += bands_[b].wrong;
  }
  return Odds(error_max).Wealth(seen);
}

int ThresholdTest::Passed(double error_max, double alpha) const {
  const Odds odds(error_max);
  std::array<double, kBands> wealth{};
  Band seen;
  for (int b = 0; b < kBands; ++b) {
    seen.labels += bands_[b].labels;
    seen.wrong += bands_[b].wrong;
    wealth[b] = odds.Wealth(seen);
  }
  // The lowest has nothing below it to share with.
  for (int b = kBands - 2; b >= 0; --b)
    wealth[b] = (1 - kShare) * wealth[b] + kShare * wealth[b + 1];
  const auto* const first_failed =
      std::find_if(wealth.begin(), wealth.end(), [&](double value) { return value < 1 / alpha; });
  return static_cast<int>(first_failed - wealth.begin());
}

bool DriftMonitor::Add(bool wrong, double error_max) {
  double sum = 0;
  for (size_t i = 0; i < levels_.size(); ++i) {
    const double rate = std::min(kWorse[i] * error_max, std::max(kWorstRate, error_max));
    levels_[i] =
        std::max(levels_[i], 1.0) * (wrong ? rate / error_max : (1 - rate) / (1 - error_max));
    sum += levels_[i];
  }
  if (sum < kAlarm * static_cast<double>(levels_.size())) return false;
  levels_.fill(1);
  return true;
}

}  // namespace nextgate::cache
