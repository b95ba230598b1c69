// One Redis (or Valkey) for a whole process: a pool of connections behind a circuit breaker, so that
// no request waits past its deadline, and a Redis that is away costs nothing after a few tries.
//
// The breaker opens after `failures_max` failures in a row (time-outs, broken connections, a server
// that is loading or has become a read-only replica). While it is open every Run is refused at once.
// A keeper thread locates, connects and probes, at first after `retry_first`, doubling up to
// `retry_max`, until a probe is answered within `probe_timeout`; its connection goes to the pool and
// the breaker closes. It starts open: the first connection is the keeper's too.
//
// Where Sentinels or a cluster say which server it is, one that says that it is not (any more) opens
// the breaker at once, and the keeper asks them without waiting; while one is away it asks them every
// half `retry_first`, and probes when they name another. A cluster's redirections are followed within
// the same Run: MOVED moves all connections, ASK is for the commands that it answered.
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
#include "cache/redis/locator.h"

namespace nextgate::cache {

struct RedisClientStats {
  bool available = false;
  int64_t connections = 0;  // open now
  int64_t runs = 0;         // answered
  int64_t failures = 0;     // not answered in time, or broken
  int64_t refusals = 0;     // not tried: the breaker was open
  int64_t openings = 0;     // of the breaker
  int64_t moves = 0;        // to another server
};

class RedisClient {
 public:
  struct Options {
    RedisEndpoint endpoint;
    size_t connections_max = 16;
    int failures_max = 5;
    std::chrono::milliseconds retry_first{1000};
    std::chrono::milliseconds retry_max{5'000};       // a PING costs little
    std::chrono::milliseconds connect_timeout{1000};  // the keeper's
    std::chrono::milliseconds probe_timeout{40};      // as patient as a request is
    std::chrono::milliseconds locate_timeout{500};    // of one Sentinel or node of a cluster
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

  using Location = std::shared_ptr<const RedisLocation>;
  struct Pooled {
    ConnectionPtr connection;
    Location location;
  };

  Result<std::vector<RedisReply>> RunOnce(std::span<const RedisCommand> commands, Deadline deadline,
                                          RedisNode* asked);
  Status Redirect(std::span<const RedisCommand> commands, std::vector<RedisReply>& replies,
                  RedisNode asked, Deadline deadline);
  Result<Pooled> Take(Deadline deadline);
  void GiveBack(Pooled pooled);
  void Fail(const Error& error, int connections, bool elsewhere);
  void MoveTo(Location location);
  void Keep();
  void AwaitTurn(std::unique_lock<std::mutex>& lock);
  Result<Pooled> Probe();
  Status Fitness(const RedisReply& reply) const;

  const Options options_;
  RedisLocator locator_;
  mutable std::mutex mutex_;          // guards everything below
  std::condition_variable returned_;  // a connection came back, or the breaker opened
  std::condition_variable changed_;   // for the keeper, and for WaitAvailable
  Location location_;                 // of the last server that was fit; null at first
  std::vector<Pooled> idle_;          // all there
  RedisNode tried_;                   // the server of the last probe
  RedisClientStats stats_;
  int failures_in_row_ = 0;
  std::chrono::milliseconds retry_;
  bool probed_ = false;
  bool elsewhere_ = false;  // the breaker opened because it is another server now
  bool stopping_ = false;
  std::thread keeper_;  // last: starts when everything above exists
};

}  // namespace nextgate::cache
