// What the handlers of the admin API share. A handler fills the reply or returns an error, which
// becomes OpenAI's error object like everywhere.
//
// Threads: handlers run on the admin server's connection threads; everything here is safe from any.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "cache/exact_cache.h"
#include "cache/redis/catalogue.h"
#include "cache/redis/invalidation_log.h"
#include "cache/single_flight.h"
#include "cache/stats_keeper.h"
#include "cache/writer.h"
#include "engine/engine.h"
#include "gateway/admin/keys.h"
#include "gateway/admin/reload.h"
#include "gateway/chat_pipeline.h"
#include "gateway/engine_generator.h"
#include "gateway/flight.h"
#include "gateway/http_server.h"
#include "gateway/live_requests.h"
#include "gateway/recorder.h"
#include "gateway/request_reader.h"
#include "gateway/semantic_tier.h"
#include "gateway/serve_options.h"

namespace nextgate::gateway::admin {

using Json = nlohmann::ordered_json;

struct AdminContext {
  const AdminKeyRing& keys;
  const ChatPipeline& pipeline;
  const Flights& flights;
  cache::ExactCache& exact;
  const cache::SingleFlight* single_flight;  // null without --cache-url
  const cache::Writer& writer;
  cache::StatsKeeper& keeper;
  const LiveRequests& live;
  cache::RedisCatalogue* catalogue;  // null without --cache-url
  cache::InvalidationLog& invalidations;
  const cache::Partitioner& partitioner;
  const RequestReader& reader;
  const ServeOptions&
      options;  // with what was found out at the start: names, lengths, threads, ports
  const Recorder& recorder;
  engine::Engine* engine = nullptr;  // null, as the next, with upstreams
  const EngineGenerator* generator = nullptr;
  Reloader* reloader = nullptr;        // null: nothing can be reloaded
  SemanticTier* semantic = nullptr;    // null: nobody makes vectors
  const HttpServer* server = nullptr;  // which knows its port; null: the options do
  const Clock& clock = Clock::System();
};

struct AdminRequest {
  const ServerRequest& http;
  AdminCaller caller;
};

using AdminFunction = Status (*)(const AdminContext& c, const AdminRequest& request,
                                 ServerReply& reply);

void AnswerJson(ServerReply& reply, const Json& json);

// `json` as one line; text that is not UTF-8 is shown with replacement characters.
std::string Dump(const Json& json);

// The Redis' figures, if there is one.
std::optional<cache::SharedStats> SharedStatsOf(cache::ExactCache& exact,
                                                const cache::SingleFlight* single_flight);

}  // namespace nextgate::gateway::admin
