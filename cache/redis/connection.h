// One connection to a Redis server, on which every wait ends at a deadline: connecting, the TLS
// handshake, sending and receiving. hiredis reads and writes the protocol; the socket and the waiting
// are ours, because hiredis' time-outs are per system call (a trickling server outlasts any of them)
// and its TLS handshake has none.
//
// Threads: one at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/host_lookup.h"
#include "base/status.h"
#include "cache/redis/endpoint.h"

namespace nextgate::cache {

using Deadline = std::chrono::steady_clock::time_point;

// Arguments, any bytes.
using RedisCommand = std::vector<std::string>;

struct RedisReply {
  enum class Type { kNil, kString, kStatus, kInteger, kArray, kError };
  Type type = Type::kNil;
  std::string text;  // kString, kStatus, kError
  int64_t integer = 0;
  std::vector<RedisReply> elements;

  bool is_error() const { return type == Type::kError; }
  // kError as a Status; `what` names the command in its message.
  Status ToStatus(std::string_view what) const;
};

// Of the endpoint's host. kUnavailable if they are not known by `deadline`.
Result<SocketAddresses> ResolveRedis(const RedisEndpoint& endpoint, Deadline deadline);

class RedisConnection {
 public:
  // Connects to the first address that answers (none but the last may use up the time), logs in and selects the database; what Sentinels called
  // the master must say that it is one. Errors: kUnavailable (nobody there, not in time, no master),
  // kPermissionDenied (login, certificate).
  static Result<std::unique_ptr<RedisConnection>> Open(const RedisEndpoint& endpoint,
                                                       const SocketAddresses& addresses,
                                                       Deadline deadline);
  ~RedisConnection();
  RedisConnection(const RedisConnection&) = delete;
  RedisConnection& operator=(const RedisConnection&) = delete;

  // Sends all commands at once and reads a reply for each; an error *reply* is a reply. An Error
  // means that the connection is of no further use.
  Result<std::vector<RedisReply>> Run(std::span<const RedisCommand> commands, Deadline deadline);

  // The two halves of Run, for who waits in other ways between them.
  Status Send(std::span<const RedisCommand> commands, Deadline deadline);
  Result<RedisReply> Receive(Deadline deadline);
  // True once there is something to receive (or the connection broke), false if `timeout` passed first.
  bool WaitReadable(std::chrono::milliseconds timeout) const;

  // Nothing has arrived that nobody asked for, and the server has not closed. For idle connections.
  bool Usable() const;

 private:
  struct Impl;
  explicit RedisConnection(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace nextgate::cache
