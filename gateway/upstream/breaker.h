// A circuit breaker: after so many failures in a row nobody is sent there for a while, then one is, to
// see. Closed → open (1 s) → half open → closed, or open again for twice as long, 30 s at most.
//
// Invariant: only what was sent in the present state counts; how a request ends that was sent before the
// breaker opened says nothing about now, and does not stand in for the one that tries.
//
// Threads: all methods may be called from any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string_view>

namespace nextgate::gateway {

class Breaker {
 public:
  using Instant = std::chrono::steady_clock::time_point;
  struct Options {
    int failures_max = 5;  // in a row
    std::chrono::milliseconds open_min{1000};
    std::chrono::milliseconds open_max{30'000};
  };
  enum class State { kClosed, kOpen, kHalfOpen };

  Breaker() : Breaker(Options{}) {}
  explicit Breaker(const Options& options) : options_(options), open_for_(options.open_min) {}

  // A request that was let through, to be handed back with what became of it.
  using Attempt = int64_t;

  // Whether Admit would say yes.
  bool MayAdmit(Instant now) const;
  // Whether to send a request now; nothing: no. Whoever got a yes reports one of the three below.
  std::optional<Attempt> Admit(Instant now);

  // What became of it. They return true if the breaker closed or opened, for one log line; not for opening
  // again.
  bool OnSuccess(Attempt attempt);
  bool OnFailure(Attempt attempt, Instant now);
  void OnAbandoned(Attempt attempt);  // it was given up before it was known

  State state() const;
  // When the next one may try; `now` if it may.
  std::chrono::milliseconds UntilAdmitted(Instant now) const;

 private:
  const Options options_;
  mutable std::mutex mutex_;  // guards everything below
  State state_ = State::kClosed;
  Attempt present_ =
      0;  // of all that were let through since the state changed, or the one that tries
  int failures_ = 0;
  bool trying_ = false;  // half open, and one is on its way
  Instant opens_until_{};
  std::chrono::milliseconds open_for_;
};

std::string_view BreakerStateName(Breaker::State state);  // closed, open, half_open

}  // namespace nextgate::gateway
