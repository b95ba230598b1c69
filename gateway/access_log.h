// One line per request at its end: key=value, no prompt, no answer, no secret. And request ids.
//
// Threads: a RequestRecord belongs to its request; Write from any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/log.h"

namespace nextgate::gateway {

struct RequestRecord {
  std::string id;
  std::string route;
  int status = 200;
  std::string key;    // label of the API key; "" if it has none
  std::string path;   // who answered: "cache", "engine", or "" for nobody
  std::string cache;  // X-Cache, with its reason
  std::string finish_reason;
  int32_t prompt_tokens = 0;
  int32_t cached_tokens = 0;
  int32_t completion_tokens = 0;
  int64_t began_ns = 0;        // monotonic
  int64_t first_token_ns = 0;  // 0: none
};

void WriteAccessLine(const RequestRecord& record, const Clock& clock,
                     LogLevel level = LogLevel::kInfo);

// The client's X-Request-Id if it is 1 to 128 visible ASCII characters without quotes, else a fresh
// one.
std::string RequestIdFrom(std::string_view given);
// 32 random hex digits.
std::string RandomId();

}  // namespace nextgate::gateway
