// Where a Redis or Valkey is and how to log in: one server, one that Sentinels watch over, or a cluster.
//
// Threads: values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace nextgate::cache {

struct RedisNode {
  std::string host;
  int port = 6379;

  std::string ToString() const;  // "host:port", "[::1]:port"
  bool operator==(const RedisNode&) const = default;
};

struct RedisEndpoint {
  enum class Kind { kServer, kSentinel, kCluster };

  // The server to ask. Of kSentinel and kCluster it is found out (cache/redis/locator.h).
  std::string host;
  int port = 6379;
  int database = 0;
  bool tls = false;
  std::string user;      // ACL user; empty: the default one
  std::string password;  // empty: none. Never logged
  std::string ca_file;   // PEM, for tls; empty: the system's
  Kind kind = Kind::kServer;
  std::vector<RedisNode> known;  // the Sentinels, or some nodes of the cluster
  std::string master;            // kSentinel: its name there
  // Any key of ours, whose node is the one to ask: all keys have the same hash tag. Empty: not looked at.
  std::string key;

  RedisNode node() const { return {host, port}; }
  RedisEndpoint At(const RedisNode& node) const;
  // As in the URL, but no user, no secret.
  std::string ToString() const;
};

// redis://[USER@]HOST[:PORT][/DATABASE]
// redis+sentinel://[USER@]HOST[:PORT][,HOST[:PORT]…]/MASTER[/DATABASE]   (port 26379)
// redis+cluster://[USER@]HOST[:PORT][,HOST[:PORT]…]
// rediss… with TLS. A password in the URL is refused, since command lines are read by everybody on the
// machine.
Result<RedisEndpoint> ParseRedisUrl(std::string_view url);

}  // namespace nextgate::cache
