// One Redis (or Valkey) for a whole process: a pool of connections behind a circuit breaker, so that
// no request waits past its deadline, and a Redis that is away costs nothing after a few tries.
//
// The breaker opens after `failures_max` failures in a row (time-outs, broken connections, a server
// that is loading or has become a read-only replica). While it is open every Run is refused at once.
// A keeper thread resolves, connects and probes, at first after `retry_first`, doubling up to
// `retry_max`, until a probe is answered within `probe_timeout`; its connection goes to the pool and
// the breaker closes. It starts open: the first connection is the keeper's too.
//
// Threads: all methods may be called from any thread; one thread inside ("redis-keeper").
// Invariants: (1) at most `connections_max` connections; (2) a connection on which anything failed
// is never used again; (3) one log line per change of the breaker.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "base/status.h"
#include "cache/redis/connection.h"

namespace nextgate::cache {

struct RedisClientStats {
  bool available = false;
  int64_t connections = 0;  // open now
  int64_t runs = 0;         // answered
  int64_t failures = 0;     // not answered in time, or broken
  int64_t refusals = 0;     // not tried: the breaker was open
  int64_t openings = 0;     // of the breaker
};

class RedisClient {
 public:
  struct Options {
    RedisEndpoint endpoint;
    size_t connections_max = 16;
    int failures_max = 5;
    std::chrono::milliseconds retry_first{1000};
    std::chrono::milliseconds retry_max{30'000};
    std::chrono::milliseconds connect_timeout{1000};  // the keeper's
    std::chrono::milliseconds probe_timeout{40};      // as patient as a request is
  };
  // Starts the keeper; returns at once.
  explicit RedisClient(Options options);
  ~RedisClient();
  RedisClient(const RedisClient&) = delete;
  RedisClient& operator=(const RedisClient&) = delete;

  // Waits for the first probe to end. True if Redis answered.
  bool WaitAvailable(std::chrono::milliseconds timeout);

  // The commands as one pipeline on one connection, waiting for a connection included. An error
  // reply is a reply. Errors: kUnavailable, at the latest a few ms after `deadline`.
  Result<std::vector<RedisReply>> Run(std::span<const RedisCommand> commands, Deadline deadline);

  RedisClientStats stats() const;
  const RedisEndpoint& endpoint() const { return options_.endpoint; }

 private:
  using ConnectionPtr = std::unique_ptr<RedisConnection>;

  Result<ConnectionPtr> Take(Deadline deadline);
  void GiveBack(ConnectionPtr connection);
  void Drop(const Error& error);
  void Keep();
  Result<ConnectionPtr> Probe();

  const Options options_;
  mutable std::mutex mutex_;          // guards everything below
  std::condition_variable returned_;  // a connection came back, or the breaker opened
  std::condition_variable changed_;   // for the keeper, and for WaitAvailable
  std::shared_ptr<const RedisAddresses> addresses_;
  std::vector<ConnectionPtr> idle_;
  RedisClientStats stats_;
  int failures_in_row_ = 0;
  std::chrono::milliseconds retry_;
  bool probed_ = false;
  bool stopping_ = false;
  std::thread keeper_;  // last: starts when everything above exists
};

}  // namespace nextgate::cache
