// One request to the first of several upstreams that takes it. Before the first byte of a response it
// is tried again: at the next upstream at once, and when all have failed, from the first again after
// a pause (full jitter: uniform from 0 to a bound that doubles; a Retry-After is waited for). Tried
// again are connections that fail, break or are refused, and 502, 503, 504 and 429; an answer that
// does not come in time is not asked for twice at the same upstream. The last reply is passed on as
// it is.
//
// Threads: one at a time. Destroying it closes the connection, so the upstream can stop.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/upstream/http_exchange.h"
#include "gateway/upstream/peer.h"

namespace nextgate::gateway {

struct UpstreamRequest {
  std::string method = "POST";
  std::string path;  // "/v1/chat/completions", "/tokenize"
  HttpHeaders headers;
  std::string body;
  std::string id;  // for logs
};

struct CallSettings {
  std::vector<std::shared_ptr<UpstreamPeer>> peers;  // in order of preference; at least one
  std::string api_key;                               // sent as a bearer token; may be empty
  std::string ca_file;
  UpstreamTimeouts timeouts;
  int rounds_max = 3;  // through all peers
  std::chrono::milliseconds backoff_min{200};
  std::chrono::milliseconds backoff_max{5'000};
  std::chrono::milliseconds wait_max{10'000};  // of all pauses together
};

class UpstreamCall {
 public:
  // `settings` must outlive the call.
  UpstreamCall(const CallSettings& settings, UpstreamRequest request);
  ~UpstreamCall();
  UpstreamCall(const UpstreamCall&) = delete;
  UpstreamCall& operator=(const UpstreamCall&) = delete;

  using News = HttpExchange::News;
  // As HttpExchange::Step, over all attempts.
  News Step(std::chrono::milliseconds timeout);
  const HttpResponse& head() const { return exchange_->head(); }
  std::string_view piece() const { return exchange_->piece(); }
  const UpstreamFailure& failure() const { return failure_; }
  // At kFailed of phase kBreaker: when an upstream may be asked again.
  std::chrono::milliseconds retry_in() const;

 private:
  using Instant = std::chrono::steady_clock::time_point;

  bool BeginAttempt();
  News OnHead();
  News OnFailed();
  bool TryAgain(bool same_allowed, std::chrono::milliseconds at_least);
  void GoOnAt(size_t peer_idx);
  size_t NextAdmitted(size_t from) const;
  std::string RequestBytes(const UpstreamPeer& peer) const;
  void EndAttempt();
  News Fail(UpstreamFailure failure);

  const CallSettings& settings_;
  const UpstreamRequest request_;
  const Instant total_deadline_;
  std::unique_ptr<HttpExchange> exchange_;  // null between attempts
  bool in_flight_ = false;                  // of peer_idx_
  Breaker::Attempt attempt_ = 0;            // the one that is, or was, in flight
  bool undecided_ = false;                  // its breaker waits to hear what became of the attempt
  bool answered_ = false;                   // a head was passed on: nothing is tried again
  size_t peer_idx_ = 0;
  int round_ = 0;
  int attempts_ = 0;
  bool fresh_ = false;  // the next attempt takes no idle connection
  Instant wait_until_{};
  std::chrono::milliseconds waited_{0};
  UpstreamFailure failure_;
};

}  // namespace nextgate::gateway
