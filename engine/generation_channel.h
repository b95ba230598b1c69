// Both ends of one generation's event channel: the engine thread pushes, one consumer takes.
//
// Threads: each method says whose it is. The two ends share the channel, so either may go first.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
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

  // Any thread. As Generation::Cancel; a number once said stays said.
  void Cancel(int32_t tokens_kept = -1) {
    if (tokens_kept >= 0) tokens_kept_.store(tokens_kept, std::memory_order_relaxed);
    cancelled_.store(true, std::memory_order_release);
  }
  bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }
  // -1 until it is said; known to whom cancelled() told of that Cancel.
  int32_t tokens_kept() const { return tokens_kept_.load(std::memory_order_relaxed); }

 private:
  std::mutex mutex_;
  std::condition_variable ready_;
  GenerationEvent waiting_;
  bool has_waiting_ = false;
  std::atomic<bool> cancelled_ = false;
  std::atomic<int32_t> tokens_kept_ = -1;
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
  void Cancel(int32_t tokens_kept) override { channel_->Cancel(tokens_kept); }

 private:
  std::shared_ptr<GenerationChannel> channel_;
};

}  // namespace nextgate::engine
