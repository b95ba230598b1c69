#include "cache/redis/locator.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace nextgate::cache {
namespace {

using std::chrono::steady_clock;
using Kind = RedisEndpoint::Kind;

constexpr size_t kKnownMax = 64;

std::unexpected<Error> Unavailable(std::string message) {
  return MakeError(ErrorCode::kUnavailable, std::move(message));
}

std::optional<int> Port(std::string_view text) {
  int port = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, port);
  if (error != std::errc() || at != end || port < 1 || port > 65535) return std::nullopt;
  return port;
}

// One of CLUSTER SLOTS' [host, port, id, …]; a node that does not know its own host says "" or nothing.
std::optional<RedisNode> ToNode(const RedisReply& reply, const RedisNode& from) {
  if (reply.elements.size() < 2 || reply.elements[1].integer < 1 ||
      reply.elements[1].integer > 65535)
    return std::nullopt;
  const std::string& host = reply.elements[0].text;
  return RedisNode{.host = host.empty() || host == "?" ? from.host : host,
                   .port = static_cast<int>(reply.elements[1].integer)};
}

}  // namespace

RedisLocator::RedisLocator(RedisEndpoint endpoint)
    : endpoint_(std::move(endpoint)), known_(endpoint_.known) {}

Result<std::shared_ptr<const RedisLocation>> RedisLocator::Locate(
    std::chrono::milliseconds patience) {
  const auto resolved = [&](const RedisNode& node) -> Result<std::shared_ptr<const RedisLocation>> {
    RedisEndpoint there = endpoint_.At(node);
    ASSIGN_OR_RETURN(SocketAddresses addresses,
                     ResolveRedis(there, steady_clock::now() + patience));
    return std::make_shared<const RedisLocation>(std::move(there), std::move(addresses));
  };
  if (!discovers()) return resolved(endpoint_.node());
  std::vector<RedisNode> known;
  {
    const std::lock_guard lock(mutex_);
    known = known_;
  }
  Result<std::shared_ptr<const RedisLocation>> found = Unavailable("Redis: nobody to ask");
  for (const RedisNode& one : known) {
    const Deadline deadline = steady_clock::now() + patience;
    const auto node =
        endpoint_.kind == Kind::kSentinel ? AskSentinel(one, deadline) : AskCluster(one, deadline);
    found = node ? resolved(*node) : std::unexpected(node.error());
    if (!found) continue;
    Learn(std::span(&one, 1));
    return found;
  }
  return found;
}

Result<std::shared_ptr<const RedisLocation>> RedisLocator::At(const RedisNode& node) const {
  RedisEndpoint there = endpoint_.At(node);
  auto addresses = NumericAddress(node.host, node.port);
  if (!addresses)
    return Unavailable(fmt::format("Redis: {}: {}", node.host, addresses.error().message));
  return std::make_shared<const RedisLocation>(std::move(there), std::move(*addresses));
}

Result<RedisNode> RedisLocator::AskSentinel(const RedisNode& sentinel, Deadline deadline) const {
  RedisEndpoint there = endpoint_.At(sentinel);
  there.kind = Kind::kServer;
  there.database = 0;
  RedisEndpoint anonymous = there;
  anonymous.user.clear();
  anonymous.password.clear();
  ASSIGN_OR_RETURN(const SocketAddresses addresses, ResolveRedis(there, deadline));
  auto connection = RedisConnection::Open(anonymous, addresses, deadline);
  if (!connection && connection.error().code == ErrorCode::kPermissionDenied &&
      !there.password.empty())
    connection = RedisConnection::Open(there, addresses, deadline);
  if (!connection) return std::unexpected(connection.error());
  const RedisCommand ask[] = {{"SENTINEL", "GET-MASTER-ADDR-BY-NAME", endpoint_.master}};
  ASSIGN_OR_RETURN(const auto replies, (*connection)->Run(ask, deadline));
  RETURN_IF_ERROR(replies[0].ToStatus(fmt::format("the Sentinel {}", sentinel.ToString())));
  const auto& parts = replies[0].elements;
  const auto port = parts.size() == 2 ? Port(parts[1].text) : std::nullopt;
  if (!port)
    return Unavailable(fmt::format("Redis: the Sentinel {} knows no master '{}'",
                                   sentinel.ToString(), endpoint_.master));
  return RedisNode{.host = parts[0].text, .port = *port};
}

Result<RedisNode> RedisLocator::AskCluster(const RedisNode& node, Deadline deadline) {
  const RedisEndpoint there = endpoint_.At(node);
  ASSIGN_OR_RETURN(const SocketAddresses addresses, ResolveRedis(there, deadline));
  ASSIGN_OR_RETURN(const auto connection, RedisConnection::Open(there, addresses, deadline));
  const RedisCommand ask[] = {{"CLUSTER", "KEYSLOT", endpoint_.key}, {"CLUSTER", "SLOTS"}};
  ASSIGN_OR_RETURN(const auto replies, connection->Run(ask, deadline));
  for (const RedisReply& reply : replies)
    RETURN_IF_ERROR(reply.ToStatus(fmt::format("the node {}", node.ToString())));
  const int64_t slot = replies[0].integer;
  std::optional<RedisNode> ours;
  std::vector<RedisNode> all;
  for (const RedisReply& range : replies[1].elements) {
    for (size_t i = 2; i < range.elements.size(); ++i) {  // the master, then its replicas
      const auto one = ToNode(range.elements[i], node);
      if (!one) continue;
      if (i == 2 && range.elements[0].integer <= slot && slot <= range.elements[1].integer)
        ours = one;
      all.push_back(*one);
    }
  }
  if (!ours)
    return Unavailable(
        fmt::format("Redis: the cluster of {} serves no slot {}", node.ToString(), slot));
  Learn(all);
  return *ours;
}

// They are asked first from now on, in the order given.
void RedisLocator::Learn(std::span<const RedisNode> nodes) {
  const std::lock_guard lock(mutex_);
  std::vector<RedisNode> known;
  const auto add = [&](const RedisNode& node) {
    if (known.size() < kKnownMax && std::ranges::find(known, node) == known.end())
      known.push_back(node);
  };
  std::ranges::for_each(nodes, add);
  // Those of the URL are never forgotten, however the cluster changes.
  std::ranges::for_each(known_, add);
  for (const RedisNode& node : endpoint_.known)
    if (std::ranges::find(known, node) == known.end()) known.push_back(node);
  known_ = std::move(known);
}

void RedisLocator::Doubt() {
  const std::lock_guard lock(mutex_);
  if (!known_.empty()) std::ranges::rotate(known_, known_.begin() + 1);
}

std::optional<RedisRedirection> ParseRedirection(const RedisReply& reply, const RedisNode& from) {
  const bool ask = reply.text.starts_with("ASK ");
  if (!reply.is_error() || (!ask && !reply.text.starts_with("MOVED "))) return std::nullopt;
  const std::string_view where = std::string_view(reply.text).substr(reply.text.rfind(' ') + 1);
  const size_t colon = where.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto port = Port(where.substr(colon + 1));
  if (!port) return std::nullopt;
  return RedisRedirection{
      .ask = ask,
      .node = {.host = std::string(colon == 0 ? from.host : where.substr(0, colon)),
               .port = *port}};
}

}  // namespace nextgate::cache
