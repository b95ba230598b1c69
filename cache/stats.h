// What became of the requests, counted so that the sums are right: every request is in exactly one
// class, a hit of one tier, a miss, or a bypass with one reason.
//
//   requests = hits + misses + bypasses      eligible = hits + misses
//   hit_rate = hits / eligible
//
// Counted per series: requests of one model, route and namespace. A process has kSeriesMax of them at
// most; what comes later is counted under the labels "(other)", so that a client that invents
// namespaces fills no memory. Counters only rise; who wants a window subtracts (traffic_history.h).
//
// Threads: Count* from any thread, without a lock; a snapshot taken meanwhile may be a few requests
// behind, but its sums are its own and agree.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>

#include "cache/answer_store.h"
#include "cache/latency.h"
#include "cache/reason.h"
#include "cache/redis/store.h"
#include "cache/semantic/gates.h"
#include "cache/semantic/outcome.h"
#include "cache/single_flight.h"
#include "cache/tier.h"
#include "cache/writer.h"

namespace nextgate::cache {

// How an answer reached its client, for the latencies: from a store, beside somebody else's
// generation, or generated for it.
enum class Served : uint8_t { kStored, kCoalesced, kGenerated };
inline constexpr size_t kNumServed = 3;

// What became of a candidate whose stored answer was compared with a generated one: would have been
// served, was below the threshold, was refused by a gate.
enum class Labelled : uint8_t { kServed, kUnproven, kGated };
inline constexpr size_t kNumLabelled = 3;
std::string_view LabelledName(Labelled what);  // "served", "unproven", "gated"

// Of a histogram of cosines from 0.5 (the first has all below) to 1.
inline constexpr size_t kCosineBins = 25;
size_t CosineBin(float cosine);

// Every counter there is, of type T: plain or atomic.
template <class T>
struct StatsCounters {
  std::array<T, kNumTiers> hits{};
  T misses{};
  std::array<T, kNumReasons> bypasses{};  // by reason the request was not looked up
  std::array<T, kNumReasons>
      not_stored{};  // by reason an answer was not kept; not part of the sums
  T prompt_tokens_saved{};
  T completion_tokens_saved{};
  std::array<std::array<T, kLatencyBins>, kNumServed>
      latency{};  // arrival to last byte, status 200
  std::array<T, kNumSemanticOutcomes>
      semantic{};                        // lookups of the semantic tier; not part of the sums
  std::array<T, kNumGates> gates{};      // that refused what else would have been served
  std::array<T, kCosineBins> cosines{};  // of the nearest stored question
  std::array<std::array<T, 2>, kNumLabelled> labels{};  // answers compared: wrong, right

  // Calls visit(id, counter) for each, always in the same order; ids count from 0.
  template <class Self, class Visit>
  static void ForEach(Self& self, Visit visit) {
    size_t id = 0;
    for (auto& counter : self.hits) visit(id++, counter);
    visit(id++, self.misses);
    for (auto& counter : self.bypasses) visit(id++, counter);
    for (auto& counter : self.not_stored) visit(id++, counter);
    visit(id++, self.prompt_tokens_saved);
    visit(id++, self.completion_tokens_saved);
    for (auto& bins : self.latency)
      for (auto& counter : bins) visit(id++, counter);
    for (auto& counter : self.semantic) visit(id++, counter);
    for (auto& counter : self.gates) visit(id++, counter);
    for (auto& counter : self.cosines) visit(id++, counter);
    for (auto& verdicts : self.labels)
      for (auto& counter : verdicts) visit(id++, counter);
  }
};
inline constexpr size_t kNumCounters = kNumTiers + 1 + 2 * kNumReasons + 2 +
                                       kNumServed * kLatencyBins + kNumSemanticOutcomes +
                                       kNumGates + kCosineBins + 2 * kNumLabelled;

// "hits.exact", "misses", "bypass.sampled", "latency.stored.17": stable, they are written to Redis.
std::string_view CounterName(size_t id);
std::optional<size_t> FindCounter(std::string_view name);

struct StatsSnapshot : StatsCounters<int64_t> {
  void Add(const StatsSnapshot& other);
  void Add(size_t id, int64_t value);  // to the counter of this id
  int64_t HitsTotal() const;
  int64_t BypassesTotal() const;
  int64_t Eligible() const { return HitsTotal() + misses; }
  int64_t Requests() const { return Eligible() + BypassesTotal(); }
};

struct SeriesLabels {
  std::string model;
  std::string route;
  std::string name_space;
  auto operator<=>(const SeriesLabels&) const = default;
};
using StatsBySeries = std::map<SeriesLabels, StatsSnapshot>;

class StatsSeries {
 public:
  // Exactly one of these three per request.
  void CountHit(Tier tier);
  void CountMiss();
  void CountBypass(Reason reason);  // REQUIRES: reason != kNone

  // Beside them: when a hit's answer is known to its end, when an answer was generated and not kept,
  // and how long an answer with status 200 took.
  void CountSaved(const AnswerUsage& usage);
  void CountNotStored(Reason reason);
  void CountLatency(Served served, int64_t us);

  // A semantic lookup: how it ended, the nearest question's cosine if there was one, and the gates that
  // refused if that was why. Beside it, whether a stored answer would have been right.
  void CountSemantic(SemanticOutcome outcome, std::optional<float> cosine, GateSet refused);
  void CountSemanticLabel(Labelled what, bool right);

  StatsSnapshot Snapshot() const;

 private:
  StatsCounters<std::atomic<int64_t>> counters_;
};

class CacheStats {
 public:
  static constexpr size_t kSeriesMax = 256;

  CacheStats();

  // The series of these labels, which lives as long as this object.
  StatsSeries& For(const SeriesLabels& labels);

  // Into the series without labels, for requests of which nothing is known.
  void CountHit(Tier tier) { unlabelled_.CountHit(tier); }
  void CountMiss() { unlabelled_.CountMiss(); }
  void CountBypass(Reason reason) { unlabelled_.CountBypass(reason); }
  void CountSaved(const AnswerUsage& usage) { unlabelled_.CountSaved(usage); }
  void CountNotStored(Reason reason) { unlabelled_.CountNotStored(reason); }

  StatsSnapshot Snapshot() const;  // of all together
  StatsBySeries BySeries() const;

 private:
  mutable std::shared_mutex mutex_;  // guards the map, not what it leads to
  std::map<SeriesLabels, std::unique_ptr<StatsSeries>> series_;
  StatsSeries& unlabelled_;
  StatsSeries& other_;
};

// What Redis did for this process; see RedisStoreStats, RedisClientStats and SingleFlightStats.
struct SharedStats {
  RedisStoreStats store;
  RedisClientStats client;
  SingleFlightStats flight;
};

// One process' figures besides the counts of requests, for GET /admin/cache/stats: entries, bytes,
// bytes_max, insertions, evictions, expirations, writer{stored, dropped, refused, queued}, collisions,
// shared{…} (null without Redis). A JSON object.
std::string ProcessStatsJson(const StoreStats& store, const WriterStats& writer, int64_t collisions,
                             const std::optional<SharedStats>& shared);

// The counts, as a JSON object: requests, eligible, hits{tier}, hits_total, misses, bypass{reason},
// bypasses_total, hit_rate (of eligible; null before there was one), hit_rate_of_requests,
// not_stored{reason}, tokens_saved, latency_ms{stored, coalesced, generated: {count, p50, p95}},
// semantic{lookups, outcomes{code}, refused_by_gate{code}, cosines[kCosineBins], wrong_hits{served, unproven,
// gated: {compared, wrong, rate, low, high}}}, low and high an exact 95 % interval.
std::string CountsJson(const StatsSnapshot& counts);

}  // namespace nextgate::cache
