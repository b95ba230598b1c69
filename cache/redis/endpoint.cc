#include "cache/redis/endpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace nextgate::cache {
namespace {

Result<int> Number(std::string_view text, int low, int high, std::string_view what) {
  int value = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || at != end || value < low || value > high)
    return InvalidArgument(
        fmt::format("{}: expected a whole number from {} to {}, got '{}'", what, low, high, text));
  return value;
}

}  // namespace

std::string RedisEndpoint::ToString() const {
  const bool is_v6 = host.find(':') != std::string::npos;
  return fmt::format("{}://{}{}{}:{}/{}", tls ? "rediss" : "redis", is_v6 ? "[" : "", host,
                     is_v6 ? "]" : "", port, database);
}

Result<RedisEndpoint> ParseRedisUrl(std::string_view url) {
  RedisEndpoint endpoint;
  std::string_view rest = url;
  if (rest.starts_with("rediss://")) {
    endpoint.tls = true;
    rest.remove_prefix(9);
  } else if (rest.starts_with("redis://")) {
    rest.remove_prefix(8);
  } else {
    return InvalidArgument("expected redis://[USER@]HOST[:PORT][/DATABASE], or rediss:// for TLS");
  }
  if (const size_t slash = rest.find('/'); slash != std::string_view::npos) {
    if (const std::string_view database = rest.substr(slash + 1); !database.empty()) {
      ASSIGN_OR_RETURN(endpoint.database, Number(database, 0, 1'000'000, "the database"));
    }
    rest = rest.substr(0, slash);
  }
  if (const size_t at = rest.rfind('@'); at != std::string_view::npos) {
    if (rest.substr(0, at).find(':') != std::string_view::npos)
      return InvalidArgument(
          "a password does not belong in the URL, where everybody can read it: use "
          "NEXTGATE_CACHE_PASSWORD or --cache-password-file");
    endpoint.user = rest.substr(0, at);
    rest.remove_prefix(at + 1);
  }
  if (rest.starts_with('[')) {  // an IPv6 address
    const size_t close = rest.find(']');
    if (close == std::string_view::npos) return InvalidArgument("'[' without ']' in the URL");
    endpoint.host = rest.substr(1, close - 1);
    rest.remove_prefix(close + 1);
  } else {
    endpoint.host = rest.substr(0, rest.find(':'));
    rest.remove_prefix(endpoint.host.size());
  }
  const auto odd = [](char c) {
    return static_cast<unsigned char>(c) <= ' ' || c == '?' || c == '#';
  };
  if (endpoint.host.empty() || std::ranges::any_of(endpoint.host, odd))
    return InvalidArgument("the URL names no host");
  if (rest.starts_with(':')) {
    ASSIGN_OR_RETURN(endpoint.port, Number(rest.substr(1), 1, 65535, "the port"));
  } else if (!rest.empty()) {
    return InvalidArgument("expected :PORT after the host");
  }
  return endpoint;
}

}  // namespace nextgate::cache
