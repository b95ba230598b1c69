// When instances begin to use another embedder, what is stored in their Redis has no vectors of it. One of
// them walks over all entries once, and gives each question to the semantic tier, which makes its vector
// and tells the others; meanwhile the rest is found by exact matches, as ever.
//
//   {ns}:reembed:<log>  "at work", for as long as somebody says so, or "done"
//
// The walk is done when every question was embedded; an embedder that fails ends it, and it begins anew
// after `retry`. For an embedder that comes back after another one was used nobody walks again: what was
// stored meanwhile is found by exact matches until it is asked anew.
//
// Two may walk at the same time after a failover: an entry that is told twice is there once.
//
// Threads: one inside ("reembed"), which ends when the walk is done, by whomever.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

#include "cache/redis/catalogue.h"
#include "cache/redis/client.h"
#include "cache/semantic/semantic_cache.h"

namespace nextgate::cache {

class Reembedder {
 public:
  struct Options {
    std::string name_space = "nextgate";
    std::chrono::milliseconds lease{30'000};  // of whoever is at work
    std::chrono::milliseconds retry{1'000};
  };
  // All must outlive it.
  Reembedder(Options options, SemanticCache& semantic, RedisCatalogue& catalogue,
             RedisClient& client);
  ~Reembedder();  // in the middle of a walk: another instance begins it again
  Reembedder(const Reembedder&) = delete;
  Reembedder& operator=(const Reembedder&) = delete;

  int64_t told() const { return told_.load(std::memory_order_relaxed); }  // entries, in its walk
  bool done() const { return done_.load(std::memory_order_relaxed); }     // by any

 private:
  enum class Turn { kOurs, kAnothers, kDone, kUnknown };
  void Run();
  Turn Take();
  bool Walk();
  void GiveUp();
  bool Say(const char* what, bool for_good);
  bool Stopped(std::chrono::milliseconds wait);

  const Options options_;
  SemanticCache& semantic_;
  RedisCatalogue& catalogue_;
  RedisClient& client_;
  const std::string key_;
  std::atomic<int64_t> told_ = 0;
  std::atomic<bool> done_ = false;
  std::mutex mutex_;  // guards stopping_
  std::condition_variable stop_;
  bool stopping_ = false;
  std::thread thread_;  // last: starts when everything above exists
};

}  // namespace nextgate::cache
