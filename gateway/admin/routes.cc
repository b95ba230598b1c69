#include "gateway/admin/routes.h"

#include "gateway/admin/config.h"
#include "gateway/admin/entries.h"
#include "gateway/admin/explain.h"
#include "gateway/admin/invalidate.h"
#include "gateway/admin/prefix.h"
#include "gateway/admin/query.h"
#include "gateway/admin/requests.h"
#include "gateway/admin/semantic.h"
#include "gateway/admin/stats.h"
#include "gateway/admin/transfer.h"
#include "gateway/openai/error.h"

namespace nextgate::gateway::admin {
namespace {

Status ShowOpenApi(const AdminContext&, const AdminRequest& request, ServerReply& reply) {
  QueryReader query(request.http, {});
  RETURN_IF_ERROR(query.status());
  reply.body = kOpenApiJson;
  return {};
}

struct AdminRoute {
  const char* method;
  const char* path;
  Role role;
  AdminFunction function;
  bool polled = false;  // the dashboard asks again and again: its access lines are for debug only
};

constexpr AdminRoute kRoutes[] = {
    {"GET", "/admin/cache/stats", Role::kRead, ShowStats, /*polled=*/true},
    {"GET", "/admin/cache/entries", Role::kRead, ListEntries},
    {"GET", "/admin/cache/entries/*", Role::kRead, ShowEntry},
    {"DELETE", "/admin/cache/entries/*", Role::kWrite, DeleteEntry},
    {"POST", "/admin/cache/explain", Role::kRead, Explain},
    {"POST", "/admin/cache/feedback", Role::kWrite, TakeFeedback},
    {"GET", "/admin/cache/thresholds", Role::kRead, ShowThresholds},
    {"POST", "/admin/cache/comparator", Role::kWrite, CountComparatorErrors},
    {"GET", "/admin/cache/export", Role::kRead, Export},
    {"POST", "/admin/cache/import", Role::kWrite, Import},
    {"POST", "/admin/cache/invalidate", Role::kWrite, Invalidate},
    {"GET", "/admin/cache/invalidations", Role::kRead, ListInvalidations},
    {"GET", "/admin/prefix/stats", Role::kRead, ShowPrefixStats, /*polled=*/true},
    {"GET", "/admin/prefix/map", Role::kRead, ShowPrefixMap, /*polled=*/true},
    {"POST", "/admin/prefix/explain", Role::kRead, ExplainPrefix},
    {"POST", "/admin/prefix/reset", Role::kWrite, ResetPrefix},
    {"GET", "/admin/requests", Role::kRead, ListRequests, /*polled=*/true},
    {"GET", "/admin/config", Role::kRead, ShowConfig},
    {"POST", "/admin/config/reload", Role::kWrite, ReloadConfig},
    {"GET", "/admin/keys", Role::kRead, ListKeys},
    {"GET", "/admin/openapi.json", Role::kRead, ShowOpenApi},
};

Status Handle(const AdminContext& c, const AdminRoute& route, const ServerRequest& http,
              ServerReply& reply) {
  ASSIGN_OR_RETURN(const AdminCaller caller, c.keys.Get()->Identify(http));
  RETURN_IF_ERROR(AdminKeys::Require(caller, route.role));
  return route.function(c, {.http = http, .caller = caller}, reply);
}

}  // namespace

void AnswerJson(ServerReply& reply, const Json& json) { reply.body = Dump(json); }

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<cache::SharedStats> SharedStatsOf(cache::ExactCache& exact,
                                                const cache::SingleFlight* single_flight) {
  const cache::RedisStore* shared = exact.shared();
  if (shared == nullptr || single_flight == nullptr) return std::nullopt;
  return cache::SharedStats{.store = shared->stats(),
                            .client = shared->client().stats(),
                            .flight = single_flight->stats()};
}

void RegisterAdminApi(HttpServer& server, const AdminContext& c) {
  for (const AdminRoute& route : kRoutes) {
    const auto answer = [&c, &route](const ServerRequest& http, ServerReply& reply) {
      const Status status = Handle(c, route, http, reply);
      if (status) return;
      const ErrorCode code = status.error().code;
      reply = {};
      reply.status = openai::HttpStatus(code);
      reply.body = openai::ErrorBody(status.error(),
                                     code == ErrorCode::kUnauthenticated ? "invalid_api_key" : "");
      if (code == ErrorCode::kUnauthenticated)
        reply.headers.emplace_back("WWW-Authenticate", "Bearer");
    };
    server.Route(route.method, route.path, c.recorder.Recorded(/*quiet=*/route.polled, answer));
  }
}

}  // namespace nextgate::gateway::admin
