// Both ends of one generation's event channel: the engine thread pushes, one consumer takes.
//
// Threads: each method says whose it is. The two ends share the channel, so either may go first.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>

#include "engine/request.h"

namespace nextgate::engine {

class GenerationChannel {
 public:
  // Engine thread. Merges the event into what waits, and wakes the consumer.
  void Push(GenerationEvent event);

  // Consumer. As Generation::Next.
  GenerationEvent Take(std::chrono::milliseconds timeout);

  // Any thread.
  void Cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

 private:
  std::mutex mutex_;
  std::condition_variable ready_;
  GenerationEvent waiting_;
  bool has_waiting_ = false;
  std::atomic<bool> cancelled_ = false;
};

// The consumer's handle; destroying it cancels.
class ChannelGeneration final : public Generation {
 public:
  explicit ChannelGeneration(std::shared_ptr<GenerationChannel> channel)
      : channel_(std::move(channel)) {}
  ~ChannelGeneration() override { channel_->Cancel(); }
  GenerationEvent Next(std::chrono::milliseconds timeout) override {
    return channel_->Take(timeout);
  }
  void Cancel() override { channel_->Cancel(); }

 private:
  std::shared_ptr<GenerationChannel> channel_;
};

}  // namespace nextgate::engine
