// The addresses of a host, no later than somebody waits for them: the system's resolver knows no
// deadline, so a thread asks it, whose late answer nobody hears. What is an address already needs no
// thread. Who asks for a host that is being asked for shares that answer, so a resolver that hangs holds
// one thread per host and port, however many requests there are.
//
// Threads: one at a time per object; threads inside ("resolver"), which may outlive it. Source: getaddrinfo(3).
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"

namespace nextgate {

// Bytes of a sockaddr each.
using SocketAddresses = std::vector<std::string>;

// At least one, or kUnavailable. Names no host.
using Resolver = std::function<Result<SocketAddresses>(const std::string& host, int port)>;

// The system's, in its order. Blocks as long as it likes.
Result<SocketAddresses> ResolveHost(const std::string& host, int port);

// Of an address without brackets; an error if it is a name. Never blocks.
Result<SocketAddresses> NumericAddress(const std::string& host, int port);

class HostLookup {
 public:
  using Instant = std::chrono::steady_clock::time_point;

  // Begins. `resolver` may be called when this object is gone.
  HostLookup(const std::string& host, int port, const Resolver& resolver = ResolveHost);

  // Nothing if it is not known by `until`. May be called again.
  std::optional<Result<SocketAddresses>> Wait(Instant until);

 private:
  struct Answer;
  static std::shared_ptr<Answer> Ask(const std::string& host, int port, const Resolver& resolver);
  std::shared_ptr<Answer> answer_;
};

// Until when to try the first of `addresses_left`, so that one that swallows everything leaves the others
// their share of the time to `deadline`.
std::chrono::steady_clock::time_point TryUntil(std::chrono::steady_clock::time_point deadline,
                                               size_t addresses_left);

}  // namespace nextgate
