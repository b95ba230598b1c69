// The exact tier: the same request again gets the same answer. A hash finds, the stored material
// proves. Looked up in this process first, then in the Redis that instances share, if there is one;
// what is found there is kept here too. And the normalised tier behind it (normalise.h): a second hash
// leads to the same entries, so whatever ends one of them ends it in both tiers.
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
#include "cache/invalidation.h"
#include "cache/key.h"
#include "cache/normalise.h"
#include "cache/policy.h"
#include "cache/redis/store.h"
#include "cache/single_flight.h"
#include "cache/tier.h"

namespace nextgate::cache {

struct CacheHit {
  std::shared_ptr<const Answer> answer;
  int64_t age_s = 0;  // the Age header: whole seconds since the answer was made
  std::shared_ptr<const StoredAnswer> entry;  // whose hits are counted by who replays it
  Hash128 id;                                 // of the entry
  Tier tier = Tier::kExact;  // kNormalised, kSemantic: it was made for another request
};

// Where an answer goes beside this process: to Redis as ever; or nowhere, because the instance that
// generated it stores it; or under the turn that we have for it, and only if it still is ours.
struct Sharing {
  bool here_only = false;
  // Another instance began it: what it knew of the invalidations then (EntryOrigin::position).
  std::optional<int64_t> position = std::nullopt;
  std::shared_ptr<Lead> lead;
};

class ExactCache {
 public:
  // All must outlive the cache. `shared` may be null.
  // `invalidations`: may be null, then nothing is ever invalidated. `aliases_max`: how many normalised
  // requests this process knows the entries of.
  explicit ExactCache(AnswerStore& store, RedisStore* shared = nullptr,
                      const Clock& clock = Clock::System(), Invalidations* invalidations = nullptr,
                      size_t aliases_max = size_t{1} << 16);

  // The answer to exactly this request if this process has one; costs no more than memory.
  std::optional<CacheHit> LookupHere(const CacheKey& key, const CachePlan& plan);

  // The answer to a request that is the same once normalised, if this process has one. `normalised` is
  // NormalisedKey's; nothing without material.
  std::optional<CacheHit> LookupNormalisedHere(const CacheKey& normalised, const CachePlan& plan);

  // The answer to exactly this request if there is one, not older than plan.max_age_ms; else, if
  // `normalised` is given and has material, to one that is the same once normalised. Waits for Redis as
  // long as RedisStore's budget at most. REQUIRES: plan.read.
  std::optional<CacheHit> Lookup(const CacheKey& key, const CachePlan& plan,
                                 const CacheKey* normalised = nullptr);

  // The same for an entry that Redis gave under the key's hash: proven, and kept here.
  std::optional<CacheHit> Accept(std::shared_ptr<const StoredAnswer> entry, const CacheKey& key,
                                 const CachePlan& plan);
  // The same for the entry `id` that Redis gave under a normalised request's hash.
  std::optional<CacheHit> AcceptNormalised(const Hash128& id,
                                           std::shared_ptr<const StoredAnswer> entry,
                                           const CacheKey& normalised, const CachePlan& plan);
  // The entry `id`, which the caller proves, wherever it lies; waits for Redis up to `deadline`.
  // Without a hit, `gone`: it is nowhere, or dead. `dry`: nothing is moved by looking.
  struct Fetched {
    std::optional<CacheHit> hit;
    bool gone = false;
  };
  Fetched Fetch(const Hash128& id, const CachePlan& plan, Deadline deadline, bool dry = false);

  // Whether the entry answers the normalised request, dead or not.
  static bool Answers(const StoredAnswer& entry, const CacheKey& normalised);

  // Stores `answer` as made now, here and in Redis; what Redis does not take is counted there. kNone,
  // or why it was not stored (zero_ttl, answer_too_large, invalidated).
  // REQUIRES: plan.write and StoreDecision said kNone; answer is not null.
  Reason Insert(CacheKey key, std::shared_ptr<const Answer> answer, const CachePlan& plan,
                EntryOrigin origin = {}, const Sharing& sharing = {});

  // The normalised request that an entry of this material answers too, remembered here. For imports.
  std::optional<Hash128> Alias(const Hash128& id, std::string_view material);

  // What a generation that begins now has to carry as its EntryOrigin::position.
  int64_t Position() const;
  // The lowest position at which an answer to this request would not be invalidated.
  int64_t Floor(const CacheKey& key, const EntryOrigin& origin) const;
  // True if it was invalidated.
  bool Dead(const Hash128& hash, const StoredAnswer& entry) const;

  // Lookups whose hash was found with another request's material behind it.
  int64_t collisions() const { return collisions_.load(std::memory_order_relaxed); }
  AnswerStore& store() { return store_; }
  RedisStore* shared() { return shared_; }  // null: there is none
  const AliasTable& aliases() const { return aliases_; }

 private:
  // The entry's answer, if it is this request's and young enough.
  std::optional<CacheHit> Prove(const std::shared_ptr<const StoredAnswer>& entry,
                                const CacheKey& key, const CachePlan& plan);
  std::optional<CacheHit> ProveNormalised(const Hash128& id,
                                          const std::shared_ptr<const StoredAnswer>& entry,
                                          const CacheKey& normalised, const CachePlan& plan);
  std::optional<CacheHit> Alive(const Hash128& id, const std::shared_ptr<const StoredAnswer>& entry,
                                const CachePlan& plan);

  AnswerStore& store_;
  RedisStore* const shared_;
  const Clock& clock_;
  Invalidations* const invalidations_;
  AliasTable aliases_;
  std::atomic<int64_t> collisions_ = 0;
};

}  // namespace nextgate::cache
