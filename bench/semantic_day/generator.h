// Stands in for the model: the answer to a question says what its intent says (out of scope: what this
// question alone says), in one of several wordings that the question decides. What an intent says is made up:
// where to go, what to choose, how long it takes. Different intents never say the same.
//
// Threads: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "bench/semantic/question_sets.h"
#include "cache/answer.h"

namespace nextgate::semantic_day {

inline constexpr size_t kWordings = 4;

// `wordings`: of so many, from 1 to kWordings.
std::string AnswerText(const semantic_bench::LabelledQuestion& question, size_t wordings);
// About as many as a tokenizer makes of English: four for three words.
int32_t NumTokens(const std::string& text);
std::shared_ptr<const cache::Answer> AnswerOf(const std::string& text);

}  // namespace nextgate::semantic_day
