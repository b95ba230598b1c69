// Where answers are kept: found by hash, proven by the caller on `material`. Implementations:
// MemoryStore here, a shared store over the network later. A store may forget anything at any time;
// it may never return what was not put there under that hash, nor anything past its expiry.
//
// Threads: all methods may be called from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/hash.h"
#include "base/status.h"
#include "cache/answer.h"
#include "cache/key.h"

namespace nextgate::cache {

// What operators ask about an entry and its material does not say in words. Never compared.
struct EntryOrigin {
  std::string model;  // as the request named it
  std::string route;  // "/v1/chat/completions"
  Scope scope;        // what the material's partition is the digest of
  // Up to where the invalidations were known when its generation began (cache/invalidation.h); 0: not
  // known, so every invalidation is taken to be later.
  int64_t position = 0;
  bool operator==(const EntryOrigin&) const = default;
};

// Counts in an entry that is otherwise immutable.
class HitCounter {
 public:
  HitCounter() = default;
  explicit HitCounter(int64_t hits) : hits_(hits) {}
  HitCounter(const HitCounter& other) : hits_(other.value()) {}
  HitCounter& operator=(const HitCounter& other) {
    hits_ = other.value();
    return *this;
  }
  void Count() const { hits_.fetch_add(1, std::memory_order_relaxed); }
  int64_t value() const { return hits_.load(std::memory_order_relaxed); }

 private:
  mutable std::atomic<int64_t> hits_ = 0;
};

// What a look at the invalidations found last: the entry was alive under so many of them.
class AliveMark {
 public:
  AliveMark() = default;
  AliveMark(const AliveMark&) {}  // a copy is looked at anew
  AliveMark& operator=(const AliveMark&) { return *this; }
  void Set(int64_t revision) const { revision_.store(revision, std::memory_order_relaxed); }
  int64_t revision() const { return revision_.load(std::memory_order_relaxed); }

 private:
  mutable std::atomic<int64_t> revision_ = 0;
};

struct StoredAnswer {
  std::string material;  // CacheKey::material of the request it answers
  std::shared_ptr<const Answer> answer;
  int64_t created_unix_ms = 0;
  int64_t expires_unix_ms = 0;  // not served at or after this instant
  EntryOrigin origin;
  HitCounter hits;  // requests that this copy of the entry has answered
  AliveMark alive;  // belongs to the Invalidations of this process
};

struct StoreStats {
  int64_t entries = 0;
  int64_t bytes = 0;  // never above bytes_max
  int64_t bytes_max = 0;
  int64_t insertions = 0;
  int64_t evictions = 0;    // removed to make room
  int64_t expirations = 0;  // removed because their time was over
  int64_t rejections = 0;   // larger than the store takes
};

class AnswerStore {
 public:
  virtual ~AnswerStore() = default;

  // The entry last put under `hash`, now the most recently used; nullptr if there is none or it
  // expired. It stays valid for as long as the caller holds it, evicted or not.
  virtual std::shared_ptr<const StoredAnswer> Get(const Hash128& hash) = 0;

  // The same without making it the most recently used and without counting: for operators.
  virtual std::shared_ptr<const StoredAnswer> Peek(const Hash128& hash) const = 0;

  // Calls `visit` with what is stored, expired entries left out, in no order. What comes or goes
  // meanwhile may be missed. No lock is held during a call.
  using Visitor =
      std::function<void(const Hash128& hash, const std::shared_ptr<const StoredAnswer>& entry)>;
  virtual void ForEach(const Visitor& visit) const = 0;

  // Stores `entry`, replacing what `hash` had, evicting the least recently used to make room. False
  // if the entry alone is too large (what `hash` had is removed all the same) or has expired
  // already. REQUIRES: entry and entry->answer are not null.
  virtual bool Put(const Hash128& hash, std::shared_ptr<const StoredAnswer> entry) = 0;

  // True if there was one.
  virtual bool Erase(const Hash128& hash) = 0;
  virtual void Clear() = 0;

  // Removes entries whose time is over; called now and then by the writer's thread.
  virtual void RemoveExpired() = 0;

  virtual StoreStats stats() const = 0;

  // Recounts everything and compares with the books; an error names what is wrong. For tests and
  // debugging.
  virtual Status CheckIntegrity() const = 0;
};

}  // namespace nextgate::cache
