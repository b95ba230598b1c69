#include "gateway/upstream/call.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <random>
#include <thread>
#include <utility>

#include "base/log.h"

namespace nextgate::gateway {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

bool IsRetried(int status) {
  return status == 429 || status == 502 || status == 503 || status == 504;
}

milliseconds Jitter(milliseconds bound) {
  thread_local std::minstd_rand random(std::random_device{}());
  return milliseconds(std::uniform_int_distribution<int64_t>(0, bound.count())(random));
}

// Whole seconds; a date or nonsense counts as not given.
milliseconds RetryAfter(const HttpHeaders& headers) {
  const std::string_view text = FindHeader(headers, "Retry-After");
  int64_t seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size() || seconds < 0)
    return milliseconds(0);
  return milliseconds(1000 * std::min<int64_t>(seconds, 1'000'000));
}

}  // namespace

UpstreamCall::UpstreamCall(const CallSettings& settings, UpstreamRequest request)
    : settings_(settings),
      request_(std::move(request)),
      total_deadline_(steady_clock::now() + settings.timeouts.total) {}

UpstreamCall::~UpstreamCall() { EndAttempt(); }

void UpstreamCall::EndAttempt() {
  if (std::exchange(undecided_, false)) settings_.peers[peer_idx_]->Abandoned(attempt_);
  if (std::exchange(in_flight_, false)) settings_.peers[peer_idx_]->End();
}

UpstreamCall::News UpstreamCall::Step(milliseconds timeout) {
  const Instant now = steady_clock::now();
  if (now >= total_deadline_) {
    if (in_flight_) settings_.peers[peer_idx_]->CountFailure(UpstreamPhase::kTotal);
    return Fail({.phase = UpstreamPhase::kTotal,
                 .timed_out = true,
                 .text = "the answer was not finished in time"});
  }
  if (exchange_ == nullptr) {
    if (now < wait_until_) {
      std::this_thread::sleep_for(std::min<steady_clock::duration>(timeout, wait_until_ - now));
      return News::kNothing;
    }
    if (!BeginAttempt()) return Fail(failure_);
  }
  const News news = exchange_->Step(timeout);
  if (news == News::kHead) return OnHead();
  if (news == News::kFailed) return OnFailed();
  if (news == News::kEnd) {
    settings_.peers[peer_idx_]->KeepIdle(exchange_->TakeSocket());
    EndAttempt();
  }
  return news;
}

// The first peer from `from` on that a request may go to; the number of peers if there is none.
size_t UpstreamCall::NextAdmitted(size_t from) const {
  while (from < settings_.peers.size() && !settings_.peers[from]->MayAdmit()) ++from;
  return from;
}

bool UpstreamCall::BeginAttempt() {
  while (true) {
    peer_idx_ = NextAdmitted(peer_idx_);
    if (peer_idx_ == settings_.peers.size()) {
      if (attempts_ == 0)
        failure_ = {.phase = UpstreamPhase::kBreaker, .text = "it has failed before"};
      peer_idx_ = 0;
      return false;
    }
    if (const auto attempt = settings_.peers[peer_idx_]->Admit()) {
      attempt_ = *attempt;
      break;
    }
  }
  UpstreamPeer& peer = *settings_.peers[peer_idx_];
  std::unique_ptr<Socket> idle = std::exchange(fresh_, false) ? nullptr : peer.TakeIdle();
  peer.Begin(attempts_++ > 0, idle == nullptr);
  in_flight_ = undecided_ = true;
  exchange_ = std::make_unique<HttpExchange>(
      HttpExchange::Options{
          .url = peer.base(), .ca_file = settings_.ca_file, .timeouts = settings_.timeouts},
      RequestBytes(peer), std::move(idle));
  return true;
}

std::string UpstreamCall::RequestBytes(const UpstreamPeer& peer) const {
  const Url& url = peer.base();
  const bool default_port = url.port == (url.scheme == "https" ? 443 : 80);
  std::string bytes =
      fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\n", request_.method, peer.Target(request_.path),
                  default_port ? url.host : fmt::format("{}:{}", url.host, url.port));
  bytes += "User-Agent: nextgate\r\nAccept-Encoding: identity\r\n";
  if (!settings_.api_key.empty())
    bytes += fmt::format("Authorization: Bearer {}\r\n", settings_.api_key);
  for (const auto& [name, value] : request_.headers)
    if (!value.empty()) bytes += fmt::format("{}: {}\r\n", name, value);
  if (request_.method != "GET")
    bytes += fmt::format("Content-Length: {}\r\n", request_.body.size());
  bytes += "\r\n";
  return bytes += request_.body;
}

UpstreamCall::News UpstreamCall::OnHead() {
  const int status = exchange_->head().status;
  UpstreamPeer& peer = *settings_.peers[peer_idx_];
  undecided_ = false;
  if (IsRetried(status) && status != 429) {
    peer.Failed(attempt_, UpstreamPhase::kStatus,
                fmt::format("it answered with status {}", status));
  } else {
    peer.Succeeded(attempt_);  // it is there
  }
  // Told if the peers are left alone before it can be asked again.
  failure_ = {.phase = UpstreamPhase::kBreaker,
              .text = fmt::format("it answered with status {}", status)};
  if (IsRetried(status) && TryAgain(true, RetryAfter(exchange_->head().headers)))
    return News::kNothing;
  answered_ = true;
  return News::kHead;
}

UpstreamCall::News UpstreamCall::OnFailed() {
  const UpstreamFailure failure = exchange_->failure();
  UpstreamPeer& peer = *settings_.peers[peer_idx_];
  if (exchange_->stale()) {  // says nothing about the upstream
    fresh_ = true;
    GoOnAt(peer_idx_);
    return News::kNothing;
  }
  undecided_ = false;
  peer.Failed(attempt_, failure.phase, failure.text);
  LogDebug("req={} upstream={} phase={} error=\"{}\"", request_.id, peer.base().ToString(),
           UpstreamPhaseName(failure.phase), failure.text);
  const bool same_allowed = !(failure.phase == UpstreamPhase::kFirstByte && failure.timed_out);
  if (answered_ || !TryAgain(same_allowed, milliseconds(0))) return Fail(failure);
  failure_ = failure;
  return News::kNothing;
}

// Prepares another attempt if there is to be one.
bool UpstreamCall::TryAgain(bool same_allowed, milliseconds at_least) {
  const size_t next = NextAdmitted(peer_idx_ + 1);
  if (next < settings_.peers.size()) {
    GoOnAt(next);
    return true;
  }
  if (!same_allowed || round_ + 1 >= settings_.rounds_max) return false;
  const milliseconds bound =
      std::min(settings_.backoff_max, settings_.backoff_min * (1 << std::min(round_, 10)));
  const milliseconds pause = std::max(at_least, Jitter(bound));
  const Instant until = steady_clock::now() + pause;
  const size_t first = NextAdmitted(0);
  if (waited_ + pause > settings_.wait_max || until >= total_deadline_ ||
      first == settings_.peers.size())
    return false;
  waited_ += pause;
  ++round_;
  wait_until_ = until;
  GoOnAt(first);
  return true;
}

void UpstreamCall::GoOnAt(size_t peer_idx) {
  EndAttempt();
  exchange_.reset();
  peer_idx_ = peer_idx;
}

UpstreamCall::News UpstreamCall::Fail(UpstreamFailure failure) {
  failure_ = std::move(failure);
  EndAttempt();
  return News::kFailed;
}

milliseconds UpstreamCall::retry_in() const {
  milliseconds least = milliseconds::max();
  for (const auto& peer : settings_.peers) least = std::min(least, peer->UntilAdmitted());
  return least;
}

}  // namespace nextgate::gateway
