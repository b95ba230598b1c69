// Where answers are kept: found by hash, proven by the caller on `material`. Implementations:
// MemoryStore here, a shared store over the network later. A store may forget anything at any time;
// it may never return what was not put there under that hash, nor anything past its expiry.
//
// Threads: all methods may be called from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/hash.h"
#include "base/status.h"
#include "cache/answer.h"

namespace nextgate::cache {

struct StoredAnswer {
  std::string material;  // CacheKey::material of the request it answers
  std::shared_ptr<const Answer> answer;
  int64_t created_unix_ms = 0;
  int64_t expires_unix_ms = 0;  // not served at or after this instant
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
