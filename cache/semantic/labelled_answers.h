// Pairs of answers of which it is known whether they say the same, written by hand: what the error of
// a comparator is counted on. The binary carries them (data/answer_pairs.tsv), so that an operator can
// count the error of his own.
//
// Threads: constant.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "cache/semantic/answer_comparator.h"
#include "cache/semantic/comparator_error.h"

namespace nextgate::cache {

extern const std::string_view kAnswerPairsTsv;

struct LabelledAnswers {
  int64_t subject = 0;  // of each one pair that is the same and one that is not
  bool same = false;
  std::string_view language;  // "en", "zh"
  std::string_view kind;      // in what they differ: "words", "number", "name", …
  std::string_view question, first, second;
};
// What they view lives for ever.
const std::vector<LabelledAnswers>& HandWrittenAnswers();

// What a comparator says of them.
struct ComparatorTrial {
  ComparatorError error;    // of the pairs that got a label
  int64_t no_label = 0;     // of those that were asked about
  bool broken_off = false;  // stopped, or who was asked is away: not all were asked about
  std::vector<std::optional<AnswerVerdict>> verdicts;  // by pair; nothing: it was not asked about
};
// Asks about each pair, four at a time, each for `budget` at most, until `stop` says so. Counts in none of the
// comparator's counters.
ComparatorTrial TryComparator(const AnswerComparator& comparator,
                              const std::vector<LabelledAnswers>& pairs,
                              std::chrono::milliseconds budget, const std::function<bool()>& stop);

}  // namespace nextgate::cache
