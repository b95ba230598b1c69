#include "gateway/semantic_tier.h"

#include <algorithm>
#include <utility>

namespace nextgate::gateway {
namespace {

cache::Verifier::Options VerifierOptions(const ServeOptions& o) {
  return {.mode = o.cache_semantic_verifier == "static" ? cache::Verifier::Mode::kStatic
                                                        : cache::Verifier::Mode::kVerified,
          .threshold = static_cast<float>(o.cache_semantic_threshold),
          .error_max = o.cache_semantic_error_max,
          .confidence = o.cache_semantic_confidence,
          .observe_served = o.cache_semantic_observe,
          .comparator = cache::kMeasuredComparator};
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
    : verifier_(VerifierOptions(options)),
      comparator_({}, &services.embedder, /*judge=*/nullptr),
      cache_(std::make_unique<cache::SemanticCache>(
          cache::SemanticCache::Options{
              .name_space = options.cache_namespace,
              .secret = services.secret,
              .embed_budget = std::chrono::milliseconds(options.embedding_timeout_ms),
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
  if (services.catalogue != nullptr)
    reembedder_ = std::make_unique<cache::Reembedder>(
        cache::Reembedder::Options{.name_space = options.cache_namespace}, *cache_,
        *services.catalogue, *services.redis);
}

}  // namespace nextgate::gateway
