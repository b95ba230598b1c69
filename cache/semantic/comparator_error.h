// How often a comparison of two answers says the wrong thing about a hit, as counted on labelled
// pairs (cache/semantic/answer_comparator.h says on which): what every rate computed from its
// verdicts must allow for.
//
// Threads: plain values.
#pragma once

#include <cstdint>

namespace nextgate::cache {

struct ComparatorError {
  int64_t false_same = 0;       // of the wrong answers, how many were called the same
  int64_t num_wrong = 0;        // 0: not measured, and taken for none
  int64_t false_different = 0;  // of the right answers, how many were called different
  int64_t num_right = 0;        // 0: not measured, and taken for none
};

}  // namespace nextgate::cache
