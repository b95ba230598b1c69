#include "cache/stats_keeper.h"

#include <pthread.h>

#include <utility>

#include "base/check.h"

namespace nextgate::cache {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kFlushBudget{1000};
constexpr milliseconds kFlushBeforeReading{250};  // it may be busy; what waits is added up here
constexpr milliseconds kReadBudget{2000};

}  // namespace

StatsKeeper::StatsKeeper(const CacheStats& stats, const AnswerStore& store, RedisClient* redis,
                         std::string name_space, const Clock& clock)
    : stats_(stats), store_(store), clock_(clock) {
  if (redis != nullptr) cluster_.emplace(std::move(name_space), *redis, clock);
}

StatsKeeper::~StatsKeeper() {
  {
    const std::lock_guard lock(stop_mutex_);
    stopping_ = true;
  }
  stop_.notify_all();
  if (thread_.joinable()) thread_.join();
  const std::lock_guard lock(mutex_);
  Collect();
  (void)Flush(kFlushBudget);  // if Redis is away at the end too, this is what is lost
  if (cluster_) cluster_->Leave(steady_clock::now() + kFlushBeforeReading);
}

void StatsKeeper::Start(std::string name, std::function<int64_t()> live_requests) {
  CHECK(!thread_.joinable());
  {
    const std::lock_guard lock(mutex_);
    name_ = std::move(name);
    live_requests_ = std::move(live_requests);
  }
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), "stats-keeper");
}

void StatsKeeper::Run() {
  std::unique_lock stop_lock(stop_mutex_);
  while (!stopping_) {
    stop_lock.unlock();
    {
      const std::lock_guard lock(mutex_);
      Collect();
      (void)Flush(
          kFlushBudget);  // it waits here until Redis is back, whose absence is said elsewhere
    }
    stop_lock.lock();
    stop_.wait_for(stop_lock, kInterval, [&] { return stopping_; });
  }
}

void StatsKeeper::Collect() {
  const int64_t now_ms = clock_.UnixMs();
  const std::vector<StatsDelta> deltas = history_.Advance(stats_.BySeries(), now_ms);
  if (cluster_) cluster_->Add(deltas, now_ms);
}

Status StatsKeeper::Flush(milliseconds budget) {
  if (!cluster_) return {};
  const StoreStats store = store_.stats();
  return cluster_->Flush({.name = name_,
                          .entries = store.entries,
                          .bytes = store.bytes,
                          .evictions = store.evictions,
                          .live_requests = live_requests_ ? live_requests_() : 0},
                         steady_clock::now() + budget);
}

void StatsKeeper::CountEntryHit(const Hash128& id, const StoredAnswer& entry) {
  if (cluster_) cluster_->CountEntryHit(id, entry.created_unix_ms, entry.expires_unix_ms);
}

StatsBySeries StatsKeeper::Instance(StatsWindow window, StatsSteps* steps) {
  if (window == StatsWindow::kTotal) return stats_.BySeries();
  const std::lock_guard lock(mutex_);
  Collect();
  return history_.Sum(window, clock_.UnixMs(), steps);
}

Result<ClusterFigures> StatsKeeper::Cluster(StatsWindow window) {
  CHECK(cluster_);
  const std::lock_guard lock(mutex_);
  Collect();
  (void)Flush(kFlushBeforeReading);
  const auto deadline = steady_clock::now() + kReadBudget;
  ClusterFigures figures;
  ASSIGN_OR_RETURN(figures.counts, cluster_->Read(window, deadline, &figures.steps));
  ASSIGN_OR_RETURN(figures.instances, cluster_->Instances(deadline));
  return figures;
}

}  // namespace nextgate::cache
