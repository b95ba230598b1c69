#include "cache/semantic/labelled_answers.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <thread>

#include "base/check.h"

namespace nextgate::cache {
namespace {

constexpr int kThreads = 4;
constexpr int kUnlabelledMax = 12;  // in a row, by one who is away

std::vector<LabelledAnswers> Parse(std::string_view text) {
  std::vector<LabelledAnswers> pairs;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.empty() || line.starts_with('#')) continue;
    std::array<std::string_view, 7> fields;
    for (std::string_view& field : fields) {
      field = line.substr(0, line.find('\t'));
      line.remove_prefix(std::min(line.size(), field.size() + 1));
    }
    LabelledAnswers pair{.subject = 0,
                         .same = fields[1] == "same",
                         .language = fields[2],
                         .kind = fields[3],
                         .question = fields[4],
                         .first = fields[5],
                         .second = fields[6]};
    std::from_chars(fields[0].data(), fields[0].data() + fields[0].size(), pair.subject);
    CHECK((pair.same || fields[1] == "different") && !pair.second.empty() && line.empty());
    pairs.push_back(pair);
  }
  return pairs;
}

// Whoever was asked, rather than what was asked, is why there is no label.
bool IsAway(AnswerVerdict::Reason reason) {
  return reason == AnswerVerdict::Reason::kNotJudged ||
         reason == AnswerVerdict::Reason::kNotEmbedded;
}

}  // namespace

const std::vector<LabelledAnswers>& HandWrittenAnswers() {
  static const std::vector<LabelledAnswers> kPairs = Parse(kAnswerPairsTsv);
  return kPairs;
}

ComparatorTrial TryComparator(const AnswerComparator& comparator,
                              const std::vector<LabelledAnswers>& pairs,
                              std::chrono::milliseconds budget, const std::function<bool()>& stop) {
  ComparatorTrial trial;
  trial.verdicts.resize(pairs.size());
  std::atomic<size_t> next = 0;
  std::atomic<int> unlabelled = 0;  // since the last label
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t)
      threads.emplace_back([&] {
        for (size_t i = next++; i < pairs.size() && unlabelled < kUnlabelledMax && !stop();
             i = next++) {
          const LabelledAnswers& pair = pairs[i];
          trial.verdicts[i] = comparator.Decide(pair.question, pair.first, pair.second,
                                                std::chrono::steady_clock::now() + budget);
          if (trial.verdicts[i]->label != AnswerVerdict::Label::kNone)
            unlabelled = 0;
          else if (IsAway(trial.verdicts[i]->reason))
            ++unlabelled;
        }
      });
  }
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (!trial.verdicts[i]) {
      trial.broken_off = true;
      continue;
    }
    const AnswerVerdict::Label label = trial.verdicts[i]->label;
    if (label == AnswerVerdict::Label::kNone) {
      ++trial.no_label;
      continue;
    }
    const bool same = label == AnswerVerdict::Label::kSame;
    ++(pairs[i].same ? trial.error.num_right : trial.error.num_wrong);
    trial.error.false_different += pairs[i].same && !same ? 1 : 0;
    trial.error.false_same += !pairs[i].same && same ? 1 : 0;
  }
  return trial;
}

}  // namespace nextgate::cache
