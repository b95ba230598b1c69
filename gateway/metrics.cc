#include "gateway/metrics.h"

#include <fmt/format.h>
#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <vector>

namespace nextgate::gateway {
namespace {

using prometheus::ClientMetric;
using prometheus::Histogram;
using prometheus::Labels;
using prometheus::MetricFamily;
using prometheus::MetricType;

// vLLM's own bucket edges, so that quantiles on its dashboards mean the same.
const Histogram::BucketBoundaries kFirstTokenS = {
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,  0.25,  0.5,   0.75,
    1.0,   2.5,   5.0,  7.5,  10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0};
const Histogram::BucketBoundaries kPerTokenS = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1,
                                                0.15,  0.2,    0.3,   0.4,  0.5,   0.75, 1.0,   2.5,
                                                5.0,   7.5,    10.0,  20.0, 40.0,  80.0};
const Histogram::BucketBoundaries kTotalS = {0.3,  0.5,   0.8,   1.0,   1.5,   2.0,    2.5,
                                             5.0,  10.0,  15.0,  20.0,  30.0,  40.0,   50.0,
                                             60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0};
const Histogram::BucketBoundaries kTokens = {
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000};

// One sample of a counter or gauge that somebody else keeps.
struct Sample {
  double value;
  Labels labels;
};

MetricFamily FamilyOf(std::string name, std::string help, MetricType type,
                      const std::vector<Sample>& samples) {
  MetricFamily family;
  family.name = std::move(name);
  family.help = std::move(help);
  family.type = type;
  for (const Sample& sample : samples) {
    ClientMetric metric;
    for (const auto& [key, value] : sample.labels) metric.label.push_back({key, value});
    if (type == MetricType::Counter) {
      metric.counter.value = sample.value;
    } else {
      metric.gauge.value = sample.value;
    }
    family.metric.push_back(std::move(metric));
  }
  return family;
}

// Nothing where there are none.
void AddTierFamilies(const std::vector<engine::PrefixTierStats>& tiers, const Labels& labels,
                     std::vector<MetricFamily>& families) {
  if (tiers.empty()) return;
  std::vector<Sample> records;
  std::vector<Sample> bytes;
  std::vector<Sample> works;
  for (const engine::PrefixTierStats& tier : tiers) {
    const auto labelled = [&](const char* what) {
      Labels with = labels;
      with["tier"] = tier.name;
      if (what != nullptr) with["what"] = what;
      return with;
    };
    for (const auto& [value, what] : {std::pair{tier.stored, "stored"},
                                      {tier.store_failures, "store_failed"},
                                      {tier.skipped, "skipped"},
                                      {tier.evicted, "evicted"},
                                      {tier.loaded, "loaded"},
                                      {tier.load_failures, "load_failed"},
                                      {tier.discovered, "discovered"}})
      records.push_back({static_cast<double>(value), labelled(what)});
    bytes.push_back({static_cast<double>(tier.bytes), labelled(nullptr)});
    works.push_back({tier.works ? 1.0 : 0.0, labelled(nullptr)});
  }
  families.push_back(FamilyOf("nextgate_prefix_tier_records_total",
                              "What was copied to and from the tiers below the device",
                              MetricType::Counter, records));
  families.push_back(
      FamilyOf("nextgate_prefix_tier_bytes", "What a tier holds", MetricType::Gauge, bytes));
  families.push_back(FamilyOf("nextgate_prefix_tier_up", "0: left alone for a while after an error",
                              MetricType::Gauge, works));
}

// Of the tokens that were looked up, what was there; all that was resumed, replayed or lost matched.
std::vector<MetricFamily> PrefixFamilies(const engine::PrefixStats& stats, const Labels& labels) {
  const auto counter = [&](std::string name, std::string help, uint64_t value) {
    return FamilyOf(std::move(name), std::move(help), MetricType::Counter,
                    {{static_cast<double>(value), labels}});
  };
  const auto gauge = [&](std::string name, std::string help, int64_t value) {
    return FamilyOf(std::move(name), std::move(help), MetricType::Gauge,
                    {{static_cast<double>(value), labels}});
  };
  const auto of = [&](uint64_t value, const char* what) {
    Labels with = labels;
    with["what"] = what;
    return Sample{static_cast<double>(value), with};
  };
  std::vector<MetricFamily> families = {
      counter("nextgate_prefix_lookups_total", "Prompts looked up in the prefix cache",
              stats.lookups),
      counter("nextgate_prefix_lookups_limited_total",
              "Prompts that had to be computed although they may have been there, for their "
              "log probabilities",
              stats.lookups_limited),
      counter("nextgate_prefix_queried_tokens_total", "Prompt tokens looked up",
              stats.queried_tokens),
      FamilyOf("nextgate_prefix_matched_tokens_total",
               "Prompt tokens whose KV was there: resumed, replayed from the checkpoint before "
               "them, or lost for want of one",
               MetricType::Counter,
               {of(stats.resumed_tokens, "resumed"), of(stats.replayed_tokens, "replayed"),
                of(stats.lost_tokens, "lost")}),
      counter("nextgate_prefix_waits_total",
              "Prompts that waited for another to compute their beginning", stats.waits),
      FamilyOf("nextgate_prefix_checkpoints_total",
               "Checkpoints of states that were made, evicted, or refused for want of a slot",
               MetricType::Counter,
               {of(stats.checkpoints_made, "made"), of(stats.checkpoints_evicted, "evicted"),
                of(stats.checkpoints_refused, "refused")}),
      counter("nextgate_prefix_blocks_evicted_total", "Cached KV blocks given up",
              stats.blocks_evicted),
      gauge("nextgate_prefix_blocks_cached", "KV blocks of 64 tokens that can be found",
            stats.blocks_cached),
      gauge("nextgate_prefix_blocks_idle", "Of them, those that no sequence uses",
            stats.blocks_idle),
      gauge("nextgate_prefix_checkpoint_slots_used", "Slots for checkpoints in use",
            stats.checkpoints_used),
      gauge("nextgate_prefix_checkpoint_slots", "Slots for checkpoints", stats.checkpoints_total),
      gauge("nextgate_prefix_checkpoint_bytes", "Size of one checkpoint", stats.checkpoint_bytes),
      counter("vllm:prefix_cache_queries_total",
              "Prefix cache queries, in terms of number of queried tokens", stats.queried_tokens),
      counter("vllm:prefix_cache_hits_total",
              "Prefix cache hits, in terms of number of cached tokens", stats.resumed_tokens),
      counter("vllm:prompt_tokens_cached_total", "Number of cached prompt tokens",
              stats.resumed_tokens),
  };
  AddTierFamilies(stats.tiers, labels, families);
  return families;
}

std::vector<MetricFamily> EngineFamilies(const engine::EngineStats& stats, const Labels& labels) {
  const auto counter = [&](std::string name, std::string help, uint64_t value) {
    return FamilyOf(std::move(name), std::move(help), MetricType::Counter,
                    {{static_cast<double>(value), labels}});
  };
  const auto gauge = [&](std::string name, std::string help, double value) {
    return FamilyOf(std::move(name), std::move(help), MetricType::Gauge, {{value, labels}});
  };
  const double kv_share = stats.kv_blocks_total > 0
                              ? static_cast<double>(stats.kv_blocks_used) / stats.kv_blocks_total
                              : 0;
  return {
      counter("engine_steps_total", "Forwards of the model", stats.steps),
      counter("engine_requests_submitted_total", "Requests the engine accepted",
              stats.requests_submitted),
      counter("engine_requests_cancelled_total", "Requests whose client left",
              stats.requests_cancelled),
      counter("engine_prompt_tokens_total", "Prompt tokens computed", stats.prompt_tokens),
      counter("engine_generated_tokens_total", "Tokens generated", stats.generated_tokens),
      counter("engine_preemptions_total", "Sequences put back and recomputed", stats.preemptions),
      gauge("engine_kv_blocks_used", "KV blocks of 64 tokens in use", stats.kv_blocks_used),
      gauge("engine_kv_blocks_total", "KV blocks of 64 tokens", stats.kv_blocks_total),
      gauge("engine_state_slots_used", "Recurrent-state slots in use", stats.state_slots_used),
      gauge("engine_state_slots_total", "Recurrent-state slots", stats.state_slots_total),
      gauge("vllm:num_requests_running", "Number of requests in model execution batches",
            stats.running),
      gauge("vllm:num_requests_waiting", "Number of requests waiting to be processed",
            stats.waiting),
      gauge("vllm:kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage", kv_share),
      // Theirs counts a prompt's cached tokens too.
      counter("vllm:prompt_tokens_total", "Number of prefill tokens processed",
              stats.prompt_tokens + stats.prefix.resumed_tokens),
      counter("vllm:generation_tokens_total", "Number of generation tokens processed",
              stats.generated_tokens),
      counter("vllm:num_preemptions_total", "Cumulative number of preemptions from the engine",
              stats.preemptions),
  };
}

std::vector<MetricFamily> AnswerCacheFamilies(const cache::StatsSnapshot& stats,
                                              const cache::StoreStats& store) {
  std::vector<Sample> hits;
  for (size_t tier = 0; tier < cache::kNumTiers; ++tier)
    hits.push_back({static_cast<double>(stats.hits[tier]),
                    {{"tier", std::string(cache::TierName(static_cast<cache::Tier>(tier)))}}});
  std::vector<Sample> bypasses;
  std::vector<Sample> not_stored;
  for (size_t reason = 1; reason < cache::kNumReasons; ++reason) {
    const Labels labels = {
        {"reason", std::string(cache::ReasonCode(static_cast<cache::Reason>(reason)))}};
    bypasses.push_back({static_cast<double>(stats.bypasses[reason]), labels});
    not_stored.push_back({static_cast<double>(stats.not_stored[reason]), labels});
  }
  const auto one = [](double value) { return std::vector<Sample>{{value, {}}}; };
  return {
      FamilyOf("answer_cache_hits_total", "Requests answered from the answer cache",
               MetricType::Counter, hits),
      FamilyOf("answer_cache_misses_total", "Eligible requests that were generated",
               MetricType::Counter, one(static_cast<double>(stats.misses))),
      FamilyOf("answer_cache_bypasses_total", "Requests that were not looked up",
               MetricType::Counter, bypasses),
      FamilyOf("answer_cache_not_stored_total", "Generated answers that were not kept",
               MetricType::Counter, not_stored),
      FamilyOf("answer_cache_completion_tokens_saved_total", "Answer tokens not generated again",
               MetricType::Counter, one(static_cast<double>(stats.completion_tokens_saved))),
      FamilyOf("answer_cache_prompt_tokens_saved_total", "Prompt tokens not computed again",
               MetricType::Counter, one(static_cast<double>(stats.prompt_tokens_saved))),
      FamilyOf("answer_cache_entries", "Stored answers", MetricType::Gauge,
               one(static_cast<double>(store.entries))),
      FamilyOf("answer_cache_bytes", "Memory of the stored answers", MetricType::Gauge,
               one(static_cast<double>(store.bytes))),
      FamilyOf("answer_cache_evictions_total", "Answers dropped for room", MetricType::Counter,
               one(static_cast<double>(store.evictions))),
  };
}

std::vector<MetricFamily> SemanticFamilies(const cache::StatsSnapshot& stats) {
  std::vector<Sample> outcomes, gates, compared;
  for (size_t i = 0; i < cache::kNumSemanticOutcomes; ++i)
    outcomes.push_back({static_cast<double>(stats.semantic[i]),
                        {{"outcome", std::string(cache::SemanticOutcomeCode(
                                         static_cast<cache::SemanticOutcome>(i)))}}});
  for (size_t i = 0; i < cache::kNumGates; ++i)
    gates.push_back({static_cast<double>(stats.gates[i]),
                     {{"gate", std::string(cache::GateCode(static_cast<cache::Gate>(i)))}}});
  for (size_t i = 0; i < cache::kNumLabelled; ++i)
    for (const size_t right : {0, 1})
      compared.push_back(
          {static_cast<double>(stats.labels[i][right]),
           {{"candidate", std::string(cache::LabelledName(static_cast<cache::Labelled>(i)))},
            {"verdict", right == 1 ? "right" : "wrong"}}});
  return {
      FamilyOf("answer_cache_semantic_lookups_total", "Lookups of questions in other words",
               MetricType::Counter, outcomes),
      FamilyOf("answer_cache_semantic_refusals_total",
               "Answers that one gate or several kept from being served", MetricType::Counter,
               gates),
      FamilyOf("answer_cache_semantic_compared_total",
               "Stored answers compared with a generated one", MetricType::Counter, compared),
  };
}

std::vector<MetricFamily> SharedFamilies(const cache::SharedStats& shared) {
  const auto one = [](int64_t value) {
    return std::vector<Sample>{{static_cast<double>(value), {}}};
  };
  const std::vector<Sample> lookups = {
      {static_cast<double>(shared.store.hits), {{"result", "hit"}}},
      {static_cast<double>(shared.store.misses), {{"result", "miss"}}},
      {static_cast<double>(shared.store.errors), {{"result", "error"}}},
      {static_cast<double>(shared.store.corrupt), {{"result", "corrupt"}}}};
  return {
      FamilyOf("answer_cache_shared_available", "1 while Redis answers in time", MetricType::Gauge,
               one(shared.client.available ? 1 : 0)),
      FamilyOf("answer_cache_shared_lookups_total", "Lookups in Redis", MetricType::Counter,
               lookups),
      FamilyOf("answer_cache_shared_stored_total", "Answers that Redis took", MetricType::Counter,
               one(shared.store.stored)),
      FamilyOf("answer_cache_shared_not_stored_total", "Answers that Redis did not take",
               MetricType::Counter, one(shared.store.not_stored)),
      FamilyOf("answer_cache_shared_undecryptable_total",
               "What in Redis could not be decrypted: its key is not here, or it was changed",
               MetricType::Counter,
               {{static_cast<double>(shared.store.keyring.no_key), {{"reason", "no_key"}}},
                {static_cast<double>(shared.store.keyring.damaged), {{"reason", "damaged"}}}}),
      FamilyOf("answer_cache_shared_connections", "Connections to Redis", MetricType::Gauge,
               one(shared.client.connections)),
      FamilyOf("answer_cache_shared_flights_total",
               "Answers in the making that instances agreed on, by this one's part in it",
               MetricType::Counter,
               {{static_cast<double>(shared.flight.leads), {{"part", "lead"}}},
                {static_cast<double>(shared.flight.follows), {{"part", "follow"}}},
                {static_cast<double>(shared.flight.alone), {{"part", "alone"}}}}),
      FamilyOf("answer_cache_shared_takeovers_total",
               "Answers gone on with after the instance that told them was gone",
               MetricType::Counter, one(shared.flight.takeovers)),
      FamilyOf("answer_cache_shared_leases_lost_total",
               "Turns to generate that ended before their answer", MetricType::Counter,
               one(shared.flight.leases_lost)),
      FamilyOf("answer_cache_shared_publish_errors_total",
               "Publications of answers in the making that Redis did not take", MetricType::Counter,
               one(shared.flight.publish_errors)),
      FamilyOf("answer_cache_shared_leading", "Answers that other instances may be listening to",
               MetricType::Gauge, one(shared.flight.leading)),
      FamilyOf("answer_cache_shared_outages_total", "Times that Redis was given up for a while",
               MetricType::Counter, one(shared.client.openings)),
      FamilyOf("answer_cache_shared_moves_total",
               "Times that another server became the master, or got our keys", MetricType::Counter,
               one(shared.client.moves)),
  };
}

std::vector<MetricFamily> InvalidationFamilies(const cache::InvalidationLog& log) {
  const cache::InvalidationStats stats = log.invalidations().stats();
  const auto one = [](int64_t value) {
    return std::vector<Sample>{{static_cast<double>(value), {}}};
  };
  return {
      FamilyOf("answer_cache_invalidations", "Invalidations in force", MetricType::Gauge,
               one(stats.records)),
      FamilyOf("answer_cache_invalidations_pending", "Invalidations that Redis has yet to be told",
               MetricType::Gauge, one(log.pending())),
      FamilyOf("answer_cache_invalidated_total",
               "Dead answers: found and not served, or removed from memory", MetricType::Counter,
               {{static_cast<double>(stats.refused), {{"what", "refused"}}},
                {static_cast<double>(stats.erased), {{"what", "erased"}}}}),
      FamilyOf("answer_cache_stale",
               "1 while nothing stored is served, for want of news from Redis", MetricType::Gauge,
               one(log.Stale() ? 1 : 0)),
  };
}

std::vector<MetricFamily> UpstreamFamilies(const std::vector<UpstreamStats>& upstreams) {
  std::vector<Sample> requests, retries, failures, in_flight, connections, openings, states;
  for (const UpstreamStats& one : upstreams) {
    const Labels labels = {{"upstream", one.url}};
    const auto add = [&](std::vector<Sample>& to, int64_t value) {
      to.push_back({static_cast<double>(value), labels});
    };
    add(requests, one.requests);
    add(retries, one.retries);
    add(in_flight, one.in_flight);
    add(connections, one.connections_opened);
    add(openings, one.breaker_openings);
    for (size_t phase = 0; phase < kNumUpstreamPhases; ++phase)
      failures.push_back(
          {static_cast<double>(one.failures[phase]),
           {{"upstream", one.url},
            {"phase", std::string(UpstreamPhaseName(static_cast<UpstreamPhase>(phase)))}}});
    for (const auto state :
         {Breaker::State::kClosed, Breaker::State::kOpen, Breaker::State::kHalfOpen})
      states.push_back({one.breaker == state ? 1.0 : 0.0,
                        {{"upstream", one.url}, {"state", std::string(BreakerStateName(state))}}});
  }
  const auto counter = [](std::string name, std::string help, const std::vector<Sample>& samples) {
    return FamilyOf(std::move(name), std::move(help), MetricType::Counter, samples);
  };
  return {
      counter("upstream_requests_total", "Attempts to send a request to an upstream", requests),
      counter("upstream_retries_total", "Second and later attempts of a request", retries),
      counter("upstream_failures_total", "Attempts that failed, by phase", failures),
      counter("upstream_connections_total", "Connections opened", connections),
      counter("upstream_outages_total", "Times that an upstream was left alone for a while",
              openings),
      FamilyOf("upstream_requests_in_flight", "Attempts in progress", MetricType::Gauge, in_flight),
      FamilyOf("upstream_breaker_state", "1 for the state that the circuit breaker is in",
               MetricType::Gauge, states),
  };
}

}  // namespace

struct Metrics::Impl {
  explicit Impl(std::string model_name)
      : labels{{"model_name", std::move(model_name)}, {"engine", "0"}},
        requests(prometheus::BuildCounter()
                     .Name("gateway_requests_total")
                     .Help("HTTP requests by route and status")
                     .Register(registry)),
        limited(prometheus::BuildCounter()
                    .Name("gateway_limited_total")
                    .Help("Requests that a limit of their API key refused")
                    .Register(registry)),
        limits_alone(prometheus::BuildCounter()
                         .Name("gateway_limits_alone_total")
                         .Help("Limits judged or settled without Redis, which did not answer")
                         .Register(registry)
                         .Add({})),
        success(prometheus::BuildCounter()
                    .Name("vllm:request_success_total")
                    .Help("Count of successfully processed requests")
                    .Labels(labels)
                    .Register(registry)),
        first_token(AddHistogram("vllm:time_to_first_token_seconds",
                                 "Histogram of time to first token in seconds", kFirstTokenS)),
        per_token(AddHistogram("vllm:request_time_per_output_token_seconds",
                               "Histogram of time per output token in seconds, per request",
                               kPerTokenS)),
        total(AddHistogram("vllm:e2e_request_latency_seconds",
                           "Histogram of end to end request latency in seconds", kTotalS)),
        prompt_tokens(AddHistogram("vllm:request_prompt_tokens",
                                   "Number of prefill tokens processed", kTokens)),
        generated_tokens(AddHistogram("vllm:request_generation_tokens",
                                      "Number of generation tokens processed", kTokens)) {}

  Histogram& AddHistogram(const std::string& name, const std::string& help,
                          const Histogram::BucketBoundaries& edges) {
    return prometheus::BuildHistogram().Name(name).Help(help).Labels(labels).Register(registry).Add(
        {}, edges);
  }

  Labels labels;
  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& requests;
  prometheus::Family<prometheus::Counter>& limited;
  prometheus::Counter& limits_alone;
  prometheus::Family<prometheus::Counter>& success;
  Histogram& first_token;
  Histogram& per_token;
  Histogram& total;
  Histogram& prompt_tokens;
  Histogram& generated_tokens;
};

Metrics::Metrics(std::string model_name) : impl_(std::make_unique<Impl>(std::move(model_name))) {}
Metrics::~Metrics() = default;

void Metrics::Count(const RequestSample& sample) {
  impl_->requests
      .Add({{"route", std::string(sample.route)}, {"status", fmt::format("{}", sample.status)}})
      .Increment();
  if (!sample.finish_reason.empty())
    impl_->success.Add({{"finished_reason", std::string(sample.finish_reason)}}).Increment();
  if (!sample.generates || sample.from_cache || sample.status != 200) return;
  impl_->total.Observe(sample.total_s);
  impl_->prompt_tokens.Observe(sample.prompt_tokens);
  impl_->generated_tokens.Observe(sample.generated_tokens);
  if (sample.first_token_s < 0) return;
  impl_->first_token.Observe(sample.first_token_s);
  if (sample.generated_tokens > 1)
    impl_->per_token.Observe((sample.total_s - sample.first_token_s) /
                             (sample.generated_tokens - 1));
}

void Metrics::CountLimited(std::string_view limit) {
  impl_->limited.Add({{"limit", std::string(limit)}}).Increment();
}

void Metrics::CountLimitsAlone() { impl_->limits_alone.Increment(); }

std::string Metrics::Expose(const std::optional<engine::EngineStats>& engine,
                            const cache::StatsSnapshot& answers, const cache::StoreStats& store,
                            const std::optional<cache::SharedStats>& shared,
                            const std::vector<UpstreamStats>& upstreams,
                            const cache::InvalidationLog* invalidations) const {
  std::vector<MetricFamily> families = impl_->registry.Collect();
  if (engine) {
    for (auto& family : EngineFamilies(*engine, impl_->labels))
      families.push_back(std::move(family));
    for (auto& family : PrefixFamilies(engine->prefix, impl_->labels))
      families.push_back(std::move(family));
  }
  for (auto& family : AnswerCacheFamilies(answers, store)) families.push_back(std::move(family));
  for (auto& family : SemanticFamilies(answers)) families.push_back(std::move(family));
  if (shared)
    for (auto& family : SharedFamilies(*shared)) families.push_back(std::move(family));
  if (invalidations != nullptr)
    for (auto& family : InvalidationFamilies(*invalidations)) families.push_back(std::move(family));
  if (!upstreams.empty())
    for (auto& family : UpstreamFamilies(upstreams)) families.push_back(std::move(family));
  return prometheus::TextSerializer().Serialize(families);
}

std::string Metrics::ExposeEmbedder(const cache::EmbeddingMemoStats& stats) {
  const auto number = [](int64_t value) { return static_cast<double>(value); };
  return prometheus::TextSerializer().Serialize(
      {FamilyOf("embedder_texts_total",
                "Questions whose vector was asked for: remembered, on its way already, or computed",
                MetricType::Counter,
                {{number(stats.hits), {{"source", "memory"}}},
                 {number(stats.coalesced), {{"source", "coalesced"}}},
                 {number(stats.misses), {{"source", "embedder"}}}}),
       FamilyOf("embedder_failures_total", "Look-ups of vectors that failed, or were too late",
                MetricType::Counter,
                {{number(stats.errors), {{"reason", "error"}}},
                 {number(stats.deadlines), {{"reason", "deadline"}}}}),
       FamilyOf("embedder_memory_bytes", "Bytes of remembered vectors with their texts",
                MetricType::Gauge, {{number(stats.bytes), {}}}),
       FamilyOf("embedder_memory_entries", "Remembered vectors", MetricType::Gauge,
                {{number(stats.entries), {}}})});
}

}  // namespace nextgate::gateway
