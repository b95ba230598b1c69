#include "gateway/live_requests.h"

#include <utility>

namespace nextgate::gateway {

LiveRequests::Handle::Handle(LiveRequests& home, Request request)
    : home_(home), request_(std::move(request)), phase_(request_.phase), tokens_(request_.tokens) {
  const std::lock_guard lock(home_.mutex_);
  number_ = home_.next_++;
  home_.handles_.emplace(number_, this);
}

LiveRequests::Handle::~Handle() {
  const std::lock_guard lock(home_.mutex_);
  home_.handles_.erase(number_);
}

std::unique_ptr<LiveRequests::Handle> LiveRequests::Enter(Request request) {
  return std::make_unique<Handle>(*this, std::move(request));
}

int64_t LiveRequests::size() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int64_t>(handles_.size());
}

std::vector<LiveRequests::Request> LiveRequests::Oldest(size_t most) const {
  std::vector<Request> requests;
  const std::lock_guard lock(mutex_);
  for (const auto& [number, handle] : handles_) {
    if (requests.size() >= most) break;
    requests.push_back(handle->request_);
    requests.back().phase = handle->phase_.load(std::memory_order_relaxed);
    requests.back().tokens = handle->tokens_.load(std::memory_order_relaxed);
  }
  return requests;
}

std::string_view PhaseName(LiveRequests::Phase phase) {
  switch (phase) {
    case LiveRequests::Phase::kLookup:
      return "lookup";
    case LiveRequests::Phase::kReplay:
      return "replay";
    case LiveRequests::Phase::kFollow:
      return "follow";
    case LiveRequests::Phase::kGenerate:
      return "generate";
  }
  return "";
}

}  // namespace nextgate::gateway
