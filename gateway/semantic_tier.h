// The semantic tier of one server: what SemanticCache needs beside the services that others have, built
// from ServeOptions.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "cache/aead.h"
#include "cache/embedder.h"
#include "cache/exact_cache.h"
#include "cache/redis/catalogue.h"
#include "cache/redis/client.h"
#include "cache/redis/tail.h"
#include "cache/semantic/answer_comparator.h"
#include "cache/semantic/labelled_answers.h"
#include "cache/semantic/reembed.h"
#include "cache/semantic/semantic_cache.h"
#include "cache/semantic/verifier.h"
#include "gateway/serve_options.h"

namespace nextgate::gateway {

class SemanticTier {
 public:
  struct Services {
    cache::Embedder& embedder;
    cache::ExactCache& exact;
    cache::AnswerJudge* judge = nullptr;  // null: the embedder compares answers
    std::string judge_id;                 // equal for those who judge alike
    cache::RedisClient* redis = nullptr;  // both or none
    cache::RedisTail* tail = nullptr;
    cache::RedisCatalogue* catalogue = nullptr;  // with the two
    const cache::Keyring& keys;
    std::string secret;  // of all instances
  };
  // All services must outlive it.
  SemanticTier(const ServeOptions& options, const Services& services);

  cache::SemanticCache& cache() { return *cache_; }
  const cache::Reembedder* reembedder() const { return reembedder_.get(); }
  const cache::Verifier& verifier() const { return verifier_; }
  const cache::AnswerComparator& comparator() const { return comparator_; }

  // Asks what compares answers about all pairs of which the truth is known; some minutes, with a slow
  // judge; `stop` is asked between two pairs. Nothing: somebody else is doing that just now.
  std::optional<cache::ComparatorTrial> TryComparator(const std::function<bool()>& stop);

  // The server stops: whoever waits for the judge returns soon.
  void Close() { comparator_.Close(); }

 private:
  void WarnOfComparator(const ServeOptions& options) const;

  cache::Verifier verifier_;
  cache::AnswerComparator comparator_;
  std::mutex trial_mutex_;
  std::unique_ptr<cache::SemanticCache> cache_;
  std::unique_ptr<cache::Reembedder> reembedder_;  // null without Redis
};

// Whether any request may come to it.
bool WantsSemanticTier(const ServeOptions& options);

// What --cache-semantic-gates says. REQUIRES: each is "all", "none" or a gate's code.
cache::GateSet GatesOf(const std::vector<std::string>& codes);

}  // namespace nextgate::gateway
