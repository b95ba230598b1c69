// One HTTP(S) request at a time, with the body handed over as it arrives. The only wrapper of
// cpp-httplib's client: no redirect is followed and nothing is retried here, because whoever sends
// secrets must see every host a request goes to.
//
// Threads: functions without shared state; may be called from any thread, concurrently.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace nextgate::gateway {

struct Url {
  std::string scheme;  // "http" or "https"
  std::string host;    // lower case; an IPv6 address keeps its brackets
  int port = 0;        // the scheme's default if none was written
  std::string target;  // path and query, begins with "/"; as written, still percent-encoded

  // "https://host:port": what must be equal for a token to be sent.
  std::string Origin() const;
  std::string ToString() const { return Origin() + target; }
};

// Refuses other schemes, user names in URLs, and characters that do not belong in one.
Result<Url> ParseUrl(std::string_view text);

// Where a Location header leads from `base`: absolute, "//host/…", "/path" or relative.
Result<Url> ResolveLocation(const Url& base, std::string_view location);

// Everything but A-Z a-z 0-9 - . _ ~ as %XX; '/' too.
std::string PercentEncode(std::string_view text);

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

// The first value of a header, names compared without case; "" if there is none.
std::string_view FindHeader(const HttpHeaders& headers, std::string_view name);

struct HttpResponse {
  int status = 0;
  HttpHeaders headers;
};

struct HttpRequest {
  std::string method = "GET";
  Url url;
  HttpHeaders headers;
  std::string body;  // sent as it is; Content-Type is among the headers
  // "http://host:port" or "http://user:password@host:port" (percent-encoded), or empty. Errors name the
  // variables it comes from, and show nothing of it.
  std::string proxy;
  int64_t connect_timeout_ms = 10'000;
  int64_t read_timeout_ms = 30'000;  // without a byte
  // Called once before the body; false ends the request here, which is no error.
  std::function<bool(const HttpResponse&)> on_head;
  // Called with the body's pieces; false ends the request here, which is no error.
  std::function<bool(std::string_view)> on_body;
};

// Performs the request. An error (kUnavailable; kPermissionDenied if the server's certificate is
// not trusted) means that no whole response arrived; pieces handed to on_body before it stay valid.
Result<HttpResponse> SendHttp(const HttpRequest& request);

}  // namespace nextgate::gateway
