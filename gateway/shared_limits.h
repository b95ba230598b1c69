// What an API key has used of its limits, counted in Redis for all instances together:
//
//   {namespace}:limit:<key>           a hash: what is left of the requests (r) and tokens (t) of a minute,
//                                     and since when (rat, tat: ms of Redis' clock)
//   {namespace}:limit:<key>:running   a sorted set: tickets of running requests, by the end of their lease
//
// <key> is the beginning of the SHA-256 of the API key. One script per question, which sees and changes
// both at once. What is left grows back evenly, a whole minute's worth a minute, up to that much. Leases
// are renewed by a thread; those of an instance that died end by themselves.
//
// Threads: all methods may be called from any thread; one thread inside ("limits-keeper").
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "base/status.h"
#include "cache/redis/client.h"
#include "gateway/principal.h"

namespace nextgate::gateway {

enum class Limit : uint8_t { kNone, kRequests, kTokens, kConcurrency };

// What became of a question, and what is left after it.
struct LimitVerdict {
  Limit refused = Limit::kNone;
  int64_t wait_ms = 0;  // refused: until it might be granted
  int64_t requests_left = 0;
  int64_t tokens_left = 0;  // below 0: more was used than there was
};

class SharedLimits {
 public:
  struct Options {
    std::string name_space = "nextgate";
    // A request asks twice at most, and once only if Redis did not answer the first time, so that it
    // never waits longer than it would for its look-up and 10 ms.
    std::chrono::milliseconds budget{10};
    std::chrono::milliseconds settle_budget{40};  // after the last byte
    std::chrono::milliseconds lease{30'000};
  };
  // `client` must outlive this.
  SharedLimits(Options options, cache::RedisClient& client);
  ~SharedLimits();
  SharedLimits(const SharedLimits&) = delete;
  SharedLimits& operator=(const SharedLimits&) = delete;

  // One request begins, as `ticket`. Errors: Redis did not answer in time; what it did is then settled
  // by Settle, or by the lease's end.
  Result<LimitVerdict> Begin(const Principal& principal, const std::string& ticket);
  // It may take up to so many tokens.
  Result<LimitVerdict> Reserve(const Principal& principal, int64_t tokens);
  // It has ended; `tokens_back` of what was reserved were not used (negative: more were).
  Status Settle(const Principal& principal, const std::string& ticket, int64_t tokens_back);

 private:
  struct Question {
    const char* kind;  // "begin", "reserve", "settle"
    int64_t tokens = 0;
    std::string ticket;
    std::chrono::milliseconds budget;
  };
  Result<LimitVerdict> Ask(const Principal& principal, const Question& question);
  std::string Key(const std::string& principal_id) const;
  void Keep();
  void Renew();

  const Options options_;
  cache::RedisClient& client_;
  std::mutex mutex_;  // guards everything below
  std::condition_variable changed_;
  std::map<std::string, std::string> tickets_;  // running → principal's id
  bool stopping_ = false;
  std::thread keeper_;  // last: starts when everything above exists
};

}  // namespace nextgate::gateway
