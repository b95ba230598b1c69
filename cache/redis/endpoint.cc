#include "cache/redis/endpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <tuple>
#include <utility>

namespace nextgate::cache {
namespace {

using Kind = RedisEndpoint::Kind;

constexpr int kSentinelPort = 26379;

Result<int> Number(std::string_view text, int low, int high, std::string_view what) {
  int value = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || at != end || value < low || value > high)
    return InvalidArgument(
        fmt::format("{}: expected a whole number from {} to {}, got '{}'", what, low, high, text));
  return value;
}

bool Odd(char c) {
  return static_cast<unsigned char>(c) <= ' ' || c == '?' || c == '#' || c == ',';
}

Result<RedisNode> ParseNode(std::string_view text, int default_port) {
  RedisNode node{.host = {}, .port = default_port};
  if (text.starts_with('[')) {  // an IPv6 address
    const size_t close = text.find(']');
    if (close == std::string_view::npos) return InvalidArgument("'[' without ']' in the URL");
    node.host = text.substr(1, close - 1);
    text.remove_prefix(close + 1);
  } else {
    node.host = text.substr(0, text.find(':'));
    text.remove_prefix(node.host.size());
  }
  if (node.host.empty() || std::ranges::any_of(node.host, Odd))
    return InvalidArgument("the URL names no host");
  if (text.starts_with(':')) {
    ASSIGN_OR_RETURN(node.port, Number(text.substr(1), 1, 65535, "the port"));
  } else if (!text.empty()) {
    return InvalidArgument("expected :PORT after the host");
  }
  return node;
}

// Takes the scheme off.
Result<std::pair<Kind, bool>> TakeScheme(std::string_view& url) {
  const size_t end = url.find("://");
  const std::string_view scheme = url.substr(0, end);
  const bool tls = scheme.starts_with("rediss");
  const std::string_view kind = scheme.substr(std::min(scheme.size(), size_t{tls ? 6U : 5U}));
  if (end == std::string_view::npos || !scheme.starts_with("redis") ||
      (!kind.empty() && kind != "+sentinel" && kind != "+cluster"))
    return InvalidArgument(
        "expected redis://[USER@]HOST[:PORT][/DATABASE], "
        "redis+sentinel://[USER@]HOST[:PORT],…/MASTER[/DATABASE] or "
        "redis+cluster://[USER@]HOST[:PORT],…, with rediss for TLS");
  url.remove_prefix(end + 3);
  return std::pair(kind.empty()          ? Kind::kServer
                   : kind == "+sentinel" ? Kind::kSentinel
                                         : Kind::kCluster,
                   tls);
}

// What stands behind the hosts: [MASTER/]DATABASE.
Status ParsePath(std::string_view path, RedisEndpoint& endpoint) {
  if (endpoint.kind == Kind::kSentinel) {
    endpoint.master = path.substr(0, path.find('/'));
    if (endpoint.master.empty() || std::ranges::any_of(endpoint.master, Odd))
      return InvalidArgument(
          "the URL does not say which master its Sentinels are asked for: expected "
          "redis+sentinel://HOST:PORT,…/MASTER");
    path.remove_prefix(std::min(path.size(), endpoint.master.size() + 1));
  }
  if (path.empty()) return {};
  ASSIGN_OR_RETURN(
      endpoint.database,
      Number(path, 0, endpoint.kind == Kind::kCluster ? 0 : 1'000'000,
             endpoint.kind == Kind::kCluster ? "the database of a cluster" : "the database"));
  return {};
}

}  // namespace

std::string RedisNode::ToString() const {
  const bool is_v6 = host.find(':') != std::string::npos;
  return fmt::format("{}{}{}:{}", is_v6 ? "[" : "", host, is_v6 ? "]" : "", port);
}

RedisEndpoint RedisEndpoint::At(const RedisNode& node) const {
  RedisEndpoint there = *this;
  there.host = node.host;
  there.port = node.port;
  return there;
}

std::string RedisEndpoint::ToString() const {
  const char* scheme = tls ? "rediss" : "redis";
  if (kind == Kind::kServer) return fmt::format("{}://{}/{}", scheme, node().ToString(), database);
  std::string hosts;
  for (const RedisNode& one : known) hosts += (hosts.empty() ? "" : ",") + one.ToString();
  if (kind == Kind::kCluster) return fmt::format("{}+cluster://{}", scheme, hosts);
  return fmt::format("{}+sentinel://{}/{}/{}", scheme, hosts, master, database);
}

Result<RedisEndpoint> ParseRedisUrl(std::string_view url) {
  RedisEndpoint endpoint;
  std::string_view rest = url;
  ASSIGN_OR_RETURN(std::tie(endpoint.kind, endpoint.tls), TakeScheme(rest));
  const size_t slash = std::min(rest.find('/'), rest.size());
  const std::string_view path = rest.substr(std::min(slash + 1, rest.size()));
  rest = rest.substr(0, slash);
  if (const size_t at = rest.rfind('@'); at != std::string_view::npos) {
    if (rest.substr(0, at).find(':') != std::string_view::npos)
      return InvalidArgument(
          "a password does not belong in the URL, where everybody can read it: use "
          "NEXTGATE_CACHE_PASSWORD or --cache-password-file");
    endpoint.user = rest.substr(0, at);
    rest.remove_prefix(at + 1);
  }
  if (endpoint.kind == Kind::kServer) {
    ASSIGN_OR_RETURN(const RedisNode node, ParseNode(rest, endpoint.port));
    endpoint = endpoint.At(node);
  } else {
    const int port = endpoint.kind == Kind::kSentinel ? kSentinelPort : endpoint.port;
    while (true) {
      const size_t comma = rest.find(',');
      ASSIGN_OR_RETURN(RedisNode node, ParseNode(rest.substr(0, comma), port));
      endpoint.known.push_back(std::move(node));
      if (comma == std::string_view::npos) break;
      rest.remove_prefix(comma + 1);
    }
  }
  RETURN_IF_ERROR(ParsePath(path, endpoint));
  return endpoint;
}

}  // namespace nextgate::cache
