#include "cache/exact_cache.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace nextgate::cache {

ExactCache::ExactCache(AnswerStore& store, RedisStore* shared, const Clock& clock,
                       Invalidations* invalidations, size_t aliases_max)
    : store_(store),
      shared_(shared),
      clock_(clock),
      invalidations_(invalidations),
      aliases_(aliases_max) {}

int64_t ExactCache::Position() const {
  return invalidations_ == nullptr ? 0 : invalidations_->position();
}

int64_t ExactCache::Floor(const CacheKey& key, const EntryOrigin& origin) const {
  if (invalidations_ == nullptr) return 0;
  return invalidations_->Floor(
      {.id = key.hash, .origin = origin, .material = key.material, .created_unix_ms = {}});
}

bool ExactCache::Dead(const Hash128& hash, const StoredAnswer& entry) const {
  return invalidations_ != nullptr && invalidations_->Kills(hash, entry);
}

std::optional<CacheHit> ExactCache::Lookup(const CacheKey& key, const CachePlan& plan,
                                           const CacheKey* normalised) {
  if (auto hit = LookupHere(key, plan)) return hit;
  std::optional<CacheHit> near;
  if (normalised != nullptr) near = LookupNormalisedHere(*normalised, plan);
  if (shared_ == nullptr) return near;
  const bool either = normalised != nullptr && !normalised->material.empty() && !near;
  RedisFound found = either ? shared_->GetEither(key.hash, normalised->hash)
                            : RedisFound{.entry = shared_->Get(key.hash), .alias_of = {}};
  if (found.entry == nullptr) return near;
  if (found.alias_of)
    return AcceptNormalised(*found.alias_of, std::move(found.entry), *normalised, plan);
  auto hit = Accept(std::move(found.entry), key, plan);
  return hit ? hit : near;
}

std::optional<CacheHit> ExactCache::LookupNormalisedHere(const CacheKey& normalised,
                                                         const CachePlan& plan) {
  CHECK(plan.read);
  if (normalised.material.empty()) return std::nullopt;
  const auto id = aliases_.Find(normalised.hash);
  if (!id) return std::nullopt;
  const auto entry = store_.Get(*id);
  return entry == nullptr ? std::nullopt : ProveNormalised(*id, entry, normalised, plan);
}

std::optional<CacheHit> ExactCache::AcceptNormalised(const Hash128& id,
                                                     std::shared_ptr<const StoredAnswer> entry,
                                                     const CacheKey& normalised,
                                                     const CachePlan& plan) {
  if (invalidations_ != nullptr && !invalidations_->known()) return std::nullopt;
  auto hit = ProveNormalised(id, entry, normalised, plan);
  if (hit) {
    aliases_.Put(normalised.hash, id);
    store_.Put(id, std::move(entry));
  }
  return hit;
}

ExactCache::Fetched ExactCache::Fetch(const Hash128& id, const CachePlan& plan, Deadline deadline,
                                      bool dry) {
  std::shared_ptr<const StoredAnswer> entry = dry ? store_.Peek(id) : store_.Get(id);
  if (entry == nullptr) {
    Fetched none{.gone = shared_ == nullptr};
    if (shared_ != nullptr) entry = shared_->Get(id, deadline, &none.gone);
    if (entry == nullptr) return none;
    // Until the invalidations have been read once, nobody knows whether it is alive.
    if (invalidations_ != nullptr && !invalidations_->known()) return {};
    if (!dry && !Dead(id, *entry)) store_.Put(id, entry);
  }
  if (Dead(id, *entry)) return {.gone = true};
  return {.hit = Alive(id, entry, plan)};
}

bool ExactCache::Answers(const StoredAnswer& entry, const CacheKey& normalised) {
  const auto material = NormalisedMaterial(entry.material);
  return material && *material == normalised.material;
}

std::optional<CacheHit> ExactCache::ProveNormalised(
    const Hash128& id, const std::shared_ptr<const StoredAnswer>& entry, const CacheKey& normalised,
    const CachePlan& plan) {
  if (!Answers(*entry, normalised)) {
    collisions_.fetch_add(1, std::memory_order_relaxed);
    return std::nullopt;
  }
  auto hit = Alive(id, entry, plan);
  if (hit) hit->tier = Tier::kNormalised;
  return hit;
}

std::optional<CacheHit> ExactCache::Accept(std::shared_ptr<const StoredAnswer> entry,
                                           const CacheKey& key, const CachePlan& plan) {
  // Until the invalidations have been read once, nobody knows whether it is alive.
  if (invalidations_ != nullptr && !invalidations_->known()) return std::nullopt;
  auto hit = Prove(entry, key, plan);
  if (hit) store_.Put(key.hash, std::move(entry));
  return hit;
}

std::optional<CacheHit> ExactCache::LookupHere(const CacheKey& key, const CachePlan& plan) {
  CHECK(plan.read);
  const auto entry = store_.Get(key.hash);
  return entry == nullptr ? std::nullopt : Prove(entry, key, plan);
}

std::optional<CacheHit> ExactCache::Prove(const std::shared_ptr<const StoredAnswer>& entry,
                                          const CacheKey& key, const CachePlan& plan) {
  if (entry->material != key.material) {
    collisions_.fetch_add(1, std::memory_order_relaxed);
    return std::nullopt;
  }
  return Alive(key.hash, entry, plan);
}

std::optional<CacheHit> ExactCache::Alive(const Hash128& id,
                                          const std::shared_ptr<const StoredAnswer>& entry,
                                          const CachePlan& plan) {
  if (Dead(id, *entry)) {
    invalidations_->CountRefused();
    return std::nullopt;
  }
  // The wall clock may have been set back since: an age is never negative.
  const int64_t age_ms = std::max<int64_t>(0, clock_.UnixMs() - entry->created_unix_ms);
  if (plan.max_age_ms && age_ms > *plan.max_age_ms) return std::nullopt;
  return CacheHit{.answer = entry->answer, .age_s = age_ms / 1000, .entry = entry, .id = id};
}

std::optional<Hash128> ExactCache::Alias(const Hash128& id, std::string_view material) {
  const auto normalised = NormalisedMaterial(material);
  if (!normalised) return std::nullopt;
  const Hash128 alias = HashBytes(*normalised);
  aliases_.Put(alias, id);
  return alias;
}

Reason ExactCache::Insert(CacheKey key, std::shared_ptr<const Answer> answer, const CachePlan& plan,
                          EntryOrigin origin, const Sharing& sharing) {
  CHECK(plan.write && answer != nullptr);
  if (plan.ttl_ms <= 0) return Reason::kZeroTtl;
  const int64_t now_ms = clock_.UnixMs();
  if (sharing.position) origin.position = std::min(origin.position, *sharing.position);
  key.material.shrink_to_fit();
  auto entry =
      std::make_shared<const StoredAnswer>(StoredAnswer{.material = std::move(key.material),
                                                        .answer = std::move(answer),
                                                        .created_unix_ms = now_ms,
                                                        .expires_unix_ms = now_ms + plan.ttl_ms,
                                                        .origin = std::move(origin)});
  if (Dead(key.hash, *entry)) return Reason::kInvalidated;
  std::optional<Hash128> alias;
  if (plan.normalised) alias = Alias(key.hash, entry->material);
  const bool kept = store_.Put(key.hash, entry);
  bool shared = false;
  if (sharing.lead != nullptr) {
    shared = sharing.lead->Store(*entry, alias);
  } else if (shared_ != nullptr && !sharing.here_only) {
    shared = shared_->Put(key.hash, *entry, alias);
  }
  return kept || shared ? Reason::kNone : Reason::kAnswerTooLarge;
}

}  // namespace nextgate::cache
