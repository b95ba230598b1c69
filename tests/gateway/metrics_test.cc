#include "gateway/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
