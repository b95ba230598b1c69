// One order of a question set's traffic, answered by cache/semantic/verifier.h, and by a static
// threshold that was calibrated on the same labels.
//
// Each question is asked once. Its candidate is the nearest of those stored; a miss stores the
// question. While the traffic is in shadow nothing is served, and every candidate is labelled.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/semantic_verifier/questions.h"
#include "cache/semantic/comparator_error.h"

namespace nextgate::semantic_verifier {

struct Scenario {
  double error_max = 0.01;
  double confidence = 0.95;
  bool even_first = false;  // the even half is asked first, all of it in shadow; else:
  double shadow_share = 0;  // this share of the traffic is in shadow, the first of it
  double false_same = 0;    // the true rates of the comparator whose labels are seen,
  double false_different = 0;
  cache::ComparatorError comparator;  // and what was counted of it
  bool gates = false;                 // those that look at texts refuse
};

struct Served {
  int64_t hits = 0;
  int64_t wrong = 0;
  double error_worst = 0;  // at any moment after kSettled hits
  static constexpr int64_t kSettled = 200;
  double error() const { return hits == 0 ? 0 : static_cast<double>(wrong) / hits; }
};

struct Outcome {
  int64_t asked = 0;   // after the shadow
  int64_t labels = 0;  // that the verifier saw
  Served verified;
  Served fixed, hindsight, anytime;  // static thresholds; traffic.cc says which
  int64_t regenerated = 0;           // served hits that were labelled
};

// `seed` is the order, and what is drawn in it.
Outcome Play(const Questions& questions, const Scenario& scenario, uint64_t seed);

}  // namespace nextgate::semantic_verifier
