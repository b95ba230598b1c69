#include "gateway/semantic_tier.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/log.h"

namespace nextgate::gateway {
namespace {

// A judge has a model to ask; the embedder is a few milliseconds away.
constexpr std::chrono::seconds kJudgeBudget(30), kCompareBudget(2);

std::chrono::milliseconds CompareBudget(bool has_judge) {
  return has_judge ? kJudgeBudget : kCompareBudget;
}

std::string ComparatorId(const SemanticTier::Services& services) {
  if (services.judge != nullptr) return "judge " + services.judge_id;
  const cache::EmbedderInfo& info = services.embedder.info();
  return "embedder " + info.id + " " + info.revision;
}

cache::ComparatorError ErrorOf(const ServeOptions& o, const cache::EmbedderInfo& embedder,
                               const cache::AnswerJudge* judge) {
  if (o.cache_comparator_error) return *o.cache_comparator_error;
  if (judge == nullptr && embedder.id == cache::kMeasuredEmbedder)
    return cache::kMeasuredComparator;
  return cache::ComparatorError::Unknown();
}

cache::Verifier::Options VerifierOptions(const ServeOptions& o,
                                         const cache::ComparatorError& comparator) {
  return {.mode = o.cache_semantic_verifier == "static" ? cache::Verifier::Mode::kStatic
                                                        : cache::Verifier::Mode::kVerified,
          .threshold = static_cast<float>(o.cache_semantic_threshold),
          .error_max = o.cache_semantic_error_max,
          .confidence = o.cache_semantic_confidence,
          .observe_served = o.cache_semantic_observe,
          .comparator = comparator};
}

// By flags; keys and requests may ask for it, too.
bool Serves(const ServeOptions& o) {
  const auto serve = [](const auto& route) { return route.second == cache::SemanticMode::kServe; };
  return o.cache_semantic == cache::SemanticMode::kServe ||
         std::ranges::any_of(o.cache_semantic_route, serve);
}

}  // namespace

bool WantsSemanticTier(const ServeOptions& options) {
  const auto on = [](const auto& route) { return route.second != cache::SemanticMode::kOff; };
  return options.enable_answer_cache && (options.cache_semantic != cache::SemanticMode::kOff ||
                                         std::ranges::any_of(options.cache_semantic_route, on));
}

cache::GateSet GatesOf(const std::vector<std::string>& codes) {
  cache::GateSet gates;
  if (codes.empty()) return cache::GateSet::all();
  for (const std::string& code : codes) {
    if (code == "all") return cache::GateSet::all();
    if (const auto gate = cache::FindGate(code)) gates.insert(*gate);
  }
  return gates;
}

SemanticTier::SemanticTier(const ServeOptions& options, const Services& services)
    : verifier_(
          VerifierOptions(options, ErrorOf(options, services.embedder.info(), services.judge))),
      comparator_({}, &services.embedder, services.judge),
      cache_(std::make_unique<cache::SemanticCache>(
          cache::SemanticCache::Options{
              .name_space = options.cache_namespace,
              .secret = services.secret,
              .comparator = ComparatorId(services),
              .embed_budget = std::chrono::milliseconds(options.embedding_timeout_ms),
              .compare_budget = CompareBudget(services.judge != nullptr),
              .entries_max = options.cache_semantic_entries_max,
              .gates = GatesOf(options.cache_semantic_gates),
              .questions_expiry = std::chrono::seconds(options.cache_ttl_max_s + 3600),
              .snapshot_dir = options.cache_semantic_dir},
          cache::SemanticCache::Services{.embedder = services.embedder,
                                         .exact = services.exact,
                                         .verifier = verifier_,
                                         .comparator = comparator_,
                                         .client = services.redis,
                                         .tail = services.tail,
                                         .keys = services.keys})) {
  WarnOfComparator(options);
  if (services.catalogue != nullptr)
    reembedder_ = std::make_unique<cache::Reembedder>(
        cache::Reembedder::Options{.name_space = options.cache_namespace}, *cache_,
        *services.catalogue, *services.redis);
}

void SemanticTier::WarnOfComparator(const ServeOptions& options) const {
  const cache::Verifier::Options& verifier = verifier_.options();
  const cache::ComparatorError& error = verifier.comparator;
  if (!Serves(options) || verifier.mode != cache::Verifier::Mode::kVerified) return;
  if (error == cache::ComparatorError::Unknown())
    LogWarning(
        "nothing is served by meaning: how often what compares answers is wrong is not known; "
        "`nextgate "
        "admin comparator` counts it for --cache-comparator-error");
  else if (static_cast<double>(error.false_different) >
           verifier.error_max * static_cast<double>(error.num_right))
    LogWarning(
        "little or nothing will be served by meaning: what compares answers calls {} of {} right "
        "ones "
        "different, which count as wrong hits, and --cache-semantic-error-max is {}",
        error.false_different, error.num_right, verifier.error_max);
}

std::optional<cache::ComparatorTrial> SemanticTier::TryComparator(
    const std::function<bool()>& stop) {
  const std::unique_lock lock(trial_mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return std::nullopt;
  return cache::TryComparator(comparator_, cache::HandWrittenAnswers(),
                              CompareBudget(comparator_.has_judge()), stop);
}

}  // namespace nextgate::gateway
