// Small work that others want done by the engine thread, between two of its steps.
//
// Invariants: whoever asks gets one answer, the errand's or an error; an errand of which an error was told
// is never run.
//
// Threads: Do and Close from any thread, Run on the engine thread. An errand may outlive whoever asked
// for it, and must own what it needs of them.
#pragma once

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <future>
#include <memory>
#include <utility>

#include "base/queue.h"
#include "base/status.h"

namespace nextgate::engine {

class Errands {
 public:
  static constexpr size_t kWaitingMax = 64;

  explicit Errands(std::chrono::milliseconds patience = std::chrono::seconds(10))
      : patience_(patience) {}

  // Waits for the errand's result. kUnavailable: closed; kResourceExhausted: too many wait already;
  // kDeadlineExceeded: the engine thread did not come round in time.
  template <class T>
  Result<T> Do(std::function<T()> errand) {
    struct Shared {
      std::atomic<bool> taken = false;  // by the engine thread, or back by who asked
      std::promise<T> done;
    };
    auto shared = std::make_shared<Shared>();
    std::future<T> done = shared->done.get_future();
    const auto run = [shared, errand = std::move(errand)] {
      if (!shared->taken.exchange(true)) shared->done.set_value(errand());
    };
    if (!queue_.TryPush(run)) {
      if (queue_.closed()) return MakeError(ErrorCode::kUnavailable, "the engine is stopping");
      return MakeError(ErrorCode::kResourceExhausted,
                       fmt::format("{} others wait for the engine thread", kWaitingMax));
    }
    if (done.wait_for(patience_) != std::future_status::ready && !shared->taken.exchange(true))
      return MakeError(
          ErrorCode::kDeadlineExceeded,
          fmt::format("the engine thread did not come round within {} ms; nothing was done",
                      patience_.count()));
    return done.get();
  }

  void Run() {
    while (auto errand = queue_.TryPop()) (*errand)();
  }
  // From now on nothing is taken; Run still does what waits.
  void Close() { queue_.Close(); }

 private:
  const std::chrono::milliseconds patience_;
  BoundedQueue<std::function<void()>> queue_{kWaitingMax};
};

}  // namespace nextgate::engine
