#include "bench/semantic_verifier/traffic.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <utility>

#include "cache/semantic/confidence.h"
#include "cache/semantic/threshold_test.h"
#include "cache/semantic/verifier.h"

namespace nextgate::semantic_verifier {
namespace {

constexpr double kNoThreshold = 2;
constexpr size_t kRecalibrate = 100;  // labels between two calibrations without a shadow phase

class Store {
 public:
  Store(const Questions& questions, const Scenario& scenario)
      : questions_(questions), scenario_(scenario), stored_(questions.size()) {}

  void Add(int32_t question) { stored_[question] = 1; }

  // The nearest that is stored; question -1: none, or a gate refuses it.
  Neighbour Nearest(int32_t asked) const {
    const Neighbour found = NearestStored(asked);
    if (scenario_.gates && found.question >= 0 && questions_.Refused(asked, found.question))
      return {-1, -2};
    return found;
  }

 private:
  Neighbour NearestStored(int32_t asked) const {
    const size_t first = static_cast<size_t>(asked) * Questions::kNear;
    for (size_t i = first; i < first + Questions::kNear; ++i)
      if (questions_.near[i].cosine > -2 && stored_[questions_.near[i].question] != 0)
        return questions_.near[i];
    Neighbour best{-1, -2};
    for (int32_t other = 0; other < static_cast<int32_t>(stored_.size()); ++other) {
      if (stored_[other] == 0) continue;
      const float cosine = questions_.Cosine(asked, other);
      if (cosine > best.cosine) best = {other, cosine};
    }
    return best;
  }

  const Questions& questions_;
  const Scenario& scenario_;
  std::vector<uint8_t> stored_;
};

enum class Start { kFixed, kHindsight, kAnytime };

struct Label {
  float cosine;
  bool right;
};

// The lowest cosine that is reached from the highest down while the one-sided Clopper-Pearson bound
// holds, looked at every five labels. kFixed begins where the bound could hold if no label were wrong, which
// labels do not decide: a fixed-sequence test, valid at one look, and what GET /admin/cache/thresholds does.
// kHindsight begins where the bound first holds: the most that such a test could give, and none that is valid.
double Calibrate(std::vector<Label> labels, const Scenario& scenario, Start start) {
  const double alpha = 1 - scenario.confidence;
  const double allowed =
      cache::ObservedErrorMax(scenario.error_max, alpha / 2, scenario.comparator);
  const double alpha_rate = scenario.comparator.num_wrong > 0 ? alpha / 2 : alpha;
  std::ranges::sort(labels, std::greater(), &Label::cosine);
  double threshold = kNoThreshold;
  double wrong = 0;
  for (size_t i = 0; i < labels.size(); ++i) {
    wrong += labels[i].right ? 0 : 1;
    const auto count = static_cast<double>(i + 1);
    if ((i + 1) % 5 != 0) continue;
    const bool could_hold = count * std::log1p(-allowed) <= std::log(alpha_rate);
    if (start == Start::kFixed && !could_hold) continue;
    // P(Binomial(count, allowed) <= wrong) <= alpha, as a Beta tail.
    const bool holds = wrong < allowed * count &&
                       1 - cache::BetaCdf(allowed, wrong + 1, count - wrong) <= alpha_rate;
    if (holds)
      threshold = labels[i].cosine;
    else if (start == Start::kFixed || threshold < kNoThreshold)
      break;
  }
  return threshold;
}

// A static threshold that may be looked at at all times, as the verifier's may: the verifier's own test, on the
// cosine alone.
class AnytimeThreshold {
 public:
  explicit AnytimeThreshold(const Scenario& scenario)
      : allowed_(cache::ObservedErrorMax(scenario.error_max, (1 - scenario.confidence) / 2,
                                         scenario.comparator)),
        alpha_(scenario.comparator.num_wrong > 0 ? (1 - scenario.confidence) / 2
                                                 : 1 - scenario.confidence) {}
  double Add(const Label& label) {
    test_.Add(label.cosine, !label.right);
    return cache::ThresholdTest::Threshold(test_.Passed(allowed_, alpha_));
  }

 private:
  const double allowed_, alpha_;
  cache::ThresholdTest test_;
};

void Count(Served& served, bool right) {
  ++served.hits;
  served.wrong += right ? 0 : 1;
  if (served.hits >= Served::kSettled)
    served.error_worst = std::max(served.error_worst, served.error());
}

std::vector<int32_t> OrderOf(const Questions& questions, const Scenario& scenario,
                             std::mt19937_64& random, size_t& shadow) {
  std::vector<int32_t> order(questions.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::shuffle(order, random);
  shadow = static_cast<size_t>(scenario.shadow_share * static_cast<double>(order.size()));
  if (scenario.even_first) {
    const auto odd = std::ranges::stable_partition(
        order, [&](int32_t question) { return questions.even[question] != 0; });
    shadow = order.size() - odd.size();
  }
  return order;
}

bool Draw(std::mt19937_64& random, double probability) {
  return std::uniform_real_distribution<>()(random) < probability;
}

// What the comparator says of a candidate.
bool Compared(bool right, const Scenario& scenario, std::mt19937_64& random) {
  const bool mistaken = Draw(random, right ? scenario.false_different : scenario.false_same);
  return right != mistaken;
}

// The labels a threshold can be calibrated on are those of its own traffic.
Served PlayStatic(const Questions& questions, const Scenario& scenario,
                  const std::vector<int32_t>& order, size_t shadow, std::mt19937_64 random,
                  Start start) {
  constexpr double kObserveServed = 0.02;
  Store store(questions, scenario);
  AnytimeThreshold anytime(scenario);
  std::vector<Label> labels;
  size_t calibrated = 0;
  double threshold = kNoThreshold;
  Served served;
  for (size_t n = 0; n < order.size(); ++n) {
    const bool looks = start != Start::kAnytime;
    if (looks && n == shadow && shadow > 0) threshold = Calibrate(labels, scenario, start);
    if (looks && shadow == 0 && labels.size() >= calibrated + kRecalibrate) {
      calibrated = labels.size();
      threshold = Calibrate(labels, scenario, start);
    }
    const Neighbour candidate = store.Nearest(order[n]);
    const bool right = candidate.question >= 0 && questions.Same(order[n], candidate.question);
    const bool serve = n >= shadow && candidate.question >= 0 && candidate.cosine >= threshold;
    if (candidate.question >= 0 && Draw(random, serve ? kObserveServed : 1)) {
      labels.push_back({candidate.cosine, Compared(right, scenario, random)});
      if (!looks) threshold = anytime.Add(labels.back());
    }
    if (serve)
      Count(served, right);
    else
      store.Add(order[n]);
  }
  return served;
}

Hash128 IdOf(int32_t question) { return {1, static_cast<uint64_t>(question)}; }

}  // namespace

Outcome Play(const Questions& questions, const Scenario& scenario, uint64_t seed) {
  std::mt19937_64 random(seed);
  size_t shadow = 0;
  const std::vector<int32_t> order = OrderOf(questions, scenario, random, shadow);
  cache::Verifier verifier({.mode = cache::Verifier::Mode::kVerified,
                            .error_max = scenario.error_max,
                            .confidence = scenario.confidence,
                            .comparator = scenario.comparator});
  Outcome outcome{.asked = static_cast<int64_t>(order.size() - shadow)};
  outcome.fixed = PlayStatic(questions, scenario, order, shadow, random, Start::kFixed);
  outcome.anytime = PlayStatic(questions, scenario, order, shadow, random, Start::kAnytime);
  outcome.hindsight = PlayStatic(questions, scenario, order, shadow, random, Start::kHindsight);

  Store store(questions, scenario);
  for (size_t n = 0; n < order.size(); ++n) {
    const Neighbour nearest = store.Nearest(order[n]);
    if (nearest.question < 0) {
      store.Add(order[n]);
      continue;
    }
    const cache::SemanticCandidate candidate{.entry = IdOf(nearest.question),
                                             .cosine = nearest.cosine};
    const bool right = questions.Same(order[n], nearest.question);
    const cache::Verifier::Ruling ruling = verifier.Rule(candidate);
    const bool serve = ruling.serve && n >= shadow;
    const double observe = ruling.serve && !serve ? 1 : ruling.observe;
    if (Draw(random, observe)) {
      verifier.Observe({.candidate = candidate,
                        .served = serve,
                        .observe = observe,
                        .right = Compared(right, scenario, random)});
      ++outcome.labels;
      outcome.regenerated += serve ? 1 : 0;
    }
    if (serve)
      Count(outcome.verified, right);
    else
      store.Add(order[n]);
  }
  return outcome;
}

}  // namespace nextgate::semantic_verifier
