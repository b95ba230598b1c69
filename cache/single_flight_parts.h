// What single_flight.cc, its keeper and its follower share. Nobody else includes it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "cache/single_flight.h"

namespace nextgate::cache {

// Guarded by SingleFlight::mutex_, but for what is const.
struct Lead::Term {
  const Hash128 hash;
  const std::string lock;
  const std::string stream;
  const std::string holder;
  const std::string material_digest;
  std::string pending;    // events that are in no record yet
  std::string in_flight;  // the record `number`, sealed; "" once Redis is known to have it
  uint64_t number = 0;
  size_t bytes = 0;  // published in all
  std::chrono::steady_clock::time_point renew_at;
  bool ended = false;                // its answer is complete
  std::atomic<bool> lost = false;    // no longer in SingleFlight::terms_
  bool closing = false;              // what is pending, the entry, the release; then it is gone
  std::optional<SealedEntry> entry;  // to store at the end
  std::chrono::steady_clock::time_point give_up_at;  // once closing
};

// A stream of another's, between the tail and the keeper, who fill it, and its follower.
struct SingleFlight::Watched {
  const std::string lock;
  const std::string stream;
  const std::string holder;
  std::mutex mutex;  // guards everything below
  std::condition_variable changed;
  std::deque<RedisTail::Record> inbox;
  bool gone = false;    // the lock is not this holder's any more
  bool broken = false;  // the tail lost its connection, or Redis
  bool silent = false;

  void Set(bool& flag) {
    {
      const std::lock_guard guard(mutex);
      flag = true;
    }
    changed.notify_all();
  }
};

}  // namespace nextgate::cache
