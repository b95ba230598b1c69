// What two answers must agree on, however they are worded: numbers, names, negations, and the side
// of opposites. English and Chinese. A small reading of an answer, on purpose: what it misses, the
// cosine or a judge has to see (cache/semantic/answer_comparator.h); what it sees and the other
// answer lacks is a difference.
//
// Threads: pure functions. Linear in the length of the text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nextgate::cache {

struct StatedFacts {
  std::string text;  // lower case, its words one space apart, punctuation and markdown gone
  std::vector<std::string> numbers;  // as digits ("1000", "2.5"), sorted, each once
  std::vector<std::string>
      names;  // lower case: capitalised within a sentence, or with digits in them
  int64_t negations = 0;
  // Pairs of opposites (on, off), by number, and which side of each is there; sorted.
  std::vector<std::pair<int, bool>> opposites;
};

StatedFacts FactsOf(std::string_view answer);

enum class FactClash { kNumbers, kNames, kNegation, kOpposites };

// The first thing in which two answers differ; nothing: none was seen.
std::optional<FactClash> ClashOf(const StatedFacts& a, const StatedFacts& b);

}  // namespace nextgate::cache
