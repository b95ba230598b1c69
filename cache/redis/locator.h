// Finds the server to ask:
//
//   one server  its host is resolved
//   Sentinels   the first of them that answers says where the master is; that it is one is asked of the
//               server itself when it is connected to (RedisConnection::Open)
//   a cluster   the first known node that answers says on which node our keys are: all have the same
//               hash tag, hence the same slot. It also says which other nodes there are; they are asked
//               too the next time
//
// Who answered is asked first the next time. A Sentinel gets the login only if it wants one.
//
// Threads: all methods may be called from any thread.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/status.h"
#include "cache/redis/connection.h"
#include "cache/redis/endpoint.h"

namespace nextgate::cache {

// A server, and how to get there.
struct RedisLocation {
  RedisEndpoint endpoint;  // host and port are the server's
  SocketAddresses addresses;
};

class RedisLocator {
 public:
  explicit RedisLocator(RedisEndpoint endpoint);

  // Blocks up to `patience` for each Sentinel or node that has to be asked, and for looking up the name of
  // the server. Errors: kUnavailable, kPermissionDenied (nobody knows; the last one's reason).
  Result<std::shared_ptr<const RedisLocation>> Locate(std::chrono::milliseconds patience);

  // A node of the cluster that a redirection names; never blocks. Errors: it is a name and no address,
  // which takes a resolver.
  Result<std::shared_ptr<const RedisLocation>> At(const RedisNode& node) const;

  // Who answered last was wrong, or may have been: the others are asked first the next time.
  void Doubt();

  // Another server may be found the next time.
  bool discovers() const { return endpoint_.kind != RedisEndpoint::Kind::kServer; }

 private:
  Result<RedisNode> AskSentinel(const RedisNode& sentinel, Deadline deadline) const;
  Result<RedisNode> AskCluster(const RedisNode& node, Deadline deadline);
  void Learn(std::span<const RedisNode> nodes);

  const RedisEndpoint endpoint_;
  std::mutex mutex_;              // guards what is below
  std::vector<RedisNode> known_;  // those that are asked, in this order
};

// "MOVED 3999 127.0.0.1:6381" and "ASK …": where to. An empty host is the one that said it.
struct RedisRedirection {
  bool ask = false;  // for this once
  RedisNode node;
};
// Nothing: the reply is none.
std::optional<RedisRedirection> ParseRedirection(const RedisReply& reply, const RedisNode& from);

}  // namespace nextgate::cache
