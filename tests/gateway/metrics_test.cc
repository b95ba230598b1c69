#include "gateway/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <utility>

namespace nextgate::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Metrics, ExposesEngineCountersUnderOurAndVllmsNames) {
  const Metrics metrics("dictionary");
  engine::EngineStats engine;
  engine.generated_tokens = 42;
  engine.running = 3;
  engine.kv_blocks_used = 1;
  engine.kv_blocks_total = 4;
  const std::string text = metrics.Expose(engine, {}, {}, {});
  EXPECT_THAT(
      text, HasSubstr("engine_generated_tokens_total{engine=\"0\",model_name=\"dictionary\"} 42"));
  EXPECT_THAT(text,
              HasSubstr("vllm:generation_tokens_total{engine=\"0\",model_name=\"dictionary\"} 42"));
  EXPECT_THAT(text, HasSubstr("# TYPE vllm:num_requests_running gauge"));
  EXPECT_THAT(text,
              HasSubstr("vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"dictionary\"} 0.25"));
}

TEST(Metrics, ThePrefixCacheSaysWhatItFoundAndWhatBecameOfIt) {
  engine::EngineStats engine;
  engine.prompt_tokens = 400;
  engine.prefix = {.lookups = 5,
                   .lookups_limited = 1,
                   .queried_tokens = 1000,
                   .matched_tokens = 700,
                   .resumed_tokens = 600,
                   .replayed_tokens = 70,
                   .lost_tokens = 30,
                   .waits = 2,
                   .checkpoints_made = 9,
                   .checkpoints_evicted = 3,
                   .checkpoints_refused = 4,
                   .blocks_evicted = 6,
                   .blocks_cached = 11,
                   .blocks_idle = 10,
                   .checkpoints_used = 7,
                   .checkpoints_total = 8,
                   .checkpoint_bytes = 4096};
  const std::string text = Metrics("m").Expose(engine, {}, {}, {});
  const std::string labels = "engine=\"0\",model_name=\"m\"";
  for (const auto& [name, value] : std::initializer_list<std::pair<const char*, int>>{
           {"nextgate_prefix_lookups_total", 5},
           {"nextgate_prefix_lookups_limited_total", 1},
           {"nextgate_prefix_queried_tokens_total", 1000},
           {"nextgate_prefix_waits_total", 2},
           {"nextgate_prefix_blocks_evicted_total", 6},
           {"nextgate_prefix_blocks_cached", 11},
           {"nextgate_prefix_blocks_idle", 10},
           {"nextgate_prefix_checkpoint_slots_used", 7},
           {"nextgate_prefix_checkpoint_slots", 8},
           {"nextgate_prefix_checkpoint_bytes", 4096},
           {"vllm:prefix_cache_queries_total", 1000},
           {"vllm:prefix_cache_hits_total", 600},
           {"vllm:prompt_tokens_cached_total", 600},
           {"vllm:prompt_tokens_total", 1000}})
    EXPECT_THAT(text, HasSubstr(std::string("\n") + name + "{" + labels + "} " +
                                std::to_string(value) + "\n"));
  for (const auto& [what, value] : std::initializer_list<std::pair<const char*, int>>{
           {"resumed", 600}, {"replayed", 70}, {"lost", 30}})
    EXPECT_THAT(text, HasSubstr("nextgate_prefix_matched_tokens_total{" + labels + ",what=\"" +
                                what + "\"} " + std::to_string(value)));
  for (const auto& [what, value] : std::initializer_list<std::pair<const char*, int>>{
           {"made", 9}, {"evicted", 3}, {"refused", 4}})
    EXPECT_THAT(text, HasSubstr("nextgate_prefix_checkpoints_total{" + labels + ",what=\"" + what +
                                "\"} " + std::to_string(value)));
}

TEST(Metrics, UpstreamsTakeTheEnginesPlace) {
  UpstreamStats one{.url = "http://a:1/v1", .requests = 5, .breaker = Breaker::State::kOpen};
  one.failures[static_cast<size_t>(UpstreamPhase::kFirstByte)] = 2;
  const std::string text = Metrics("m").Expose({}, {}, {}, {}, {one});
  EXPECT_THAT(text, HasSubstr("upstream_requests_total{upstream=\"http://a:1/v1\"} 5"));
  EXPECT_THAT(
      text,
      HasSubstr("upstream_failures_total{phase=\"first_byte\",upstream=\"http://a:1/v1\"} 2"));
  EXPECT_THAT(text,
              HasSubstr("upstream_breaker_state{state=\"open\",upstream=\"http://a:1/v1\"} 1"));
  EXPECT_THAT(text, Not(HasSubstr("engine_")));
  EXPECT_THAT(text, Not(HasSubstr("prefix_")));
}

TEST(Metrics, HistogramsHoldGeneratedAnswersOnly) {
  Metrics metrics("m");
  metrics.Count({.route = "/v1/completions",
                 .finish_reason = "stop",
                 .prompt_tokens = 7,
                 .generated_tokens = 5,
                 .total_s = 0.9,
                 .first_token_s = 0.1});
  metrics.Count(
      {.route = "/v1/completions", .finish_reason = "stop", .from_cache = true, .total_s = 0.001});
  metrics.Count({.route = "/v1/completions", .status = 400});
  const std::string text = metrics.Expose({}, {}, {}, {});
  EXPECT_THAT(text,
              HasSubstr("gateway_requests_total{route=\"/v1/completions\",status=\"200\"} 2"));
  EXPECT_THAT(text,
              HasSubstr("gateway_requests_total{route=\"/v1/completions\",status=\"400\"} 1"));
  EXPECT_THAT(text,
              HasSubstr("vllm:time_to_first_token_seconds_count{engine=\"0\",model_name=\"m\"} 1"));
  EXPECT_THAT(text,
              HasSubstr("vllm:e2e_request_latency_seconds_count{engine=\"0\",model_name=\"m\"} 1"));
  // (0.9 - 0.1) s over the 4 tokens after the first = 0.2 s a token.
  EXPECT_THAT(text, HasSubstr("vllm:request_time_per_output_token_seconds_bucket{engine=\"0\","
                              "model_name=\"m\",le=\"0.15\"} 0"));
  EXPECT_THAT(text,
              HasSubstr("vllm:request_generation_tokens_sum{engine=\"0\",model_name=\"m\"} 5"));
  EXPECT_THAT(text, HasSubstr("finished_reason=\"stop\""));
}

TEST(Metrics, SharedAnswersInTheMakingAreCountedByPart) {
  const Metrics metrics("m");
  const cache::SharedStats shared{
      .flight = {.leads = 5, .follows = 4, .takeovers = 3, .alone = 2, .leases_lost = 1}};
  const std::string text = metrics.Expose({}, {}, {}, shared);
  EXPECT_THAT(text, HasSubstr("answer_cache_shared_flights_total{part=\"lead\"} 5"));
  EXPECT_THAT(text, HasSubstr("answer_cache_shared_flights_total{part=\"follow\"} 4"));
  EXPECT_THAT(text, HasSubstr("answer_cache_shared_flights_total{part=\"alone\"} 2"));
  EXPECT_THAT(text, HasSubstr("answer_cache_shared_takeovers_total 3"));
  EXPECT_THAT(text, HasSubstr("answer_cache_shared_leases_lost_total 1"));
  EXPECT_THAT(text, HasSubstr("answer_cache_shared_publish_errors_total 0"));
  EXPECT_THAT(metrics.Expose({}, {}, {}, {}), Not(HasSubstr("answer_cache_shared_flights")));
}

TEST(Metrics, AnswerCacheIsCountedByTierAndReason) {
  const Metrics metrics("m");
  cache::CacheStats stats;
  stats.CountHit(cache::Tier::kExact);
  stats.CountSaved({.prompt_tokens = 10, .completion_tokens = 20});
  stats.CountMiss();
  stats.CountBypass(cache::Reason::kSampled);
  const std::string text = metrics.Expose({}, stats.Snapshot(), {}, {});
  EXPECT_THAT(text, HasSubstr("answer_cache_hits_total{tier=\"exact\"} 1"));
  EXPECT_THAT(text, HasSubstr("answer_cache_misses_total 1"));
  EXPECT_THAT(text, HasSubstr("answer_cache_bypasses_total{reason=\"sampled\"} 1"));
  EXPECT_THAT(text, HasSubstr("answer_cache_completion_tokens_saved_total 20"));
  EXPECT_THAT(text, Not(HasSubstr("reason=\"\"")));
}

}  // namespace
}  // namespace nextgate::gateway
