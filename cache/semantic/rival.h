// Which other stored question makes the nearest one doubtful: the `cosine_second` of the margin (gates.h).
//
// In a cache nobody says which answers are one answer: a question that was asked in other words before has an answer
// of its own, in other words too. So a rival of the nearest stored question is one that says something else: its
// answer is another text, a gate that looks at texts (any, also one that is switched off) refuses it for the
// nearest, and the cosine of the two is below kRivalBelow. What that finds, and what other rules would, is in
// bench/results/semantic-quality-2026-11-27.md.
//
// Threads: pure. Some 30 µs for each stored question that is looked at.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

namespace nextgate::cache {

// Stored questions that one lookup looks at, the nearest included.
inline constexpr size_t kNearMax = 4;
inline constexpr float kRivalBelow = 0.80F;

// Borrowed for the call.
struct NearQuestion {
  float cosine = 0;  // of it and the asked question
  std::string_view text;
  std::string_view answer;
  std::span<const float> vector;  // [D], of length 1
};

// The cosine of the first rival of near.front(); nothing if there is none. `near`: best first, all of one D.
std::optional<float> CosineOfRival(std::span<const NearQuestion> near);

// All gates that look at texts let them pass.
bool TextsMatch(std::string_view asked, std::string_view stored);

}  // namespace nextgate::cache
