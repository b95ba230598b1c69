// What became of the requests, counted so that the sums are right: every request is in exactly one
// class, a hit of one tier, a miss, or a bypass with one reason.
//
//   requests = hits + misses + bypasses      eligible = hits + misses
//   hit_rate = hits / eligible
//
// Threads: Count* from any thread, without a lock; a snapshot taken meanwhile may be a few requests
// behind, but its sums are its own and agree.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cache/answer_store.h"
#include "cache/reason.h"
#include "cache/redis/store.h"
#include "cache/single_flight.h"
#include "cache/writer.h"

namespace nextgate::cache {

enum class Tier : uint8_t { kExact, kNormalised, kCoalesced, kSemantic, kDraft };
inline constexpr size_t kNumTiers = 5;
std::string_view TierName(Tier tier);  // "exact", …: X-Cache-Tier

struct StatsSnapshot {
  std::array<int64_t, kNumTiers> hits{};
  int64_t misses = 0;
  std::array<int64_t, kNumReasons> bypasses{};  // by reason the request was not looked up
  std::array<int64_t, kNumReasons>
      not_stored{};  // by reason an answer was not kept; not part of the sums
  int64_t prompt_tokens_saved = 0;
  int64_t completion_tokens_saved = 0;

  int64_t HitsTotal() const;
  int64_t BypassesTotal() const;
  int64_t Eligible() const { return HitsTotal() + misses; }
  int64_t Requests() const { return Eligible() + BypassesTotal(); }
};

class CacheStats {
 public:
  // Exactly one of these three per request.
  void CountHit(Tier tier);
  void CountMiss();
  void CountBypass(Reason reason);  // REQUIRES: reason != kNone

  // Beside them: when a hit's answer is known to its end, and when an answer was generated and not
  // kept.
  void CountSaved(const AnswerUsage& usage);
  void CountNotStored(Reason reason);

  StatsSnapshot Snapshot() const;

 private:
  using Counter = std::atomic<int64_t>;
  std::array<Counter, kNumTiers> hits_{};
  Counter misses_ = 0;
  std::array<Counter, kNumReasons> bypasses_{};
  std::array<Counter, kNumReasons> not_stored_{};
  Counter prompt_tokens_saved_ = 0;
  Counter completion_tokens_saved_ = 0;
};

// What Redis did for this process; see RedisStoreStats, RedisClientStats and SingleFlightStats.
struct SharedStats {
  RedisStoreStats store;
  RedisClientStats client;
  SingleFlightStats flight;
};

// The body of GET /admin/cache/stats: requests, eligible, hits{tier}, misses, bypass{reason},
// hit_rate (of eligible; null before there was one), hit_rate_of_requests, not_stored{reason},
// tokens_saved, entries, bytes, bytes_max, evictions, expirations, writer{stored, dropped, refused,
// queued}, collisions, shared{…} (null without Redis).
std::string StatsJson(const StatsSnapshot& counts, const StoreStats& store,
                      const WriterStats& writer, int64_t collisions,
                      const std::optional<SharedStats>& shared);

}  // namespace nextgate::cache
