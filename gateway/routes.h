// Which path does what, on both ports. Handlers parse, check the key and hand over to ChatPipeline;
// what is small enough (models, tokenize, health …) they answer themselves.
//
// Threads: registered before the servers start; handlers run on connection threads.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "cache/semantic/embedding_memo.h"
#include "gateway/admission.h"
#include "gateway/auth.h"
#include "gateway/chat_pipeline.h"
#include "gateway/embeddings_endpoint.h"
#include "gateway/engine_generator.h"
#include "gateway/http_server.h"
#include "gateway/recorder.h"
#include "gateway/request_reader.h"
#include "gateway/upstream/upstream.h"

namespace nextgate::gateway {

struct RouteContext {
  ChatPipeline& pipeline;
  // Either these three, or an upstream; what is not there is null.
  const EngineGenerator* generator = nullptr;
  engine::Engine* engine = nullptr;
  const engine::Tokenizer* tokenizer = nullptr;
  Upstream* upstream = nullptr;
  Metrics& metrics;
  const Recorder& recorder;
  cache::CacheStats& cache_stats;
  cache::ExactCache& exact;
  const cache::SingleFlight* single_flight = nullptr;     // null as exact.shared() is
  const cache::InvalidationLog* invalidations = nullptr;  // null: not told in /metrics
  const Auth& auth;
  Admission& admission;
  const RequestReader& reader;
  const EmbeddingsEndpoint* embeddings = nullptr;  // null, as the next one: no embedder
  const cache::EmbeddingMemo* embedder = nullptr;
  std::string model_root;  // directory or hub id, shown by /v1/models
  const std::atomic<bool>& ready;
  int64_t created_s = 0;
  const Clock& clock = Clock::System();
};

// The engine thread comes round at least this often unless it hangs; a longer silence turns /health
// red.
inline constexpr int64_t kHeartbeatMaxMs = 30'000;

// `context` must outlive both servers.
void RegisterApiRoutes(HttpServer& server, const RouteContext& context);
// Health and metrics; the admin API itself is gateway/admin/routes.h.
void RegisterAdminRoutes(HttpServer& server, const RouteContext& context);

}  // namespace nextgate::gateway
