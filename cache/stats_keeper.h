// Gives CacheStats a past and a cluster: every kInterval it puts what was counted into the buckets of
// TrafficHistory and, if there is a Redis, adds it there, where all instances' figures meet. At the end
// what is left is added once more.
//
// Threads: all methods may be called from any thread; one inside ("stats-keeper"). CountEntryHit takes
// a short lock, the others may wait for Redis.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "cache/answer_store.h"
#include "cache/redis/cluster_stats.h"
#include "cache/stats.h"
#include "cache/traffic_history.h"

namespace nextgate::cache {

struct ClusterFigures {
  StatsBySeries counts;
  StatsSteps steps;                        // of the window; kTotal has none
  std::vector<InstanceFigures> instances;  // heard of within ClusterStats::kInstanceGoneMs
};

class StatsKeeper {
 public:
  static constexpr std::chrono::milliseconds kInterval{2000};

  // All must outlive the keeper. `redis` may be null.
  StatsKeeper(const CacheStats& stats, const AnswerStore& store, RedisClient* redis,
              std::string name_space, const Clock& clock = Clock::System());
  ~StatsKeeper();
  StatsKeeper(const StatsKeeper&) = delete;
  StatsKeeper& operator=(const StatsKeeper&) = delete;

  // Starts the thread. `name` is what others will call this instance; `live_requests`, which may be
  // empty, says how many requests it is answering now. At most once.
  void Start(std::string name, std::function<int64_t()> live_requests = {});

  // One entry has answered one more request, for the cluster's count of its hits.
  void CountEntryHit(const Hash128& id, const StoredAnswer& entry);

  // This process, since it started (kTotal) or in the window, whose steps are put where `steps` says.
  StatsBySeries Instance(StatsWindow window, StatsSteps* steps = nullptr);

  bool has_cluster() const { return cluster_.has_value(); }
  // All instances, since the first of them started or in the window. What the others counted in the
  // last kInterval may be missing. kUnavailable if Redis does not answer. REQUIRES: has_cluster().
  Result<ClusterFigures> Cluster(StatsWindow window);
  // REQUIRES: has_cluster().
  const std::string& instance_id() const { return cluster_->instance_id(); }

 private:
  void Collect();  // REQUIRES: mutex_ is held, as for Flush
  Status Flush(std::chrono::milliseconds budget);
  void Run();

  const CacheStats& stats_;
  const AnswerStore& store_;
  const Clock& clock_;
  std::optional<ClusterStats> cluster_;
  std::mutex mutex_;  // guards the next three, and cluster_ but for its CountEntryHit
  TrafficHistory history_;
  std::string name_;
  std::function<int64_t()> live_requests_;
  std::mutex stop_mutex_;  // guards stopping_
  std::condition_variable stop_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace nextgate::cache
