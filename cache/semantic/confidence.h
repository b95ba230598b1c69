// Intervals for a rate of which some cases were counted, and what an imperfect counter does to
// them.
//
// Sources: C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits illustrated
// in the case of the binomial", Biometrika 26 (1934); W. J. Rogan and B. Gladen, "Estimating
// prevalence from the results of a screening test", Am. J. Epidemiology 107 (1978).
//
// Threads: pure.
#pragma once

#include "cache/semantic/comparator_error.h"

namespace nextgate::cache {

struct Interval {
  double low = 0;
  double high = 1;
};

// I_x(a, b), the distribution function of Beta(a, b) at x. REQUIRES: a, b > 0; 0 <= x <= 1.
double BetaCdf(double x, double a, double b);

// Two-sided, exact: the rate lies outside with a probability of 1 - confidence at most, half of it
// on each side. Numbers need not be whole (weighted counts). Of none counted: [0, 1].
// REQUIRES: 0 <= hits <= count; 0 < confidence < 1.
Interval ClopperPearson(double hits, double count, double confidence);

// One-sided: the rate is above it with a probability of `alpha` at most.
double UpperBound(double hits, double count, double alpha);

// A rate of wrong hits, from the rate at which a comparator called answers different. The
// comparator's rates may be anything in their Clopper-Pearson intervals, and the worst of it holds.
// With one exception: that it calls right answers different makes the estimate and the low end
// smaller, never the high end. Pairs that people wrote are harder to recognise than most of what
// traffic brings, so this rate is less in use than it was measured, and a bound that trusted it
// would be none. REQUIRES: 0 <= hits <= count; 0 < confidence < 1.
struct WrongRate {
  double estimate = 0;
  Interval interval;
};
WrongRate CorrectedRate(double hits, double count, double confidence, const ComparatorError& error);

// The rate of "different" that shows a rate of wrong hits of at most `error_max`, whatever the
// comparator's true rate of false sames is, but for a probability of `alpha`.
double ObservedErrorMax(double error_max, double alpha, const ComparatorError& error);

}  // namespace nextgate::cache
