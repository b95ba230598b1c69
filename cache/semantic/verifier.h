// Decides whether a semantic candidate is served, and keeps what was learned about whether it
// should be.
//
// kStatic serves from a cosine on. kVerified serves where evidence shows that of served hits at
// most `error_max` are wrong:
// 1. Evidence is a label, right or wrong, of a candidate that was to be labelled with a known
//    probability: of candidates not served the answer is generated anyway and compared with the
//    stored one, of served hits a share is generated for that.
// 2. A candidate's score is its cosine, moved by what labels said of its entry and its partition
//    (cache/semantic/calibration.h). It is computed from earlier labels only.
// 3. For a grid of thresholds on the score a betting test asks whether of the candidates above it
//    more than error_max are wrong (cache/semantic/threshold_test.h). Candidates above the lowest
//    threshold that passes are served. The test may be looked at after every label: the probability
//    that it is ever wrong about the labels so far is 1 - confidence at most. Where labels turn bad
//    a threshold that had passed fails again.
// 4. What the test cannot know is that candidates to come are like those labelled. Served hits are
//    watched for that: where their labels say that the error is a multiple of error_max
//    (DriftMonitor), their partition forgets the test that it shared with all others and starts one
//    of its own, with nothing served until it passes; one that has its own starts it anew.
// 5. A comparator calls some wrong answers the same. The error allowed for labels is therefore
//    smaller: error_max * (1 - the comparator's rate of false sames, at its worst; a fifth of 1 -
//    confidence is spent on that). It also calls right answers different. That costs hits, and no
//    credit is taken (cache/semantic/confidence.h says why); one that does it more often than
//    error_max leaves nothing to serve.
// The bound is on all hits that share a test, not on every partition's alone.
// Feedback of people is biased, nobody reports a good answer: it moves the score of its entry and
// counts in no test and no rate.
//
// Xu, Karampatziakis and Mineiro, "Active, anytime-valid risk controlling prediction sets" (2024)
// is the nearest published method: its risk is per request and its labels are bought, ours is per
// served hit and most labels are free. Memory: about 3 KB a partition, 150 bytes an entry.
//
// Threads: any; Rule reads under a shared lock.
// Invariants: (1) what is known depends on the sequence of Observe's arguments and the options
// alone: no clock, no random numbers. Instances that fold the same evidence in the same order rule
// the same. (2) partitions and entries are bounded. (3) kVerified serves nothing without evidence.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/status.h"
#include "cache/semantic/comparator_error.h"
#include "cache/semantic/confidence.h"

namespace nextgate::cache {

// The stored question nearest to the one asked, all gates passed.
struct SemanticCandidate {
  Hash128 partition{};
  Hash128 entry{};
  float cosine = 0;  // [-1, 1]
  // Of its rival (rival.h). Not used: the margin between them said nothing more about question sets.
  std::optional<float> cosine_second = std::nullopt;
};

class Verifier {
 public:
  enum class Mode { kStatic, kVerified };

  struct Options {
    Mode mode = Mode::kStatic;
    float threshold = 0.80f;   // kStatic: served from this cosine on
    double error_max = 0.01;   // kVerified: of served hits, how many may be wrong; (0, 0.5]
    double confidence = 0.95;  // that it holds; [0.5, 0.9999]
    double observe_served =
        0.02;  // share of served hits whose answer is generated too and compared; (0, 1]; kStatic: also 0
    double observe_unserved = 1;  // share of candidates not served whose answer is compared; [0, 1]
    ComparatorError comparator{};   // of the comparator that the labels are from
    int64_t partitions_max = 1024;  // the one without evidence for longest is forgotten
    int64_t entries_max = 100'000;  // of all partitions, likewise
  };

  struct Ruling {
    bool serve = false;
    double observe =
        0;  // probability with which the caller must obtain a label: (0, 1], or 0: none
    double p_right = 0;  // that the candidate's answer is right, as far as is known
    float threshold =
        0;  // that applied: the cosine from which on this entry is served; 2: it is not
  };

  // What was learned of one candidate.
  struct Evidence {
    enum class Source {
      kShadow,    // two answers were compared
      kFeedback,  // somebody said so
      kDraft,     // the model accepted the stored answer, or not
    };
    SemanticCandidate candidate{};
    bool served = false;
    double observe =
        1;  // the ruling's: with which probability this was to be learned; of feedback: any
    bool right = false;
    Source source = Source::kShadow;
  };

  // A rate of wrong hits, the comparator's errors allowed for, with its interval at
  // Options::confidence (at this moment; not at all moments together).
  struct Bound {
    int64_t observed = 0;  // labels
    int64_t wrong = 0;     // of these
    double hits = 0;       // about so many they were sampled from
    double error = 0;      // the estimate; 0 if nothing was observed
    Interval interval;
  };

  // A static threshold that the evidence of a partition supports: the lowest that is reached from
  // the top while the one-sided Clopper-Pearson bound at Options::confidence stays within
  // `error_max` (fixed-sequence testing, as in cache/semantic/threshold_test.h).
  struct Suggestion {
    Hash128 partition;
    double error_max = 0;
    std::optional<float> threshold;  // nothing: no threshold is supported yet
    double rate = 0;                 // share of the partition's candidates that it would serve
    Bound error;                     // of these
  };

  // REQUIRES: options in their ranges (ValidateOptions).
  explicit Verifier(const Options& options);
  ~Verifier();
  static Status ValidateOptions(const Options& options);

  // Some hundred ns.
  Ruling Rule(const SemanticCandidate& candidate) const;
  // Some µs. Evidence that cannot be (a cosine that is none, a probability out of (0, 1]) is
  // ignored.
  void Observe(const Evidence& evidence);

  Bound ServedError() const;                          // of all partitions, also of forgotten ones
  Bound ServedError(const Hash128& partition) const;  // of one
  // For every partition with evidence, for 0.5 %, 1 %, 2 %, 5 %.
  std::vector<Suggestion> Suggest() const;

  struct Size {
    int64_t partitions = 0;
    int64_t entries = 0;
    int64_t alarms = 0;  // of drift, since the beginning
  };
  Size size() const;

  // All that was learned, as bytes. Unpack replaces what is known, or leaves it and returns
  // kDataLoss for what Pack did not write; the options are those of this object, and what is over
  // its bounds is forgotten.
  std::string Pack() const;
  Status Unpack(std::string_view bytes);

  const Options& options() const { return options_; }

 private:
  struct Shared;
  const Options options_;
  const std::unique_ptr<Shared> shared_;
};

}  // namespace nextgate::cache
