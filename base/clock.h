// Time behind an interface, so that TTLs and deadlines can be tested without waiting.
//
// Threads: implementations are safe from any thread.
#pragma once

#include <atomic>
#include <cstdint>

namespace nextgate {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t MonotonicNs() const = 0;  // for durations and deadlines; never goes back
  virtual int64_t UnixMs() const = 0;  // wall time, for `created`, Age and TTLs that are stored

  // The machine's clock; never destroyed.
  static const Clock& System();
};

// A clock that stands still until it is told to move. For tests.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(int64_t unix_ms = 1'700'000'000'000) : unix_ms_(unix_ms) {}
  int64_t MonotonicNs() const override { return monotonic_ns_.load(); }
  int64_t UnixMs() const override { return unix_ms_.load(); }
  void AdvanceMs(int64_t ms) {
    monotonic_ns_ += ms * 1'000'000;
    unix_ms_ += ms;
  }

 private:
  std::atomic<int64_t> monotonic_ns_ = 1;
  std::atomic<int64_t> unix_ms_;
};

}  // namespace nextgate
