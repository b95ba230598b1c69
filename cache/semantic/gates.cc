#include "cache/semantic/gates.h"

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

#include "cache/semantic/question_compare.h"
#include "cache/semantic/question_text.h"

namespace nextgate::cache {
namespace {

constexpr std::array<std::string_view, kNumGates> kCodes = {
    "numbers", "names", "negation", "antonyms", "order", "language", "length", "margin",
};

// What is compared, analysed when the first gate asks for it.
class Pair {
 public:
  Pair(const QuestionPair& pair, const GateSettings& settings) : pair_(pair), settings_(settings) {}

  // What `gate` refuses for, in words.
  std::optional<std::string> Refusal(Gate gate);

 private:
  std::optional<std::string> Margin() const;
  void Analyse();

  const QuestionPair& pair_;
  const GateSettings& settings_;
  bool analysed_ = false;
  Question asked_, stored_;
  std::optional<QuestionDifference> difference_;  // none: the same text
};

std::optional<std::string> Pair::Margin() const {
  if (!pair_.cosine_second) return std::nullopt;
  const float margin = pair_.cosine - *pair_.cosine_second;
  if (margin >= settings_.margin_min) return std::nullopt;
  return fmt::format("{:.3f} is {:.3f} over another answer's {:.3f}", pair_.cosine, margin,
                     *pair_.cosine_second);
}

void Pair::Analyse() {
  if (analysed_) return;
  analysed_ = true;
  if (pair_.asked == pair_.stored) return;
  asked_ = AnalyseQuestion(pair_.asked);
  stored_ = AnalyseQuestion(pair_.stored);
  if (asked_.utf8 && stored_.utf8 && asked_.plain == stored_.plain && !asked_.plain.empty()) return;
  difference_.emplace(asked_, stored_);
}

std::optional<std::string> Pair::Refusal(Gate gate) {
  if (gate == Gate::kMargin) return Margin();
  Analyse();
  if (!difference_) return std::nullopt;
  switch (gate) {
    case Gate::kNumbers:
      return difference_->Numbers();
    case Gate::kNames:
      return difference_->Names();
    case Gate::kNegation:
      return difference_->Negation();
    case Gate::kAntonyms:
      return difference_->Antonyms();
    case Gate::kOrder:
      return difference_->Order();
    case Gate::kLanguage:
      return difference_->Language();
    case Gate::kLength:
      return difference_->Length(settings_.length_ratio_max);
    case Gate::kMargin:
      break;
  }
  return std::nullopt;
}

}  // namespace

std::string_view GateCode(Gate gate) { return kCodes[static_cast<size_t>(gate)]; }

std::optional<Gate> FindGate(std::string_view code) {
  const auto* found = std::ranges::find(kCodes, code);
  if (found == kCodes.end()) return std::nullopt;
  return static_cast<Gate>(found - kCodes.begin());
}

std::vector<GateVerdict> JudgeGates(const QuestionPair& pair, const GateSettings& settings) {
  Pair both(pair, settings);
  std::vector<GateVerdict> verdicts;
  verdicts.reserve(kNumGates);
  for (size_t i = 0; i < kNumGates; ++i) {
    const Gate gate = static_cast<Gate>(i);
    std::optional<std::string> refusal = both.Refusal(gate);
    verdicts.push_back({.gate = gate,
                        .refuses = refusal.has_value(),
                        .detail = refusal ? std::move(*refusal) : std::string()});
  }
  return verdicts;
}

GateSet RefusedBy(const QuestionPair& pair, GateSet on, const GateSettings& settings) {
  Pair both(pair, settings);
  GateSet refused;
  for (size_t i = 0; i < kNumGates; ++i) {
    const Gate gate = static_cast<Gate>(i);
    if (on.contains(gate) && both.Refusal(gate)) refused.insert(gate);
  }
  return refused;
}

}  // namespace nextgate::cache
