#include "gateway/recorder.h"

#include <utility>

#include "gateway/access_log.h"

namespace nextgate::gateway {

HttpServer::Handler Recorder::Recorded(bool quiet, HttpServer::Handler answer) const {
  return [this, quiet, answer = std::move(answer)](const ServerRequest& http, ServerReply& reply) {
    RequestRecord record{.id = RequestIdFrom(http.header("X-Request-Id")),
                         .route = http.route.empty() ? "other" : http.route,
                         .began_ns = clock.MonotonicNs()};
    answer(http, reply);
    reply.headers.emplace_back("X-Request-Id", record.id);
    record.status = reply.status;
    reply.on_sent = [this, quiet, record] {
      metrics.Count({.route = record.route, .status = record.status, .generates = false});
      if (access_log) WriteAccessLine(record, clock, quiet ? LogLevel::kDebug : LogLevel::kInfo);
    };
  };
}

}  // namespace nextgate::gateway
