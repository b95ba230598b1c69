#include "cache/semantic/confidence.h"

#include <algorithm>
#include <cmath>

namespace nextgate::cache {
namespace {

constexpr int kFractionTerms = 500, kBisections = 80;
constexpr double kTiny = 1e-300, kPrecision = 1e-15;

// The continued fraction of the incomplete beta function, by Lentz's method.
double BetaFraction(double x, double a, double b) {
  double c = 1, d = 1 - (a + b) * x / (a + 1);
  d = 1 / (std::abs(d) < kTiny ? kTiny : d);
  double value = d;
  for (int m = 1; m <= kFractionTerms; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    double step = 1;
    for (const double term : {even, odd}) {
      d = 1 + term * d;
      c = 1 + term / c;
      d = 1 / (std::abs(d) < kTiny ? kTiny : d);
      if (std::abs(c) < kTiny) c = kTiny;
      step = c * d;
      value *= step;
    }
    if (std::abs(step - 1) < kPrecision) break;
  }
  return value;
}

double BetaQuantile(double q, double a, double b) {
  double low = 0, high = 1;
  for (int i = 0; i < kBisections; ++i) {
    const double middle = (low + high) / 2;
    (BetaCdf(middle, a, b) < q ? low : high) = middle;
  }
  return (low + high) / 2;
}

double LowerBound(double hits, double count, double alpha) {
  return hits <= 0 ? 0 : BetaQuantile(alpha, hits, count - hits + 1);
}

}  // namespace

double BetaCdf(double x, double a, double b) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const double front = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) +
                                a * std::log(x) + b * std::log1p(-x));
  return x < (a + 1) / (a + b + 2) ? front * BetaFraction(x, a, b) / a
                                   : 1 - front * BetaFraction(1 - x, b, a) / b;
}

double UpperBound(double hits, double count, double alpha) {
  return hits >= count ? 1 : BetaQuantile(1 - alpha, hits + 1, count - hits);
}

Interval ClopperPearson(double hits, double count, double confidence) {
  if (count <= 0) return {};
  const double side = (1 - confidence) / 2;
  return {LowerBound(hits, count, side), UpperBound(hits, count, side)};
}

WrongRate CorrectedRate(double hits, double count, double confidence,
                        const ComparatorError& error) {
  if (count <= 0) return {};
  const auto same = static_cast<double>(error.false_same);
  const auto wrong = static_cast<double>(error.num_wrong);
  const auto different = static_cast<double>(error.false_different);
  const auto right = static_cast<double>(error.num_right);
  // Half of what may go wrong is for the rate, the rest for the comparator's two.
  const bool measured = error.num_wrong > 0 || error.num_right > 0;
  const double spare = 1 - confidence;
  const Interval seen = ClopperPearson(hits, count, measured ? 1 - spare / 2 : confidence);
  const Interval false_same =
      wrong > 0 ? ClopperPearson(same, wrong, 1 - spare / 4) : Interval{0, 0};
  const Interval false_different =
      right > 0 ? ClopperPearson(different, right, 1 - spare / 4) : Interval{0, 0};
  const auto corrected = [](double rate, double fs, double fd) {
    return fs + fd >= 1 ? 1.0 : std::clamp((rate - fd) / (1 - fs - fd), 0.0, 1.0);
  };
  WrongRate out;
  out.estimate =
      corrected(hits / count, wrong > 0 ? same / wrong : 0, right > 0 ? different / right : 0);
  out.interval.low = false_same.low + false_different.high >= 1
                         ? 0
                         : corrected(seen.low, false_same.low, false_different.high);
  out.interval.high = corrected(seen.high, false_same.high, 0);
  out.estimate = std::clamp(out.estimate, out.interval.low, out.interval.high);
  return out;
}

double ObservedErrorMax(double error_max, double alpha, const ComparatorError& error) {
  if (error.num_wrong <= 0) return error_max;
  return error_max * (1 - UpperBound(static_cast<double>(error.false_same),
                                     static_cast<double>(error.num_wrong), alpha));
}

}  // namespace nextgate::cache
