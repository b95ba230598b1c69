// The entries in Redis as operators see them: to list, to look at and to delete. Nothing here counts as
// a lookup, and a failure is an error with words, since an operator waits for it.
//
// An entry's hits in all instances together are its header's (hits when it was written) and the counter
// `{namespace}:h:<hash>:<created>`, which ends when the entry does (cache/redis/cluster_stats.h adds to
// it). A refreshed entry has another `created`, hence a new counter.
//
// Threads: all methods may be called from any thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/hash.h"
#include "base/status.h"
#include "cache/entry_codec.h"
#include "cache/entry_summary.h"
#include "cache/redis/client.h"

namespace nextgate::cache {

class RedisCatalogue {
 public:
  // Of one round trip; an operator is more patient than a request.
  static constexpr std::chrono::milliseconds kBudget{2000};

  // Both references must outlive the catalogue.
  RedisCatalogue(std::string name_space, RedisClient& client, const EntryCodec& codec)
      : name_space_(std::move(name_space)), client_(client), codec_(codec) {}

  // Walks over all entries that are signed with the common secret, some hundred at a time, in no
  // order; an entry may come twice, and what comes or goes meanwhile may be missed (SCAN).
  // kUnavailable if Redis does not answer in time.
  Status ForEach(const std::function<void(EntrySummary)>& visit);

  // The same with the entries themselves, a few at a time; `visit` returns false to end the walk.
  Status ForEachEntry(
      const std::function<bool(const Hash128&, std::shared_ptr<const StoredAnswer>)>& visit);

  // nullptr: there is none. kDataLoss: not ours, or damaged.
  Result<std::shared_ptr<const StoredAnswer>> Peek(const Hash128& id);
  // The entry that answers this normalised request, if there is one.
  Result<std::optional<Hash128>> Alias(const Hash128& normalised);
  // Its hits in all instances. REQUIRES: there is such an entry, created then.
  Result<int64_t> Hits(const Hash128& id, int64_t created_unix_ms, int64_t hits_when_written);

  // Puts an entry unless one that was made later is there. False if it was not put. `alias`: the normalised
  // request that it answers too.
  Result<bool> PutIfNewer(const Hash128& id, const StoredAnswer& entry, int64_t now_unix_ms,
                          const std::optional<Hash128>& alias = std::nullopt);

  // True if there was one.
  Result<bool> Erase(const Hash128& id);

 private:
  using Batch = std::function<Result<bool>(std::span<const Hash128>)>;
  Status Scan(size_t batch_max, const Batch& batch);
  Result<std::vector<EntrySummary>> Summaries(std::span<const Hash128> ids);
  Result<std::vector<RedisReply>> Run(std::span<const RedisCommand> commands);
  std::string EntryKey(const Hash128& id) const;
  std::string AliasKey(const Hash128& normalised) const;

  const std::string name_space_;
  RedisClient& client_;
  const EntryCodec& codec_;
};

// `{namespace}:h:<hash>:<created>`.
std::string HitsKey(std::string_view name_space, const Hash128& id, int64_t created_unix_ms);

}  // namespace nextgate::cache
