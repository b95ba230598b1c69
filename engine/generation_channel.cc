#include "engine/generation_channel.h"

#include <iterator>
#include <utility>

namespace nextgate::engine {

void GenerationChannel::Push(GenerationEvent event) {
  {
    std::lock_guard lock(mutex_);
    if (event.started) waiting_.started = std::move(event.started);
    waiting_.tokens.insert(waiting_.tokens.end(), std::make_move_iterator(event.tokens.begin()),
                           std::make_move_iterator(event.tokens.end()));
    if (event.finished) waiting_.finished = std::move(event.finished);
    has_waiting_ = true;
  }
  ready_.notify_one();
}

GenerationEvent GenerationChannel::Take(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  ready_.wait_for(lock, timeout, [&] { return has_waiting_; });
  has_waiting_ = false;
  return std::exchange(waiting_, {});
}

}  // namespace nextgate::engine
