// Stands in for a language model as judge: it knows whose answers they are, and is mistaken about a share of
// the pairs of them, of either kind, the same ones each time.
//
// Threads: const after construction.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "bench/semantic/question_sets.h"
#include "bench/semantic_day/generator.h"
#include "cache/semantic/answer_comparator.h"
#include "cache/semantic/comparator_error.h"

namespace nextgate::semantic_day {

class MadeUpJudge final : public cache::AnswerJudge {
 public:
  MadeUpJudge(const std::vector<semantic_bench::LabelledQuestion>& questions, size_t wordings,
              double mistaken)
      : mistaken_(mistaken) {
    for (const auto& question : questions)
      says_.emplace(AnswerText(question, wordings),
                    question.out_of_scope ? question.text : question.intent);
  }

  Result<bool> Same(std::string_view /*question*/, std::string_view stored,
                    std::string_view generated, Deadline /*deadline*/) override {
    const std::string a(stored), b(generated);
    const double draw = static_cast<double>(HashBytes(a + '\n' + b).low >> 11) * 0x1p-53;
    return (says_.at(a) == says_.at(b)) != (draw < mistaken_);
  }

  // What an operator would have counted of it on the pairs that the server carries.
  cache::ComparatorError Counted() const {
    constexpr int64_t kPairs = 204;
    const int64_t wrong = std::llround(mistaken_ * kPairs);
    return {wrong, kPairs, wrong, kPairs};
  }

 private:
  const double mistaken_;
  std::unordered_map<std::string, std::string> says_;
};

}  // namespace nextgate::semantic_day
