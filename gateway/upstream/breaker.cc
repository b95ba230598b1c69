#include "gateway/upstream/breaker.h"

#include <algorithm>

namespace nextgate::gateway {

bool Breaker::MayAdmit(Instant now) const {
  const std::lock_guard lock(mutex_);
  if (state_ == State::kClosed) return true;
  return !trying_ && now >= opens_until_;
}

bool Breaker::Admit(Instant now) {
  const std::lock_guard lock(mutex_);
  if (state_ == State::kClosed) return true;
  if (trying_ || now < opens_until_) return false;
  state_ = State::kHalfOpen;
  return trying_ = true;
}

bool Breaker::OnSuccess() {
  const std::lock_guard lock(mutex_);
  const bool changed = state_ != State::kClosed;
  state_ = State::kClosed;
  failures_ = 0;
  trying_ = false;
  open_for_ = options_.open_min;
  return changed;
}

bool Breaker::OnFailure(Instant now) {
  const std::lock_guard lock(mutex_);
  trying_ = false;
  if (state_ == State::kOpen) return false;  // of one sent before it opened
  const bool again = state_ == State::kHalfOpen;
  if (!again && ++failures_ < options_.failures_max) return false;
  if (again) open_for_ = std::min(2 * open_for_, options_.open_max);
  state_ = State::kOpen;
  opens_until_ = now + open_for_;
  return !again;
}

void Breaker::OnAbandoned() {
  const std::lock_guard lock(mutex_);
  trying_ = false;
}

Breaker::State Breaker::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

std::chrono::milliseconds Breaker::UntilAdmitted(Instant now) const {
  const std::lock_guard lock(mutex_);
  if (state_ == State::kClosed || now >= opens_until_) return std::chrono::milliseconds(0);
  return std::chrono::ceil<std::chrono::milliseconds>(opens_until_ - now);
}

std::string_view BreakerStateName(Breaker::State state) {
  switch (state) {
    case Breaker::State::kClosed:
      return "closed";
    case Breaker::State::kOpen:
      return "open";
    case Breaker::State::kHalfOpen:
      return "half_open";
  }
  return "";
}

}  // namespace nextgate::gateway
