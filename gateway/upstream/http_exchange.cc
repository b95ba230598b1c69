#include "gateway/upstream/http_exchange.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace nextgate::gateway {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr int kReadsMax = 16;

std::string HostName(const Url& url) {
  return url.host.starts_with('[') ? url.host.substr(1, url.host.size() - 2) : url.host;
}

}  // namespace

std::string_view UpstreamPhaseName(UpstreamPhase phase) {
  switch (phase) {
    case UpstreamPhase::kConnect:
      return "connect";
    case UpstreamPhase::kFirstByte:
      return "first_byte";
    case UpstreamPhase::kBody:
      return "body";
    case UpstreamPhase::kTotal:
      return "total";
    case UpstreamPhase::kStatus:
      return "status";
    case UpstreamPhase::kBreaker:
      return "breaker";
  }
  return "";
}

HttpExchange::HttpExchange(const Options& options, std::string request,
                           std::unique_ptr<Socket> idle)
    : options_(options),
      host_(HostName(options.url)),
      tls_(options.url.scheme == "https"
               ? std::optional(TlsPeer{.host = host_, .ca_file = options.ca_file})
               : std::nullopt),
      request_(std::move(request)),
      reused_(idle != nullptr),
      state_(reused_ ? State::kSend : State::kResolve),
      socket_(std::move(idle)),
      deadline_(steady_clock::now() +
                (reused_ ? options.timeouts.first_byte : options.timeouts.connect)) {}

HttpExchange::News HttpExchange::Step(milliseconds timeout) {
  const Instant until = steady_clock::now() + timeout;
  while (true) {
    if (const News news = Progress(); news != News::kNothing) return news;
    const Instant now = steady_clock::now();
    if (now >= deadline_) return TimedOut();
    if (now >= until) return News::kNothing;
    const Instant by = std::min(until, deadline_);
    if (state_ == State::kResolve) {
      lookup_->Wait(by);
    } else if (socket_ != nullptr) {
      socket_->Wait(state_ == State::kConnect ? std::min(by, address_deadline_) : by,
                    /*either_way=*/state_ == State::kSend);
    }
  }
}

// As far as it goes without waiting.
HttpExchange::News HttpExchange::Progress() {
  if (state_ == State::kResolve) {
    if (!lookup_) lookup_.emplace(host_, options_.url.port, options_.resolver);
    auto addresses = lookup_->Wait(Instant{});
    if (!addresses) return News::kNothing;
    if (!*addresses) return Fail(UpstreamPhase::kConnect, addresses->error().message);
    addresses_ = std::move(**addresses);
    state_ = State::kConnect;
  }
  if (state_ == State::kConnect) {
    if (socket_ == nullptr) return ConnectNext("");
    const auto established = socket_->Established();
    if (!established) return ConnectNext(established.error().message);
    if (!*established) {
      // Where nothing comes back the others may be reachable.
      if (next_address_ == addresses_.size() || steady_clock::now() < address_deadline_)
        return News::kNothing;
      return ConnectNext("no connection in time");
    }
    state_ = State::kSend;
    deadline_ = steady_clock::now() + options_.timeouts.first_byte;
  }
  if (state_ == State::kSend) return SendMore();
  return ReceiveMore();
}

// `error`: of the address before, or "" if there was none.
HttpExchange::News HttpExchange::ConnectNext(std::string error) {
  while (next_address_ < addresses_.size()) {
    address_deadline_ = TryUntil(deadline_, addresses_.size() - next_address_);
    auto socket = Socket::Connect(addresses_[next_address_++], tls_);
    if (socket) {
      socket_ = std::move(*socket);
      return News::kNothing;
    }
    error = socket.error().message;
  }
  return Fail(UpstreamPhase::kConnect, std::move(error));
}

HttpExchange::News HttpExchange::SendMore() {
  while (sent_ < request_.size()) {
    const auto sent = socket_->Send(std::string_view(request_).substr(sent_));
    if (!sent) {  // it may have answered before it had read everything: see
      sent_ = request_.size();
      state_ = State::kReceive;
      const News news = ReceiveMore();
      return news == News::kNothing ? Fail(UpstreamPhase::kFirstByte, sent.error().message) : news;
    }
    if (*sent == 0) {
      // What answers before it has read everything (413) may read no more.
      const News news = ReceiveMore();
      if (parser_.has_head() || news != News::kNothing) state_ = State::kReceive;
      return news;
    }
    sent_ += *sent;
  }
  state_ = State::kReceive;
  deadline_ = steady_clock::now() + options_.timeouts.first_byte;
  return ReceiveMore();
}

HttpExchange::News HttpExchange::ReceiveMore() {
  if (std::exchange(piece_said_, false)) piece_.clear();
  // Not for ever, even if what comes is no news: the deadlines are looked at between the calls.
  for (int reads = 0; reads < kReadsMax; ++reads) {
    const UpstreamPhase phase = head_said_ ? UpstreamPhase::kBody : UpstreamPhase::kFirstByte;
    if (parser_.has_head() && !std::exchange(head_said_, true)) return News::kHead;
    if (!piece_.empty()) {
      piece_said_ = true;
      return News::kBody;
    }
    if (!malformed_.empty()) return Fail(phase, malformed_);
    if (parser_.done()) return News::kEnd;
    std::array<char, 32 << 10> buffer;
    const auto received = socket_->Receive(buffer);
    if (!received) return Fail(phase, received.error().message);
    if (received->closed) {
      if (const Status status = parser_.Close(); !status)
        return Fail(phase, status.error().message);
      continue;
    }
    if (received->size == 0) return News::kNothing;
    const Status status = parser_.Feed({buffer.data(), received->size}, piece_);
    if (!status) malformed_ = "not an HTTP response: " + status.error().message;
    if (parser_.has_head()) deadline_ = steady_clock::now() + options_.timeouts.idle;
  }
  return News::kNothing;
}

HttpExchange::News HttpExchange::Fail(UpstreamPhase phase, std::string text, bool timed_out) {
  failure_ = {.phase = phase, .timed_out = timed_out, .text = std::move(text)};
  socket_.reset();
  return News::kFailed;
}

HttpExchange::News HttpExchange::TimedOut() {
  const auto said = [](milliseconds limit) {
    return limit.count() % 1000 == 0 ? fmt::format("{} s", limit.count() / 1000)
                                     : fmt::format("{} ms", limit.count());
  };
  const UpstreamTimeouts& limits = options_.timeouts;
  if (state_ == State::kResolve || state_ == State::kConnect)
    return Fail(UpstreamPhase::kConnect, fmt::format("no connection in {}", said(limits.connect)),
                true);
  if (!head_said_)
    return Fail(UpstreamPhase::kFirstByte, fmt::format("no answer in {}", said(limits.first_byte)),
                true);
  return Fail(UpstreamPhase::kBody, fmt::format("nothing more for {}", said(limits.idle)), true);
}

std::unique_ptr<Socket> HttpExchange::TakeSocket() {
  if (!parser_.done() || !parser_.reusable() || sent_ < request_.size()) return nullptr;
  return std::move(socket_);
}

}  // namespace nextgate::gateway
