// "Was this hit right?", asked of two answers: the one that was stored and one that was generated
// for the question asked. For the machine that labels hits (cache/semantic/verifier.h); nothing is
// served by it.
//
// In this order:
// 1. equal but for case, spaces, punctuation and markdown: the same;
// 2. numbers, names, negations or opposites that do not agree (cache/semantic/answer_facts.h):
//    different; of negations and opposites a judge knows more, if there is one;
// 3. a judge, if there is one, decides;
// 4. else the same if every piece of either answer has a counterpart in the other with a cosine of
//    at least `cosine_min`. An answer of a sentence or two is one piece; a longer one is cut
//    at sentences, so that an encoder reads all of it, and one paragraph too many is a difference.
//
// No label is a third outcome: the embedder or the judge failed or was late, or the embedder does
// not know the language. Whether there is a label must not depend on what it would say, or the
// rates computed from labels would lean: so without a judge both answers are embedded before
// anything is said, even equal ones.
//
// Its errors on hand-written pairs are kMeasuredComparator. They are of English with
// kMeasuredEmbedder and no judge; of another embedder or a judge they are unknown until somebody
// counts them (labelled_answers.h). That embedder knows no Chinese: such answers get no label
// without a judge.
//
// Threads: Compare from any, if embedder and judge allow it.
// Invariants: no answer is logged; Compare returns at `deadline`, as the embedder and the judge do.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "cache/embedder.h"
#include "cache/semantic/answer_facts.h"
#include "cache/semantic/comparator_error.h"

namespace nextgate::cache {

// Says whether two answers to one question say the same.
class AnswerJudge {
 public:
  using Deadline = std::chrono::steady_clock::time_point;
  virtual ~AnswerJudge() = default;
  // An error is no label. Returns at `deadline` at the latest.
  virtual Result<bool> Same(std::string_view question, std::string_view stored,
                            std::string_view generated, Deadline deadline) = 0;
  // Every call, also one that waits, now returns an error soon. From any thread.
  virtual void Close() {}
};

struct AnswerVerdict {
  enum class Label { kSame, kDifferent, kNone };
  enum class Reason {
    kEqual,
    kNumbers,
    kNames,
    kNegation,
    kOpposites,
    kJudge,
    kCosine,
    kNoEmbedder,  // no label from here on
    kNotEmbedded,
    kUnsupported,  // more than kUnknownMax of an answer is unknown to the embedder
    kNotJudged,
    kTooLong,  // more than kPiecesMax pieces
  };
  static constexpr size_t kReasons = static_cast<size_t>(Reason::kTooLong) + 1;

  Label label = Label::kNone;
  Reason reason = Reason::kNotEmbedded;
  std::optional<float> cosine;  // of the piece that has the least counterpart, if it was looked at
  std::string failure;          // what the embedder or the judge said instead of an answer
};
std::string_view NameOf(AnswerVerdict::Reason reason);

// On the odd half of cache/semantic/data/answer_pairs.tsv,
// bench/results/cpu-2026-11-27-semantic-verifier.md.
inline constexpr std::string_view kMeasuredEmbedder = "all-MiniLM-L6-v2";
inline constexpr float kMeasuredCosineMin = 0.79f;
inline constexpr ComparatorError kMeasuredComparator = {
    .false_same = 7, .num_wrong = 82, .false_different = 15, .num_right = 82};

class AnswerComparator {
 public:
  using Deadline = std::chrono::steady_clock::time_point;
  using Facts = StatedFacts (*)(std::string_view);
  static constexpr double kUnknownMax = 0.1;  // share of an answer's tokens
  static constexpr size_t kPieceBytes = 600;  // some 150 English tokens; MiniLM reads 256
  static constexpr size_t kPiecesMax = 32;

  struct Options {
    float cosine_min = kMeasuredCosineMin;
    Facts facts = &FactsOf;
  };

  // Borrowed, null: there is none. REQUIRES: they outlive this object.
  AnswerComparator(const Options& options, Embedder* embedder, AnswerJudge* judge);

  AnswerVerdict Compare(std::string_view question, std::string_view stored,
                        std::string_view generated, Deadline deadline);

  // The same, counted nowhere.
  AnswerVerdict Decide(std::string_view question, std::string_view stored,
                       std::string_view generated, Deadline deadline) const;

  bool has_judge() const { return judge_ != nullptr; }
  // Whoever waits for the judge returns soon, without a label.
  void Close();

  // How many verdicts had this reason.
  int64_t count(AnswerVerdict::Reason reason) const;

 private:
  AnswerVerdict DecideByCosine(std::string_view stored, std::string_view generated,
                               std::optional<AnswerVerdict> plain, Deadline deadline) const;

  const Options options_;
  Embedder* const embedder_;
  AnswerJudge* const judge_;
  std::array<std::atomic<int64_t>, AnswerVerdict::kReasons> counts_{};
};

}  // namespace nextgate::cache
