// Reads the query parameters of an admin request: an unknown name, a name given twice and a value that
// is not allowed are errors which name the parameter. The first error sticks.
//
// Threads: one request, one thread.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "gateway/http_server.h"

namespace nextgate::gateway::admin {

class QueryReader {
 public:
  QueryReader(const ServerRequest& http, std::initializer_list<std::string_view> known);

  // The value, 1 to 256 characters of UTF-8; nothing if the parameter was not given.
  std::optional<std::string> Text(std::string_view name);
  // One of `allowed`, or `fallback`.
  std::string Choice(std::string_view name, std::initializer_list<std::string_view> allowed,
                     std::string_view fallback);
  std::optional<int64_t> Whole(std::string_view name, int64_t low, int64_t high);

  void Fail(std::string message, std::string_view name);
  const Status& status() const { return status_; }

 private:
  const ServerRequest& http_;
  Status status_;
};

}  // namespace nextgate::gateway::admin
