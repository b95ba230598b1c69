// What a semantic cache would find: a random half of a set's questions is stored, the others are asked, and
// each finds the nearest stored one.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "bench/semantic/question_sets.h"
#include "bench/semantic/vectors.h"
#include "cache/semantic/gates.h"

namespace nextgate::semantic_bench {

// What could count as the other answer of the margin, among the kNearMax nearest (cache/semantic/rival.h).
enum class Second {
  kNone,
  kIntent,  // of another intent, among all that is stored: what nobody can know who has no labels
  kNext,    // the next, whatever it is
  // The next that a gate of texts refuses for the nearest, or whose cosine with it is below kRivalBelow.
  kUnmatched,
  kBothFit,  // that these gates let pass for the asked question, and refuse for the nearest
  kRival,    // as shipped, if all answers are worded differently
};
inline constexpr size_t kNumSeconds = 6;
std::string_view NameOf(Second second);

struct Candidate {
  size_t asked = 0, stored = 0;  // indices into the set's questions
  float cosine = 0;
  std::array<std::optional<float>, kNumSeconds> seconds;  // cosines, by Second
  cache::GateSet refused;                                 // by all gates, with kRival
  bool right = false;                                     // same intent
  bool tune = false;  // of the half that settings are chosen on, else of the reported one
};

// Who is stored, and which half an asked question is in, is decided by two bits of the hashes of the texts,
// bits 2 * split and the next: the same in every run. Exact search over two threads.
std::vector<Candidate> FindCandidates(const QuestionSet& set, const Vectors& vectors,
                                      const cache::GateSettings& settings, int split);

// One line each: set, tune or report, asked and stored index, cosine, that of the rival ("" if none), the codes of
// the gates that refuse with "," between them, 1 if right else 0, the hash of the asked text. After a line of titles.
Status WriteCandidates(const std::string& path, const std::vector<QuestionSet>& sets,
                       const std::vector<std::vector<Candidate>>& candidates);

}  // namespace nextgate::semantic_bench
