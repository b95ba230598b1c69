#include "cache/stats.h"

#include <nlohmann/json.hpp>
#include <numeric>

#include "base/check.h"

namespace nextgate::cache {
namespace {

using Json = nlohmann::ordered_json;

Json ByReason(const std::array<int64_t, kNumReasons>& counts) {
  Json out = Json::object();
  for (size_t i = 0; i < kNumReasons; ++i)
    if (counts[i] != 0) out[std::string(ReasonCode(static_cast<Reason>(i)))] = counts[i];
  return out;
}

Json Rate(int64_t part, int64_t whole) {
  if (whole == 0) return nullptr;
  return static_cast<double>(part) / static_cast<double>(whole);
}

template <class Counters, class Values>
void CopyCounters(const Counters& from, Values& to) {
  for (size_t i = 0; i < to.size(); ++i) to[i] = from[i].load(std::memory_order_relaxed);
}

}  // namespace

std::string_view TierName(Tier tier) {
  switch (tier) {
    case Tier::kExact:
      return "exact";
    case Tier::kNormalised:
      return "normalised";
    case Tier::kCoalesced:
      return "coalesced";
    case Tier::kSemantic:
      return "semantic";
    case Tier::kDraft:
      return "draft";
  }
  return "";
}

int64_t StatsSnapshot::HitsTotal() const {
  return std::accumulate(hits.begin(), hits.end(), int64_t{0});
}
int64_t StatsSnapshot::BypassesTotal() const {
  return std::accumulate(bypasses.begin(), bypasses.end(), int64_t{0});
}

void CacheStats::CountHit(Tier tier) {
  hits_[static_cast<size_t>(tier)].fetch_add(1, std::memory_order_relaxed);
}

void CacheStats::CountSaved(const AnswerUsage& saved) {
  prompt_tokens_saved_.fetch_add(saved.prompt_tokens, std::memory_order_relaxed);
  completion_tokens_saved_.fetch_add(saved.completion_tokens, std::memory_order_relaxed);
}

void CacheStats::CountMiss() { misses_.fetch_add(1, std::memory_order_relaxed); }

void CacheStats::CountBypass(Reason reason) {
  CHECK(reason != Reason::kNone);
  bypasses_[static_cast<size_t>(reason)].fetch_add(1, std::memory_order_relaxed);
}

void CacheStats::CountNotStored(Reason reason) {
  CHECK(reason != Reason::kNone);
  not_stored_[static_cast<size_t>(reason)].fetch_add(1, std::memory_order_relaxed);
}

StatsSnapshot CacheStats::Snapshot() const {
  StatsSnapshot out;
  CopyCounters(hits_, out.hits);
  out.misses = misses_.load(std::memory_order_relaxed);
  CopyCounters(bypasses_, out.bypasses);
  CopyCounters(not_stored_, out.not_stored);
  out.prompt_tokens_saved = prompt_tokens_saved_.load(std::memory_order_relaxed);
  out.completion_tokens_saved = completion_tokens_saved_.load(std::memory_order_relaxed);
  return out;
}

std::string StatsJson(const StatsSnapshot& counts, const StoreStats& store,
                      const WriterStats& writer, int64_t collisions,
                      const std::optional<SharedStats>& shared) {
  Json hits = Json::object();
  for (size_t i = 0; i < kNumTiers; ++i)
    hits[std::string(TierName(static_cast<Tier>(i)))] = counts.hits[i];
  Json out = {
      {"requests", counts.Requests()},
      {"eligible", counts.Eligible()},
      {"hits", hits},
      {"hits_total", counts.HitsTotal()},
      {"misses", counts.misses},
      {"bypass", ByReason(counts.bypasses)},
      {"bypasses_total", counts.BypassesTotal()},
      {"hit_rate", Rate(counts.HitsTotal(), counts.Eligible())},
      {"hit_rate_of_requests", Rate(counts.HitsTotal(), counts.Requests())},
      {"not_stored", ByReason(counts.not_stored)},
      {"tokens_saved",
       {{"prompt", counts.prompt_tokens_saved}, {"completion", counts.completion_tokens_saved}}},
      {"entries", store.entries},
      {"bytes", store.bytes},
      {"bytes_max", store.bytes_max},
      {"insertions", store.insertions},
      {"evictions", store.evictions},
      {"expirations", store.expirations},
      {"writer",
       {{"stored", writer.stored},
        {"dropped", writer.dropped},
        {"refused", writer.refused},
        {"queued", writer.queued}}},
      {"collisions", collisions},
      {"shared", nullptr},
  };
  if (shared)
    out["shared"] = {{"available", shared->client.available},
                     {"hits", shared->store.hits},
                     {"misses", shared->store.misses},
                     {"errors", shared->store.errors},
                     {"corrupt", shared->store.corrupt},
                     {"stored", shared->store.stored},
                     {"not_stored", shared->store.not_stored},
                     {"connections", shared->client.connections},
                     {"outages", shared->client.openings},
                     {"single_flight",
                      {{"leads", shared->flight.leads},
                       {"follows", shared->flight.follows},
                       {"takeovers", shared->flight.takeovers},
                       {"alone", shared->flight.alone},
                       {"leases_lost", shared->flight.leases_lost},
                       {"publish_errors", shared->flight.publish_errors},
                       {"leading", shared->flight.leading}}}};
  return out.dump();
}

}  // namespace nextgate::cache
