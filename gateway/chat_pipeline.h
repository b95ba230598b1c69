// The story of one generating request, for both endpoints: may it use the answer cache → is the
// answer known → replay it; is it in the making, here or on another instance → follow it; else generate → stream or collect →
// store. Read ChatPipeline::Run first.
//
// Threads: Run from any connection's thread. The services are shared and safe from any thread.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "base/clock.h"
#include "cache/exact_cache.h"
#include "cache/policy.h"
#include "cache/redis/invalidation_log.h"
#include "cache/semantic/semantic_cache.h"
#include "cache/stats.h"
#include "cache/stats_keeper.h"
#include "cache/writer.h"
#include "gateway/access_log.h"
#include "gateway/admission.h"
#include "gateway/flight.h"
#include "gateway/generator.h"
#include "gateway/http_server.h"
#include "gateway/live_requests.h"
#include "gateway/metrics.h"
#include "gateway/openai/api_request.h"
#include "gateway/shared_flight.h"

namespace nextgate::gateway {

class ChatPipeline {
 public:
  struct Services {
    Generator& generator;
    cache::ExactCache& exact;
    Flights& flights;
    SharedFlights* shared_flights = nullptr;  // null: this process is alone
    cache::Writer& writer;
    cache::CacheStats& stats;
    cache::PolicySettings policy;
    const cache::Partitioner& partitioner;
    Metrics& metrics;
    bool access_log = true;
    int32_t replay_tokens_per_s = 0;  // of stored answers as streams; 0: at once
    CacheRights keyless = {};         // of who has no key of --api-key-file
    const Clock& clock = Clock::System();
    const cache::InvalidationLog* invalidations = nullptr;  // null: nothing is ever too stale
    cache::StatsKeeper* keeper = nullptr;  // hears of the hits of entries; may be null
    LiveRequests* live = nullptr;          // where requests are listed while they run; may be null
    cache::SemanticCache* semantic = nullptr;  // null: nobody makes vectors
  };
  explicit ChatPipeline(const Services& services) : s_(services) {}

  // Answers `request` of who was admitted with `ticket`; `record` has id, route and begin. What is left
  // to do when the reply was sent (store, count, settle, log) hangs on the reply.
  void Run(std::shared_ptr<const openai::ApiRequest> request, const ServerRequest& http,
           RequestRecord record, ServerReply& reply, Ticket ticket = Ticket());

  // What Run would ask the answer cache for `request` of `principal`: pure, nothing is looked up or
  // counted. An error is what the client would get.
  struct Planned {
    cache::CachePlan plan;
    cache::CacheKey key;         // without material if the request has no canonical form
    cache::CacheKey normalised;  // without material if it is not asked for, or cannot be made
    cache::EntryOrigin origin;
  };
  Result<Planned> Plan(const openai::ApiRequest& request, std::string_view cache_control,
                       const Principal& principal = *Everybody()) const;

  // The same ending for a request that failed before Run; `standing` says when to come back.
  void Refuse(const Error& error, RequestRecord record, ServerReply& reply,
              std::string_view code = "", const LimitStanding& standing = {});

 private:
  struct Exchange;  // everything one request needs until its last byte is sent

  void CountUnanswered(Exchange& x, ServerReply& reply);
  bool FromCache(const std::shared_ptr<Exchange>& x, const ServerRequest& http, ServerReply& reply,
                 std::shared_ptr<cache::Lead>& lead);
  std::optional<cache::CacheHit> SameInOtherWords(Exchange& x);
  void Replay(const std::shared_ptr<Exchange>& x, cache::CacheHit hit, ServerReply& reply);
  void Follow(const std::shared_ptr<Exchange>& x, std::shared_ptr<Flight> flight,
              const ServerRequest& http, ServerReply& reply);
  void Answer(const std::shared_ptr<Exchange>& x, const ServerRequest& http, ServerReply& reply);
  bool AwaitAccepted(Exchange& x, const ServerRequest& http, ServerReply& reply);
  static void ForgetQuestion(Exchange& x);
  void Stream(const std::shared_ptr<Exchange>& x, ServerReply& reply);
  void Collect(Exchange& x, const ServerRequest& http, ServerReply& reply);
  void TakeAnswer(Exchange& x) const;
  static Status Heard(const Exchange& x);
  static cache::Reason Storable(const Exchange& x);
  void Hear(Exchange& x, const cache::AnswerDelta& delta) const;
  static int64_t TokensUsed(const Exchange& x);
  bool Store(Exchange& x);
  void Learn(Exchange& x, bool stored);
  void End(Exchange& x);
  void Fail(Exchange& x, const Error& error, ServerReply& reply, std::string_view code = "");
  static void PassOn(Exchange& x, const ForeignReply& refusal, ServerReply& reply);

  Services s_;
};

}  // namespace nextgate::gateway
