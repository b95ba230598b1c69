// From which score on are candidates right often enough? Tested at every label, valid at all of
// them.
//
// For each threshold t of a fixed grid, H_t says: "of the candidates with a score of at least t,
// more than `error_max` are wrong". Against it a gambler bets on every label of such a candidate,
// with four fixed stakes at once; where H_t is true his expected wealth never rises, so it ever
// reaches 1/alpha with a probability of at most alpha (Ville 1939; Waudby-Smith and Ramdas,
// "Estimating means of bounded random variables by betting", JRSS B 86, 2024). With N labels, W of
// them wrong, the wealth is
//
//   E_t = mean over p in {0.1, 0.3, 0.5, 0.7} * error_max of
//         (p / error_max)^W * ((1 - p) / (1 - error_max))^(N - W).
//
// Fixed stakes need no assumption of equal candidates: while the labelled ones' chances of being
// wrong average above error_max, the wealth does not grow, whatever order they come in.
//
// One threshold of many is chosen, so the thresholds are tested in a fixed sequence, from the top
// down, as far as all pass (Angelopoulos et al., "Learn then Test", 2021): a false pass must begin
// at the highest threshold that is false, which alone must be paid for. The highest have few
// candidates and could not pass alone; but where wrong answers are no more frequent at a higher
// score, H_t says H_u of all u below t, so any average of the E_u is a test of H_t as well. What must
// reach 1 / alpha is
//
//   A_t = (1 - kShare) * E_t + kShare * A_(next below).
//
// A label says as much of served candidates as of others; as served ones are sampled thinly, the
// average that is tested leans to the candidates not served, which score lower.
//
// Threads: plain values.
#pragma once

#include <array>
#include <cstdint>

namespace nextgate::cache {

class ThresholdTest {
 public:
  // Scores in bands: band 0 from kTop up, the others kWidth each. What lies below all does not
  // count.
  static constexpr int kBands = 60;
  static constexpr double kTop = 1.04, kWidth = 0.01;
  static constexpr double kShare = 0.9;

  static int BandOf(double score);  // kBands: below all
  // The lowest score in the first `bands` bands; above all scores for none.
  static double Threshold(int bands);

  void Add(double score, bool wrong);

  // How many bands, from the top, may be served: of what is in them at most `error_max` is wrong,
  // at this and every other moment with a probability of 1 - alpha. REQUIRES: 0 < error_max < 1.
  int Passed(double error_max, double alpha) const;

  // E_t of the threshold below the first `bands` bands.
  double Wealth(int bands, double error_max) const;

  struct Band {
    int64_t labels = 0;
    int64_t wrong = 0;
  };
  using Bands = std::array<Band, kBands>;
  const Bands& bands() const { return bands_; }
  void Restore(const Bands& bands) { bands_ = bands; }

 private:
  Bands bands_{};
};

// Whether served hits got worse than they were allowed to be, from the labels of served hits: a sum
// of evidence for a rate of twice and of five times `error_max` that starts anew whenever it is
// below one (Page's CUSUM; Shin, Ramdas and Rinaldo, "E-detectors", 2023). While all is well it
// alarms once in kAlarm labels at most, on average.
class DriftMonitor {
 public:
  static constexpr double kAlarm = 1000;
  // True: alarm, and it starts anew. REQUIRES: 0 < error_max < 1.
  bool Add(bool wrong, double error_max);

  using Levels = std::array<double, 2>;
  const Levels& levels() const { return levels_; }
  void Restore(const Levels& levels) { levels_ = levels; }

 private:
  Levels levels_ = {1, 1};
};

}  // namespace nextgate::cache
