// What /metrics says, in Prometheus' text format: our own names (<layer>_<noun>_<unit>) and vLLM's
// (vllm:*) where the meaning is the same, so that its dashboards work. prometheus-cpp behind it.
//
// Threads: all methods may be called from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cache/redis/invalidation_log.h"
#include "cache/semantic/embedding_memo.h"
#include "cache/stats.h"
#include "engine/engine.h"
#include "gateway/upstream/peer.h"

namespace nextgate::gateway {

// One finished HTTP request.
struct RequestSample {
  std::string_view route;  // "/v1/chat/completions", …; "other" for paths that nobody serves
  int status = 200;
  bool generates = true;           // false: models, health, …: counted, and in no histogram
  std::string_view finish_reason;  // of the first choice: stop, length, abort, error; "" if none
  bool from_cache = false;         // answered by the answer cache: the engine's histograms skip it
  int32_t prompt_tokens = 0;
  int32_t generated_tokens = 0;
  double total_s = 0;         // arrival to last byte
  double first_token_s = -1;  // arrival to first token; below 0: there was none
};

class Metrics {
 public:
  // `model_name` is the label that vLLM's metrics carry.
  explicit Metrics(std::string model_name);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  void Count(const RequestSample& sample);
  // A request that a limit of its API key refused: "requests", "tokens", "concurrency".
  void CountLimited(std::string_view limit);
  // A limit that was judged by this process alone, because Redis did not answer.
  void CountLimitsAlone();

  // The exposition: what Count collected, and the given counters as they are now, of an engine or of
  // upstreams.
  std::string Expose(const std::optional<engine::EngineStats>& engine,
                     const cache::StatsSnapshot& answers, const cache::StoreStats& store,
                     const std::optional<cache::SharedStats>& shared,
                     const std::vector<UpstreamStats>& upstreams = {},
                     const cache::InvalidationLog* invalidations = nullptr) const;

  // What an embedder's memo counted, to be put behind the above.
  static std::string ExposeEmbedder(const cache::EmbeddingMemoStats& stats);

  static constexpr std::string_view kContentType = "text/plain; version=0.0.4; charset=utf-8";

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace nextgate::gateway
