// Answers that all instances share, in Redis: `{namespace}:e:<hash>`, one key an answer, with the
// answer's time to live. The braces put all keys of a namespace on one node of a cluster. For the
// normalised tier `{namespace}:n:<hash>` holds the hash of the entry that answers, as long as that lives.
//
// Whatever goes wrong (nobody there, too slow, a damaged entry, no room) is a miss or an answer not
// kept; it is counted and never reaches a user.
//
// Threads: all methods may be called from any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/hash.h"
#include "cache/answer_store.h"
#include "cache/entry_codec.h"
#include "cache/redis/client.h"

namespace nextgate::cache {

struct RedisStoreStats {
  int64_t hits = 0;
  int64_t misses = 0;
  int64_t errors = 0;   // lookups without an answer from Redis
  int64_t corrupt = 0;  // entries that were not ours, or damaged
  int64_t stored = 0;
  int64_t not_stored = 0;  // Redis refused (full), or did not answer
  bool encrypts = false;
  KeyringStats
      keyring;  // what could not be decrypted, entries (which are corrupt too) and all else
};

// An entry as Redis gets it.
struct SealedEntry {
  std::string key;
  std::string bytes;
  int64_t ttl_ms = 0;
  std::string alias_key;  // of the normalised request it answers too; "": none
  std::string id;         // what stands there
};

struct RedisFound {
  std::shared_ptr<const StoredAnswer> entry;  // null: none
  std::optional<Hash128> alias_of;            // it is this entry, found under the normalised hash
};

class RedisStore {
 public:
  // The beginning of a script: returns {"entry", entry, ""} of KEYS[1], or else {"alias", entry, id} of
  // the alias KEYS[2] if that is another key, whose entry's key is ARGV[1] with the id behind it.
  static const char* const kLookEither;

  struct Options {
    std::string name_space = "nextgate";
    std::chrono::milliseconds read_budget{40};     // of a request, everything included
    std::chrono::milliseconds write_budget{1000};  // of the writer's thread
    size_t entry_bytes_max = size_t{16}
                             << 20;  // as a MemoryStore charges it; a larger one is not stored
  };
  // Both references must outlive the store.
  RedisStore(Options options, RedisClient& client, const EntryCodec& codec,
             const Clock& clock = Clock::System());

  // The entry under `hash`, not expired; nullptr if there is none, or none in time. The caller
  // proves it on its material.
  std::shared_ptr<const StoredAnswer> Get(const Hash128& hash);
  // `absent` becomes true if Redis has said that there is none.
  std::shared_ptr<const StoredAnswer> Get(const Hash128& hash, Deadline deadline,
                                          bool* absent = nullptr);

  // The same or else, at once, the entry that the alias `normalised` leads to.
  RedisFound GetEither(const Hash128& hash, const Hash128& normalised);

  // True once Redis has said that it has it, and the alias if one is given.
  bool Put(const Hash128& hash, const StoredAnswer& entry,
           const std::optional<Hash128>& alias = std::nullopt);

  // True once Redis has said that it is gone. Waits as a look-up does.
  bool Erase(const Hash128& hash);

  // The same in parts, for who sends the commands himself (cache/single_flight.h). Read takes what GET
  // replied; what it returns and every lookup without an entry, `answered` by Redis or not, is counted,
  // as is what became of a sealed entry.
  std::string Key(const Hash128& hash) const;
  std::string AliasKey(const Hash128& normalised) const;
  // Of what kLookEither replied. REQUIRES: a list of three.
  RedisFound ReadEither(const Hash128& hash, const RedisReply& reply);
  std::shared_ptr<const StoredAnswer> Read(const Hash128& hash, const RedisReply& reply);
  std::optional<SealedEntry> Seal(const Hash128& hash, const StoredAnswer& entry,
                                  const std::optional<Hash128>& alias = std::nullopt) const;
  void CountLookup(bool answered);
  void CountPut(bool stored);

  RedisStoreStats stats() const;
  const RedisClient& client() const { return client_; }

 private:
  const Options options_;
  RedisClient& client_;
  const EntryCodec& codec_;
  const Clock& clock_;
  std::atomic<int64_t> hits_ = 0;
  std::atomic<int64_t> misses_ = 0;
  std::atomic<int64_t> errors_ = 0;
  std::atomic<int64_t> corrupt_ = 0;
  std::atomic<int64_t> stored_ = 0;
  std::atomic<int64_t> not_stored_ = 0;
};

}  // namespace nextgate::cache
