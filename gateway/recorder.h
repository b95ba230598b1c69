// What every request leaves behind: an X-Request-Id for its client, one count in the metrics and one
// access line, when its last byte was sent. (ChatPipeline does the same for the requests that generate,
// of which there is more to say.)
//
// Threads: handlers run on connection threads.
#pragma once

#include "base/clock.h"
#include "gateway/http_server.h"
#include "gateway/metrics.h"

namespace nextgate::gateway {

struct Recorder {
  Metrics& metrics;
  bool access_log = true;
  const Clock& clock = Clock::System();

  // `answer`, recorded. `quiet`: what asks again and again whether this server is well; its line is
  // written at debug only. The recorder must outlive the handler.
  HttpServer::Handler Recorded(bool quiet, HttpServer::Handler answer) const;
};

}  // namespace nextgate::gateway
