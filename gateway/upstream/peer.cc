#include "gateway/upstream/peer.h"

#include <fmt/format.h>

#include <utility>

#include "base/log.h"

namespace nextgate::gateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr size_t kIdleMax = 64;
constexpr std::chrono::seconds kIdleFor(4);  // servers close idle connections after 5 s and more

}  // namespace

Result<Url> ParseUpstreamUrl(std::string_view text) {
  ASSIGN_OR_RETURN(Url url, ParseUrl(text));
  if (url.target.find('?') != std::string::npos)
    return InvalidArgument("an upstream's URL takes no query: expected http://HOST:PORT/v1");
  while (url.target.ends_with('/')) url.target.pop_back();
  if (!url.target.ends_with("/v1")) url.target += "/v1";
  return url;
}

UpstreamPeer::UpstreamPeer(Url base, const Breaker::Options& breaker)
    : base_(std::move(base)), breaker_(breaker) {}

std::string UpstreamPeer::Target(std::string_view path) const {
  constexpr std::string_view kVersion = "/v1";
  if (path.starts_with("/v1/")) return base_.target + std::string(path.substr(kVersion.size()));
  return base_.target.substr(0, base_.target.size() - kVersion.size()) + std::string(path);
}

std::unique_ptr<Socket> UpstreamPeer::TakeIdle() {
  std::vector<Idle> dropped;  // closed without the lock
  const std::lock_guard lock(mutex_);
  while (!idle_.empty()) {
    Idle idle = std::move(idle_.back());
    idle_.pop_back();
    if (steady_clock::now() - idle.since < kIdleFor && !idle.socket->WaitReadable(milliseconds(0)))
      return std::move(idle.socket);
    dropped.push_back(std::move(idle));
  }
  return nullptr;
}

void UpstreamPeer::KeepIdle(std::unique_ptr<Socket> socket) {
  if (socket == nullptr) return;
  const std::lock_guard lock(mutex_);
  if (idle_.size() < kIdleMax) idle_.push_back({std::move(socket), steady_clock::now()});
}

void UpstreamPeer::Begin(bool again, bool new_connection) {
  ++requests_;
  ++in_flight_;
  if (again) ++retries_;
  if (new_connection) ++connections_opened_;
}

void UpstreamPeer::Succeeded(Breaker::Attempt attempt) {
  if (breaker_.OnSuccess(attempt)) LogInfo("upstream={} it answers again", base_.ToString());
}

void UpstreamPeer::Failed(Breaker::Attempt attempt, UpstreamPhase phase, std::string_view text) {
  CountFailure(phase);
  if (!breaker_.OnFailure(attempt, steady_clock::now())) return;
  ++openings_;
  LogWarning("upstream={} phase={} error=\"{}\": it is left alone for a while", base_.ToString(),
             UpstreamPhaseName(phase), text);
}

UpstreamStats UpstreamPeer::stats() const {
  UpstreamStats stats{.url = base_.ToString(),
                      .requests = requests_.load(),
                      .retries = retries_.load(),
                      .in_flight = in_flight_.load(),
                      .connections_opened = connections_opened_.load(),
                      .breaker_openings = openings_.load(),
                      .breaker = breaker_.state()};
  for (size_t i = 0; i < kNumUpstreamPhases; ++i) stats.failures[i] = failures_[i].load();
  return stats;
}

}  // namespace nextgate::gateway
