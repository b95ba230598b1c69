// The invalidations that all instances share, in Redis:
//
//   {ns}:invalidations  a stream of records (cache/invalidation.h), trimmed once no answer is as old
//   {ns}:generation     random, made by whoever finds none: another one means another Redis, or one
//                       that was restarted empty
//
// Every instance reads the stream from its beginning when it starts, then follows it through the tail,
// looking every `pace`. A record that Redis does not take is in force here at once and published when it
// is back.
//
// A Redis that was restarted or failed over may have lost its latest records, or all. So whenever touch
// was lost the stream is read again from its beginning, and what is known here and not found there is
// published again. If the generation is another one, there may have been records that nobody knows any
// more: everything in this process' memory is dropped as well.
//
// An instance that has not heard from Redis for `max_stale` does not know what was invalidated meanwhile:
// it is Stale until it has read on to the end of the stream.
//
// Without a Redis the records are this process' alone.
//
// Threads: all methods may be called from any thread; one thread inside ("invalidations"), which
// publishes, compares the generation and sweeps the memory; the records come on the tail's.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "cache/invalidation.h"
#include "cache/redis/client.h"
#include "cache/redis/tail.h"

namespace nextgate::cache {

class InvalidationLog {
 public:
  struct Options {
    std::string name_space = "nextgate";
    std::chrono::milliseconds max_stale{60'000};
    std::chrono::milliseconds pace{200};     // how old news may be
    std::chrono::milliseconds budget{1000};  // of one publication
    // Longer than any answer lives (PolicySettings::ttl_max_s) and is generated.
    std::chrono::hours keep{24 * 8};
  };
  // Both or none of `client` and `tail` are null. All must outlive the log.
  struct Services {
    Invalidations& invalidations;
    AnswerStore& store;
    RedisClient* client = nullptr;
    RedisTail* tail = nullptr;
    const Clock& clock = Clock::System();
    const Keyring& keys = Keyring::None();
  };
  InvalidationLog(Options options, const Services& services);
  ~InvalidationLog();
  InvalidationLog(const InvalidationLog&) = delete;
  InvalidationLog& operator=(const InvalidationLog&) = delete;

  // In force here when this returns; `shared` of the result: Redis has it, so all instances will within
  // their pace. What is dead in this process' memory is erased
  // in the background.
  InvalidationRecord Issue(InvalidationPredicate predicate);

  // Waits for the stream to be read to its end once. False if that took longer; true without Redis.
  bool WaitKnown(std::chrono::milliseconds timeout);

  bool Stale() const;

  Invalidations& invalidations() const { return s_.invalidations; }
  int64_t pending() const;  // records that Redis has yet to be told
  std::chrono::milliseconds max_stale() const { return options_.max_stale; }

 private:
  bool shared() const { return s_.client != nullptr; }
  std::string Key(const char* name) const;
  void ReadAgain();
  void Follow();
  void Heard(const std::vector<RedisTail::Record>& records);
  void Connected();
  void CaughtUp();
  void FindMissing();
  bool Publish(InvalidationRecord record);
  void PublishPending();
  void CompareGeneration();
  void Keep();

  const Options options_;
  const Services s_;
  std::atomic<int64_t> heard_ns_;  // steady clock, of the last word from Redis
  mutable std::mutex mutex_;       // guards everything below
  std::condition_variable changed_;
  std::vector<InvalidationRecord> pending_;
  std::string generation_;    // the thread's
  bool known_ = false;        // read to the end once
  bool heard_ = false;        // anything
  bool reconnected_ = false;  // since then
  bool doubtful_ = false;     // and the stream was read to its end: it may be another one now
  std::optional<std::set<std::string>> found_;  // records' ids, while it is read again
  bool news_ = false;                           // something may have died in the memory
  bool stopping_ = false;
  std::unique_ptr<RedisTail::Following> following_;  // the thread's after the constructor
  std::thread thread_;                               // last: starts when everything above exists
};

}  // namespace nextgate::cache
