// One request to an upstream and its response, a step at a time: no step waits longer than it was
// told to, whatever the other side does, and each phase has a time-out of its own.
//
//   connect     resolving, TCP and TLS; each address of the host has its share of what is left
//   first byte  from there until the response's head is whole
//   idle        between two pieces of the body
//
// Threads: one at a time. Destroying it closes the connection.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/host_lookup.h"
#include "base/socket.h"
#include "gateway/http_client.h"
#include "gateway/upstream/http_response_parser.h"

namespace nextgate::gateway {

struct UpstreamTimeouts {
  std::chrono::milliseconds connect{5'000};
  std::chrono::milliseconds first_byte{600'000};
  std::chrono::milliseconds idle{120'000};
  std::chrono::milliseconds total{3'600'000};  // of a request with all attempts; see UpstreamCall
};

// What a failure happened in, for metrics and for what may be tried again.
enum class UpstreamPhase { kConnect, kFirstByte, kBody, kTotal, kStatus, kBreaker };
inline constexpr size_t kNumUpstreamPhases = 5;           // that are counted; kBreaker asks nobody
std::string_view UpstreamPhaseName(UpstreamPhase phase);  // connect, first_byte, …

struct UpstreamFailure {
  UpstreamPhase phase = UpstreamPhase::kConnect;
  bool timed_out = false;
  std::string text;  // for people; names no URL
};

class HttpExchange {
 public:
  struct Options {
    Url url;
    std::string ca_file;  // PEM; empty: the system's authorities
    UpstreamTimeouts timeouts;
    Resolver resolver = ResolveHost;
  };
  // Sends `request`, head and body as they go over the wire, on `idle`, an established connection, or
  // on one of its own if that is null.
  HttpExchange(const Options& options, std::string request, std::unique_ptr<Socket> idle);

  enum class News { kNothing, kHead, kBody, kEnd, kFailed };
  // The next news, waiting up to `timeout` for it: kHead, then kBody any number of times, then kEnd;
  // or kFailed, after which there is nothing more.
  News Step(std::chrono::milliseconds timeout);

  const HttpResponse& head() const { return parser_.head(); }  // after kHead
  std::string_view piece() const { return piece_; }            // at kBody
  const UpstreamFailure& failure() const { return failure_; }  // at kFailed
  // At kFailed: the connection had been used before and was closed before it answered, as servers do
  // with idle ones; another connection may do.
  bool stale() const { return reused_ && parser_.untouched() && !failure_.timed_out; }
  // After kEnd: the connection, if another request may follow on it; else null.
  std::unique_ptr<Socket> TakeSocket();

 private:
  using Instant = std::chrono::steady_clock::time_point;
  enum class State { kResolve, kConnect, kSend, kReceive };

  News Progress();
  News ConnectNext(std::string error);
  News SendMore();
  News ReceiveMore();
  News Fail(UpstreamPhase phase, std::string text, bool timed_out = false);
  News TimedOut();

  const Options options_;
  const std::string host_;            // without the brackets of an IPv6 address
  const std::optional<TlsPeer> tls_;  // nothing: http
  const std::string request_;
  const bool reused_;
  State state_;
  std::unique_ptr<Socket> socket_;
  std::optional<HostLookup> lookup_;  // until the addresses are known
  SocketAddresses addresses_;
  size_t next_address_ = 0;
  Instant address_deadline_{};  // of the one that is being tried
  size_t sent_ = 0;
  Instant deadline_;
  HttpResponseParser parser_;
  bool head_said_ = false;
  bool piece_said_ = false;
  std::string piece_;
  std::string malformed_;  // what is wrong after all that was said, or ""
  UpstreamFailure failure_;
};

}  // namespace nextgate::gateway
