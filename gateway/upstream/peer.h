// One upstream: where it is, its idle connections, its circuit breaker and its counters.
//
// Threads: all methods may be called from any thread.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "gateway/upstream/breaker.h"
#include "gateway/upstream/http_exchange.h"

namespace nextgate::gateway {

// "http://host:8000" or "http://host:8000/v1", any path before the /v1: what OpenAI's clients call
// base_url. No query.
Result<Url> ParseUpstreamUrl(std::string_view text);

// For /metrics; `failures` by UpstreamPhase.
struct UpstreamStats {
  std::string url;
  int64_t requests = 0;  // attempts that were begun
  int64_t retries = 0;   // of them, the second and later ones of a request
  std::array<int64_t, kNumUpstreamPhases> failures{};
  int64_t in_flight = 0;
  int64_t connections_opened = 0;
  int64_t breaker_openings = 0;
  Breaker::State breaker = Breaker::State::kClosed;
};

class UpstreamPeer {
 public:
  // `base` as ParseUpstreamUrl gave it.
  UpstreamPeer(Url base, const Breaker::Options& breaker);

  const Url& base() const { return base_; }
  // Where `path` is there: "/v1/models" or "/tokenize".
  std::string Target(std::string_view path) const;

  // An idle connection that is still open, or null.
  std::unique_ptr<Socket> TakeIdle();
  void KeepIdle(std::unique_ptr<Socket> socket);

  // Around one attempt: Begin if Admit said yes, then Succeeded, Failed or Abandoned, and End.
  bool MayAdmit() const { return breaker_.MayAdmit(std::chrono::steady_clock::now()); }
  std::optional<Breaker::Attempt> Admit() {
    return breaker_.Admit(std::chrono::steady_clock::now());
  }
  std::chrono::milliseconds UntilAdmitted() const {
    return breaker_.UntilAdmitted(std::chrono::steady_clock::now());
  }
  void Begin(bool again, bool new_connection);
  void Succeeded(Breaker::Attempt attempt);
  void Failed(Breaker::Attempt attempt, UpstreamPhase phase, std::string_view text);
  void Abandoned(Breaker::Attempt attempt) { breaker_.OnAbandoned(attempt); }
  void End() { --in_flight_; }
  // One that says nothing about whether it is there.
  void CountFailure(UpstreamPhase phase) { ++failures_[static_cast<size_t>(phase)]; }

  UpstreamStats stats() const;

 private:
  struct Idle {
    std::unique_ptr<Socket> socket;
    std::chrono::steady_clock::time_point since;
  };
  using Counter = std::atomic<int64_t>;

  const Url base_;
  Breaker breaker_;
  std::mutex mutex_;
  std::vector<Idle> idle_;  // the youngest last
  Counter requests_ = 0, retries_ = 0, in_flight_ = 0, connections_opened_ = 0, openings_ = 0;
  std::array<Counter, kNumUpstreamPhases> failures_{};
};

}  // namespace nextgate::gateway
