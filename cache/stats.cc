#include "cache/stats.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/check.h"
#include "cache/semantic/confidence.h"

namespace nextgate::cache {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kOther = "(other)";
constexpr std::array<std::string_view, kNumLabelled> kLabelledNames = {"served", "unproven",
                                                                       "gated"};

void Add(std::atomic<int64_t>& counter, int64_t value) {
  counter.fetch_add(value, std::memory_order_relaxed);
}

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

std::vector<std::string> MakeCounterNames() {
  constexpr std::array<std::string_view, kNumServed> kServed = {"stored", "coalesced", "generated"};
  std::vector<std::string> names;
  for (size_t i = 0; i < kNumTiers; ++i)
    names.push_back(fmt::format("hits.{}", TierName(static_cast<Tier>(i))));
  names.emplace_back("misses");
  for (const char* group : {"bypass", "not_stored"})
    for (size_t i = 0; i < kNumReasons; ++i)
      names.push_back(fmt::format("{}.{}", group, ReasonCode(static_cast<Reason>(i))));
  names.emplace_back("tokens_saved.prompt");
  names.emplace_back("tokens_saved.completion");
  for (const std::string_view served : kServed)
    for (size_t bin = 0; bin < kLatencyBins; ++bin)
      names.push_back(fmt::format("latency.{}.{}", served, bin));
  for (size_t i = 0; i < kNumSemanticOutcomes; ++i)
    names.push_back(
        fmt::format("semantic.{}", SemanticOutcomeCode(static_cast<SemanticOutcome>(i))));
  for (size_t i = 0; i < kNumGates; ++i)
    names.push_back(fmt::format("gate.{}", GateCode(static_cast<Gate>(i))));
  for (size_t bin = 0; bin < kCosineBins; ++bin) names.push_back(fmt::format("cosine.{}", bin));
  for (const std::string_view what : kLabelledNames)
    for (const char* verdict : {"wrong", "right"})
      names.push_back(fmt::format("label.{}.{}", what, verdict));
  CHECK(names.size() == kNumCounters);
  return names;
}

const std::vector<std::string>& CounterNames() {
  static const std::vector<std::string> names = MakeCounterNames();
  return names;
}

Json LatencyJson(std::span<const int64_t> bins) {
  const auto quantile = [&](double q) {
    const auto ms = LatencyQuantileMs(bins, q);
    return ms ? Json(*ms) : Json();
  };
  return {{"count", std::accumulate(bins.begin(), bins.end(), int64_t{0})},
          {"p50", quantile(0.5)},
          {"p95", quantile(0.95)}};
}

// The semantic tier's counts.
Json SemanticJson(const StatsSnapshot& counts) {
  Json outcomes = Json::object(), gates = Json::object(), cosines = Json::array();
  for (size_t i = 0; i < kNumSemanticOutcomes; ++i)
    if (counts.semantic[i] != 0)
      outcomes[std::string(SemanticOutcomeCode(static_cast<SemanticOutcome>(i)))] =
          counts.semantic[i];
  for (size_t i = 0; i < kNumGates; ++i)
    gates[std::string(GateCode(static_cast<Gate>(i)))] = counts.gates[i];
  for (const int64_t count : counts.cosines) cosines.push_back(count);
  Json compared = Json::object();
  for (size_t i = 0; i < kNumLabelled; ++i) {
    const int64_t wrong = counts.labels[i][0], all = wrong + counts.labels[i][1];
    const Interval interval =
        ClopperPearson(static_cast<double>(wrong), static_cast<double>(all), 0.95);
    compared[std::string(kLabelledNames[i])] = {{"compared", all},
                                                {"wrong", wrong},
                                                {"rate", Rate(wrong, all)},
                                                {"low", interval.low},
                                                {"high", interval.high}};
  }
  return {{"lookups", std::accumulate(counts.semantic.begin(), counts.semantic.end(), int64_t{0})},
          {"outcomes", std::move(outcomes)},
          {"refused_by_gate", std::move(gates)},
          {"cosines_from", 0.5},
          {"cosines", std::move(cosines)},
          {"wrong_hits", std::move(compared)}};
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

void StatsSnapshot::Add(const StatsSnapshot& other) {
  std::array<int64_t, kNumCounters> values;
  ForEach(other, [&](size_t id, int64_t value) { values[id] = value; });
  ForEach(*this, [&](size_t id, int64_t& value) { value += values[id]; });
}

void StatsSnapshot::Add(size_t id, int64_t value) {
  ForEach(*this, [&](size_t other, int64_t& counter) {
    if (other == id) counter += value;
  });
}

std::string_view CounterName(size_t id) { return CounterNames()[id]; }

std::optional<size_t> FindCounter(std::string_view name) {
  static const auto ids = [] {
    std::unordered_map<std::string_view, size_t> map;
    for (size_t id = 0; id < kNumCounters; ++id) map.emplace(CounterNames()[id], id);
    return map;
  }();
  const auto found = ids.find(name);
  return found == ids.end() ? std::nullopt : std::optional(found->second);
}

void StatsSeries::CountHit(Tier tier) { Add(counters_.hits[static_cast<size_t>(tier)], 1); }

void StatsSeries::CountSaved(const AnswerUsage& saved) {
  Add(counters_.prompt_tokens_saved, saved.prompt_tokens);
  Add(counters_.completion_tokens_saved, saved.completion_tokens);
}

void StatsSeries::CountMiss() { Add(counters_.misses, 1); }

void StatsSeries::CountBypass(Reason reason) {
  CHECK(reason != Reason::kNone);
  Add(counters_.bypasses[static_cast<size_t>(reason)], 1);
}

void StatsSeries::CountNotStored(Reason reason) {
  CHECK(reason != Reason::kNone);
  Add(counters_.not_stored[static_cast<size_t>(reason)], 1);
}

void StatsSeries::CountLatency(Served served, int64_t us) {
  Add(counters_.latency[static_cast<size_t>(served)][LatencyBin(us)], 1);
}

std::string_view LabelledName(Labelled what) { return kLabelledNames[static_cast<size_t>(what)]; }

size_t CosineBin(float cosine) {
  constexpr float kFrom = 0.5F;
  const float bin = (cosine - kFrom) / (1 - kFrom) * static_cast<float>(kCosineBins);
  return static_cast<size_t>(std::clamp(bin, 0.0F, static_cast<float>(kCosineBins - 1)));
}

void StatsSeries::CountSemantic(SemanticOutcome outcome, std::optional<float> cosine,
                                GateSet refused) {
  Add(counters_.semantic[static_cast<size_t>(outcome)], 1);
  if (cosine) Add(counters_.cosines[CosineBin(*cosine)], 1);
  if (outcome != SemanticOutcome::kGated) return;
  for (size_t i = 0; i < kNumGates; ++i)
    if (refused.contains(static_cast<Gate>(i))) Add(counters_.gates[i], 1);
}

void StatsSeries::CountSemanticLabel(Labelled what, bool right) {
  Add(counters_.labels[static_cast<size_t>(what)][right ? 1 : 0], 1);
}

StatsSnapshot StatsSeries::Snapshot() const {
  std::array<int64_t, kNumCounters> values;
  StatsCounters<std::atomic<int64_t>>::ForEach(
      counters_, [&](size_t id, const std::atomic<int64_t>& counter) {
        values[id] = counter.load(std::memory_order_relaxed);
      });
  StatsSnapshot out;
  StatsSnapshot::ForEach(out, [&](size_t id, int64_t& value) { value = values[id]; });
  return out;
}

CacheStats::CacheStats()
    : unlabelled_(*(series_[SeriesLabels{}] = std::make_unique<StatsSeries>())),
      other_(*(series_[SeriesLabels{kOther, kOther, kOther}] = std::make_unique<StatsSeries>())) {}

StatsSeries& CacheStats::For(const SeriesLabels& labels) {
  {
    const std::shared_lock lock(mutex_);
    if (const auto found = series_.find(labels); found != series_.end()) return *found->second;
    if (series_.size() >= kSeriesMax) return other_;
  }
  const std::unique_lock lock(mutex_);
  if (series_.size() >= kSeriesMax && !series_.contains(labels)) return other_;
  auto& series = series_[labels];
  if (series == nullptr) series = std::make_unique<StatsSeries>();
  return *series;
}

StatsBySeries CacheStats::BySeries() const {
  StatsBySeries all;
  const std::shared_lock lock(mutex_);
  for (const auto& [labels, series] : series_) all.emplace(labels, series->Snapshot());
  return all;
}

StatsSnapshot CacheStats::Snapshot() const {
  StatsSnapshot total;
  for (const auto& [labels, counts] : BySeries()) total.Add(counts);
  return total;
}

std::string CountsJson(const StatsSnapshot& counts) {
  Json hits = Json::object();
  for (size_t i = 0; i < kNumTiers; ++i)
    hits[std::string(TierName(static_cast<Tier>(i)))] = counts.hits[i];
  const Json out = {
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
      {"latency_ms",
       {{"stored", LatencyJson(counts.latency[static_cast<size_t>(Served::kStored)])},
        {"coalesced", LatencyJson(counts.latency[static_cast<size_t>(Served::kCoalesced)])},
        {"generated", LatencyJson(counts.latency[static_cast<size_t>(Served::kGenerated)])}}},
      {"semantic", SemanticJson(counts)},
  };
  return out.dump();
}

std::string ProcessStatsJson(const StoreStats& store, const WriterStats& writer, int64_t collisions,
                             const std::optional<SharedStats>& shared) {
  Json out = {
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
    out["shared"] = {
        {"available", shared->client.available},
        {"hits", shared->store.hits},
        {"misses", shared->store.misses},
        {"errors", shared->store.errors},
        {"corrupt", shared->store.corrupt},
        {"stored", shared->store.stored},
        {"not_stored", shared->store.not_stored},
        {"encrypts", shared->store.encrypts},
        {"undecryptable",
         {{"no_key", shared->store.keyring.no_key}, {"damaged", shared->store.keyring.damaged}}},
        {"connections", shared->client.connections},
        {"outages", shared->client.openings},
        {"moves", shared->client.moves},
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
