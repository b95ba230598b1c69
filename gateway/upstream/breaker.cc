#include "gateway/upstream/breaker.h"

#include <algorithm>

namespace nextgate::gateway {

bool Breaker::MayAdmit(Instant now) const {
  const std::lock_guard lock(mutex_);
  if (state_ == State::kClosed) return true;
  return !trying_ && now >= opens_until_;
}

std::optional<Breaker::Attempt> Breaker::Admit(Instant now) {
  const std::lock_guard lock(mutex_);
  if (state_ == State::kClosed) return present_;
  if (trying_ || now < opens_until_) return std::nullopt;
  state_ = State::kHalfOpen;
  trying_ = true;
  return ++present_;
}

bool Breaker::OnSuccess(Attempt attempt) {
  const std::lock_guard lock(mutex_);
  if (attempt != present_) return false;
  failures_ = 0;
  if (state_ == State::kClosed) return false;
  state_ = State::kClosed;
  ++present_;
  trying_ = false;
  open_for_ = options_.open_min;
  return true;
}

bool Breaker::OnFailure(Attempt attempt, Instant now) {
  const std::lock_guard lock(mutex_);
  if (attempt != present_) return false;
  const bool again = state_ == State::kHalfOpen;
  if (!again && ++failures_ < options_.failures_max) return false;
  if (again) open_for_ = std::min(2 * open_for_, options_.open_max);
  state_ = State::kOpen;
  ++present_;
  trying_ = false;
  opens_until_ = now + open_for_;
  return !again;
}

void Breaker::OnAbandoned(Attempt attempt) {
  const std::lock_guard lock(mutex_);
  if (attempt == present_) trying_ = false;
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
