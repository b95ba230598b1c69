// One answer in the making, for everybody who asked for it: the first to ask starts the generation,
// and who asks the same meanwhile (the same cache key) follows it, from its first delta on. Nobody
// leads: whoever waits for news and finds no one at the engine fetches it for all, so a client that
// reads slowly, or leaves, holds up no other. The last one to let go ends the generation.
//
//   auto [flight, first] = flights.Join(key);
//   first: look further or start a source, then Begin, BeginStored or GiveUp, exactly once
//   else:  WaitBegun, and act on what it says
//   Pump until it returns false; then answer(), usage(), error() …
//
// A flight can be joined as long as anybody holds it. Who stores the answer holds it until the answer
// can be found in the store, so between flying and being stored there is no gap in which the same
// answer would be generated again. For that a first one looks into the store once more after Join.
//
// Threads: all methods may be called from any thread; a Cursor belongs to one.
// Invariants: (1) the source is pumped by one thread at a time, without the lock; (2) every follower gets
// all deltas, in their order.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "cache/answer.h"
#include "cache/exact_cache.h"
#include "cache/key.h"
#include "gateway/generator.h"

namespace nextgate::gateway {

class Flights;

class Flight {
 public:
  // A flight that nobody can join. `position`: what is known of the invalidations
  // (cache::EntryOrigin::position).
  explicit Flight(int64_t position = 0) : position_(position) {}
  ~Flight();
  Flight(const Flight&) = delete;
  Flight& operator=(const Flight&) = delete;

  // By who made it, one of these, once.
  void Begin(std::unique_ptr<AnswerSource> source);
  void BeginStored(cache::CacheHit hit);
  void GiveUp();  // there will be no answer; does nothing after the other two

  enum class Begun { kGenerating, kStored, kGaveUp, kClientLeft };
  // Waits for one of the three, asking `client_left` now and then.
  Begun WaitBegun(const std::function<bool()>& client_left);
  const cache::CacheHit& stored() const { return stored_; }  // REQUIRES: kStored

  struct Cursor {
    size_t deltas = 0;  // said so far
    size_t endings = 0;
  };
  // Says what came since `cursor`, waiting up to `timeout` if that is nothing. After the first delta,
  // what comes within the source's gather() is said together. False when all was said. The listener runs under the
  // flight's lock: it may render, and nothing slower. REQUIRES: kGenerating.
  bool Pump(Cursor& cursor, std::chrono::milliseconds timeout,
            const AnswerSource::Listener& listener);

  // Waits up to `timeout` until it is known that there will be an answer (AnswerSource::accepted), or
  // how it ended without one. True once it is. REQUIRES: kGenerating.
  bool AwaitAccepted(std::chrono::milliseconds timeout);
  // REQUIRES: AwaitAccepted returned true. Set if there is no answer to be heard at all.
  const ForeignReply* refusal() const;
  const ReplyHeaders& reply_headers() const { return reply_headers_; }

  int32_t num_choices() const { return num_choices_; }
  int64_t position() const { return position_; }

  // REQUIRES for these: Pump returned false.
  std::shared_ptr<const cache::Answer> answer() const {
    return answer_;
  }  // null: too large to keep
  const AnswerSource::Outcome& outcome() const { return outcome_; }
  // True for the first who asks: the answer is to be stored once.
  bool TakeStoring() { return !storing_taken_.test_and_set(); }

 private:
  friend class Flights;
  Flight(Flights& home, const cache::CacheKey& key, int64_t position)
      : home_(&home), key_(key), position_(position) {}

  bool Behind(const Cursor& cursor) const;
  template <class Settled>
  void FetchUnless(std::unique_lock<std::mutex>& lock, std::chrono::milliseconds timeout,
                   const Settled& settled);
  void Fetch(std::chrono::milliseconds timeout);
  void Say(Cursor& cursor, const AnswerSource::Listener& listener) const;

  struct Ending {
    size_t after = 0;  // deltas
    int32_t choice = 0;
    cache::AnswerChoice end;
  };

  Flights* const home_ = nullptr;
  const cache::CacheKey key_;
  const int64_t position_ = 0;

  mutable std::mutex mutex_;  // guards everything below but source_, which is the fetching thread's
  std::condition_variable changed_;
  enum class State { kOpening, kGenerating, kStored, kGaveUp } state_ = State::kOpening;
  cache::CacheHit stored_;
  std::unique_ptr<AnswerSource> source_;
  int32_t num_choices_ = 0;
  bool accepted_ = false;
  ReplyHeaders reply_headers_;  // not changed once accepted
  bool fetching_ = false;
  bool ended_ = false;
  cache::AnswerBuilder record_;
  std::vector<Ending> endings_;
  std::shared_ptr<const cache::Answer> answer_;
  AnswerSource::Outcome outcome_;
  std::atomic_flag storing_taken_;
};

// The flights that can be joined, by cache key. Must outlive them.
class Flights {
 public:
  struct Joined {
    std::shared_ptr<Flight> flight;
    bool first = false;
  };
  // The flight of this key, or a new one. A hash that collides with another key's gets one nobody
  // else can join. A new one is at `position`; one below `floor` was invalidated, and is joined no more.
  Joined Join(const cache::CacheKey& key, int64_t position = 0, int64_t floor = 0);

  // Somebody could join this key's flight now.
  bool Flying(const cache::CacheKey& key) const;

  size_t size() const;

 private:
  friend class Flight;
  struct Entry {
    const Flight* identity = nullptr;
    std::weak_ptr<Flight> flight;
  };
  void Remove(const Hash128& hash, const Flight* identity);

  mutable std::mutex mutex_;
  std::unordered_map<Hash128, Entry> flights_;
};

}  // namespace nextgate::gateway
