// semantic_comparator: how often cache/semantic/answer_comparator.h is wrong about two answers.
//
//   semantic_comparator --model DIR
//
// On the even subjects of the pairs the cosine is chosen from which on answers count as the same:
// the one with the fewest errors of both kinds, a false same counting two false differents.
// On the odd ones both errors are counted, with their intervals.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "cache/semantic/answer_comparator.h"
#include "cache/semantic/confidence.h"
#include "cache/semantic/labelled_answers.h"
#include "engine/encoder/sentence_encoder.h"
#include "gateway/encoder_embedder.h"

namespace nextgate {
namespace {

struct Pair {
  cache::LabelledAnswers is;
  cache::AnswerVerdict verdict;  // at a cosine_min of -1: who has a cosine, has passed all else

  bool CalledSame(float cosine_min) const {
    return verdict.cosine ? *verdict.cosine >= cosine_min
                          : verdict.label == cache::AnswerVerdict::Label::kSame;
  }
};

struct Errors {
  cache::ComparatorError counts;
  int64_t no_label = 0;
};

Errors CountErrors(const std::vector<Pair>& pairs, std::string_view language, bool even,
                   float cosine_min) {
  Errors errors;
  for (const Pair& pair : pairs) {
    if (pair.is.language != language || (pair.is.subject % 2 == 0) != even) continue;
    if (pair.verdict.label == cache::AnswerVerdict::Label::kNone) {
      ++errors.no_label;
      continue;
    }
    const bool same = pair.CalledSame(cosine_min);
    ++(pair.is.same ? errors.counts.num_right : errors.counts.num_wrong);
    errors.counts.false_different += pair.is.same && !same ? 1 : 0;
    errors.counts.false_same += !pair.is.same && same ? 1 : 0;
  }
  return errors;
}

// The fewest errors of both kinds, a false same counting kFalseSameCost false differents.
float ChooseCosine(const std::vector<Pair>& pairs) {
  constexpr int64_t kFalseSameCost = 2;
  std::pair<int64_t, float> best = {INT64_MAX, 1.0f};
  for (int step = 40; step <= 99; ++step) {
    const float cosine_min = static_cast<float>(step) / 100;
    const cache::ComparatorError counts = CountErrors(pairs, "en", true, cosine_min).counts;
    const int64_t cost = kFalseSameCost * counts.false_same + counts.false_different;
    if (cost <= best.first) best = {cost, cosine_min};
  }
  return best.second;
}

void PrintHalf(const std::vector<Pair>& pairs, std::string_view language, bool even,
               float cosine_min) {
  constexpr double kConfidence = 0.95;
  const Errors errors = CountErrors(pairs, language, even, cosine_min);
  const cache::ComparatorError& counts = errors.counts;
  const auto interval = [](int64_t hits, int64_t count) {
    const cache::Interval found =
        cache::ClopperPearson(static_cast<double>(hits), static_cast<double>(count), kConfidence);
    return fmt::format(
        "{} / {} = {:.1f} % ({:.1f} to {:.1f})", hits, count,
        count > 0 ? 100.0 * static_cast<double>(hits) / static_cast<double>(count) : 0,
        100 * found.low, 100 * found.high);
  };
  fmt::print("| {} | {} | {:.2f} | {} | {} | {} |\n", language, even ? "even, chosen on" : "odd",
             cosine_min, interval(counts.false_same, counts.num_wrong),
             interval(counts.false_different, counts.num_right), errors.no_label);
}

Status Run(const std::string& model) {
  ASSIGN_OR_RETURN(auto encoder, engine::SentenceEncoder::Open(model, 2));
  gateway::EncoderEmbedder embedder("minilm", std::move(encoder));
  cache::AnswerComparator comparator({.cosine_min = -1}, &embedder, nullptr);
  const auto& answers = cache::HandWrittenAnswers();
  const cache::ComparatorTrial trial =
      cache::TryComparator(comparator, answers, std::chrono::seconds(10), [] { return false; });
  std::vector<Pair> pairs;
  for (size_t i = 0; i < answers.size(); ++i)
    pairs.push_back({answers[i], trial.verdicts[i].value_or(cache::AnswerVerdict())});

  const float cosine_min = ChooseCosine(pairs);
  fmt::print(
      "| language | half | cosine | false same | false different | no label |\n"
      "|---|---|---|---|---|---|\n");
  for (const std::string_view language : {"en", "zh"})
    for (const bool even : {true, false}) PrintHalf(pairs, language, even, cosine_min);
  for (const float other : {0.6f, 0.7f, 0.8f, 0.9f, 0.95f}) PrintHalf(pairs, "en", false, other);

  std::map<std::string_view, std::pair<int, int>> kinds;  // false sames, pairs
  std::map<std::string, int> reasons;                     // of what was wrong about right answers
  for (const Pair& pair : pairs) {
    if (pair.is.language != "en" || pair.is.subject % 2 == 0) continue;
    if (!pair.is.same) {
      ++kinds[pair.is.kind].second;
      kinds[pair.is.kind].first += pair.CalledSame(cosine_min) ? 1 : 0;
    } else if (!pair.CalledSame(cosine_min)) {
      ++reasons[std::string(NameOf(pair.verdict.reason))];
    }
  }
  fmt::print("\nOdd half, English. False sames by kind of difference:");
  for (const auto& [kind, count] : kinds) fmt::print(" {} {}/{};", kind, count.first, count.second);
  fmt::print("\nFalse differents by reason:");
  for (const auto& [reason, count] : reasons) fmt::print(" {} {};", reason, count);
  fmt::print("\n");
  return {};
}

}  // namespace
}  // namespace nextgate

int main(int argc, char** argv) {
  std::string model;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::string_view(argv[i]) == "--model") model = argv[i + 1];
  }
  if (model.empty()) {
    fmt::print(stderr, "usage: semantic_comparator --model DIR\n");
    return 2;
  }
  const nextgate::Status status = nextgate::Run(model);
  if (!status) fmt::print(stderr, "{}\n", status.error().message);
  return status ? 0 : 1;
}
