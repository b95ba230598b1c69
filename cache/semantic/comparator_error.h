// How often a comparison of two answers says the wrong thing about a hit, as counted on labelled
// pairs (cache/semantic/answer_comparator.h says on which): what every rate computed from its
// verdicts must allow for.
//
// Threads: plain values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace nextgate::cache {

struct ComparatorError {
  // Of a comparator of which nothing is known: it may say anything, so its labels show nothing.
  static constexpr ComparatorError Unknown();

  int64_t false_same = 0;       // of the wrong answers, how many were called the same
  int64_t num_wrong = 0;        // 0: not measured, and taken for none
  int64_t false_different = 0;  // of the right answers, how many were called different
  int64_t num_right = 0;        // 0: not measured, and taken for none

  // "3/204,5/204": of 204 wrong answers 3 were called the same, of 204 right ones 5 different.
  std::string Text() const;
  // kInvalidArgument for what is not of that form, or counts more errors than pairs, or no pairs.
  static Result<ComparatorError> Parse(std::string_view text);

  bool operator==(const ComparatorError&) const = default;
};

constexpr ComparatorError ComparatorError::Unknown() {
  return {.false_same = 1, .num_wrong = 1, .false_different = 1, .num_right = 1};
}

}  // namespace nextgate::cache
