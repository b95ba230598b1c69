// The exact tier: the same request again gets the same answer. A hash finds, the stored material
// proves.
//
// One request: MakePlan (policy.h) → if plan.read, Lookup → a hit is replayed from its Answer; else
// generate, and after the last byte is sent hand the Answer to Writer (writer.h), which calls
// Insert.
//
// Threads: all methods may be called from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "cache/answer_store.h"
#include "cache/key.h"
#include "cache/policy.h"

namespace nextgate::cache {

struct CacheHit {
  std::shared_ptr<const Answer> answer;
  int64_t age_s = 0;  // the Age header: whole seconds since the answer was made
};

class ExactCache {
 public:
  // Both must outlive the cache.
  explicit ExactCache(AnswerStore& store, const Clock& clock = Clock::System());

  // The answer to exactly this request if there is one, not older than plan.max_age_ms.
  // REQUIRES: plan.read.
  std::optional<CacheHit> Lookup(const CacheKey& key, const CachePlan& plan);

  // Stores `answer` as made now. kNone, or why it was not stored (zero_ttl, answer_too_large).
  // REQUIRES: plan.write and StoreDecision said kNone; answer is not null.
  Reason Insert(CacheKey key, std::shared_ptr<const Answer> answer, const CachePlan& plan);

  // Lookups whose hash was found with another request's material behind it.
  int64_t collisions() const { return collisions_.load(std::memory_order_relaxed); }
  AnswerStore& store() { return store_; }

 private:
  AnswerStore& store_;
  const Clock& clock_;
  std::atomic<int64_t> collisions_ = 0;
};

}  // namespace nextgate::cache
