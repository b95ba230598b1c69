#include "cache/semantic/verifier.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <utility>

#include "base/check.h"
#include "cache/semantic/verifier_state.h"

namespace nextgate::cache {
namespace {

constexpr std::array kSuggestedErrors = {0.005, 0.01, 0.02, 0.05};
constexpr double kConfidenceMin = 0.5, kConfidenceMax = 0.9999, kErrorMax = 0.5;
constexpr float kNever = 2;  // no cosine is above it

Verifier::Bound BoundOf(const ServedLabels& served, const Verifier::Options& options) {
  Verifier::Bound bound;
  bound.observed = served.observed;
  bound.wrong = served.wrong;
  bound.hits = served.weight;
  if (served.observed == 0) return bound;
  // Labels had with unequal probabilities count as so many equal ones (Kish's effective sample).
  const double count = served.weight * served.weight / served.weight_squared;
  const double rate = std::min(served.weight_wrong / served.weight, 1.0);
  const WrongRate wrong =
      CorrectedRate(rate * count, count, options.confidence, options.comparator);
  bound.error = wrong.estimate;
  bound.interval = wrong.interval;
  return bound;
}

Verifier::Suggestion SuggestFor(const VerifierPartition& partition, double error_max,
                                const Verifier::Options& options) {
  Verifier::Suggestion suggestion;
  suggestion.error_max = error_max;
  const double alpha = 1 - options.confidence;
  const double allowed = ObservedErrorMax(error_max, alpha / 2, options.comparator);
  const double alpha_rate = options.comparator.num_wrong > 0 ? alpha / 2 : alpha;
  double all = partition.candidates_below;
  for (const double weight : partition.candidates) all += weight;

  int64_t labels = 0, wrong = 0;
  double candidates = 0;
  for (int band = 0; band < ThresholdTest::kBands; ++band) {
    labels += partition.by_cosine[band].labels;
    wrong += partition.by_cosine[band].wrong;
    candidates += partition.candidates[band];
    const auto count = static_cast<double>(labels), hits = static_cast<double>(wrong);
    // The sequence begins where the bound can hold at all, which labels do not decide.
    if (count * std::log1p(-allowed) > std::log(alpha_rate)) continue;
    if (UpperBound(hits, count, alpha_rate) > allowed) break;
    suggestion.threshold = static_cast<float>(ThresholdTest::Threshold(band + 1));
    suggestion.rate = candidates / all;
    const WrongRate rate = CorrectedRate(hits, count, options.confidence, options.comparator);
    suggestion.error = {labels, wrong, candidates, rate.estimate, rate.interval};
  }
  return suggestion;
}

}  // namespace

struct Verifier::Shared {
  mutable std::shared_mutex mutex;
  std::unique_ptr<VerifierState> state = std::make_unique<VerifierState>();  // guarded by mutex
};

Verifier::Verifier(const Options& options)
    : options_(options), shared_(std::make_unique<Shared>()) {
  CHECK(ValidateOptions(options));
}
Verifier::~Verifier() = default;

Status Verifier::ValidateOptions(const Options& options) {
  if (!(options.error_max > 0 && options.error_max <= kErrorMax))
    return InvalidArgument("expected an error above 0 and at most 0.5", "error_max");
  if (!(options.confidence >= kConfidenceMin && options.confidence <= kConfidenceMax))
    return InvalidArgument("expected a confidence from 0.5 to 0.9999", "confidence");
  // Without labels of what is served nothing is ever known to have turned bad.
  const bool blind = options.observe_served == 0 && options.mode == Mode::kVerified;
  if (!(options.observe_served >= 0 && options.observe_served <= 1) || blind)
    return InvalidArgument("expected a share above 0 and at most 1", "observe_served");
  if (!(options.observe_unserved >= 0 && options.observe_unserved <= 1))
    return InvalidArgument("expected a share from 0 to 1", "observe_unserved");
  if (options.partitions_max < 1 || options.entries_max < 1)
    return InvalidArgument("expected room for one partition and one entry at least");
  const ComparatorError& error = options.comparator;
  if (error.false_same < 0 || error.false_same > error.num_wrong || error.false_different < 0 ||
      error.false_different > error.num_right)
    return InvalidArgument("expected no more errors of the comparator than pairs", "comparator");
  return {};
}

Verifier::Ruling Verifier::Rule(const SemanticCandidate& candidate) const {
  const std::shared_lock lock(shared_->mutex);
  const VerifierState& state = *shared_->state;
  const VerifierState::View view = state.Look(candidate);
  Ruling ruling{.p_right = state.calibration.PRight(candidate.cosine, view.intercepts)};
  if (options_.mode == Mode::kStatic) {
    ruling.serve = candidate.cosine >= options_.threshold;
    ruling.threshold = options_.threshold;
  } else {
    ruling.serve = std::isfinite(view.score) && ThresholdTest::BandOf(view.score) < view.passed;
    ruling.threshold = view.passed <= 0 ? kNever
                                        : static_cast<float>(ThresholdTest::Threshold(view.passed) -
                                                             (view.score - candidate.cosine));
  }
  ruling.observe = ruling.serve ? options_.observe_served : options_.observe_unserved;
  return ruling;
}

void Verifier::Observe(const Evidence& evidence) {
  const float cosine = evidence.candidate.cosine;
  if (!(cosine >= -1.01f && cosine <= 1.01f)) return;
  if (evidence.source != Evidence::Source::kFeedback &&
      !(evidence.observe > 0 && evidence.observe <= 1))
    return;
  const std::unique_lock lock(shared_->mutex);
  shared_->state->Fold(evidence, options_);
}

Verifier::Bound Verifier::ServedError() const {
  const std::shared_lock lock(shared_->mutex);
  return BoundOf(shared_->state->served, options_);
}

Verifier::Bound Verifier::ServedError(const Hash128& partition) const {
  const std::shared_lock lock(shared_->mutex);
  const VerifierPartition* found = shared_->state->partitions.Find(partition);
  return found == nullptr ? Bound() : BoundOf(found->served, options_);
}

std::vector<Verifier::Suggestion> Verifier::Suggest() const {
  const std::shared_lock lock(shared_->mutex);
  std::vector<Suggestion> suggestions;
  for (const auto& [id, partition] : shared_->state->partitions.entries()) {
    if (!std::ranges::any_of(partition.by_cosine, [](const auto& band) { return band.labels > 0; }))
      continue;
    for (const double error_max : kSuggestedErrors) {
      suggestions.push_back(SuggestFor(partition, error_max, options_));
      suggestions.back().partition = id;
    }
  }
  return suggestions;
}

Verifier::Size Verifier::size() const {
  const std::shared_lock lock(shared_->mutex);
  const VerifierState& state = *shared_->state;
  return {static_cast<int64_t>(state.partitions.size()), static_cast<int64_t>(state.entries.size()),
          state.alarms};
}

std::string Verifier::Pack() const {
  const std::shared_lock lock(shared_->mutex);
  return shared_->state->Pack();
}

Status Verifier::Unpack(std::string_view bytes) {
  auto fresh = std::make_unique<VerifierState>();
  RETURN_IF_ERROR(fresh->Unpack(bytes, options_));
  const std::unique_lock lock(shared_->mutex);
  shared_->state = std::move(fresh);
  return {};
}

}  // namespace nextgate::cache
