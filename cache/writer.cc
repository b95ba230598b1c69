#include "cache/writer.h"

#include <pthread.h>

#include <optional>
#include <utility>

#include "base/check.h"

namespace nextgate::cache {
namespace {
// How often what has expired is swept out.
constexpr std::chrono::seconds kSweepInterval{30};
}  // namespace

Writer::Writer(ExactCache& exact_cache, size_t queue_max)
    : exact_cache_(exact_cache), queue_(queue_max), thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), "cache-writer");
}

Writer::~Writer() {
  queue_.Close();
  thread_.join();
}

Reason Writer::Enqueue(WriteJob job) {
  CHECK(job.plan.write && job.answer != nullptr);
  {
    // Counted before the thread can finish it, so that Flush never overtakes.
    std::lock_guard lock(flush_mutex_);
    if (queue_.TryPush(std::move(job))) {
      ++accepted_;
      return Reason::kNone;
    }
  }
  dropped_.fetch_add(1, std::memory_order_relaxed);
  return Reason::kWriterFull;
}

bool Writer::Flush(std::chrono::milliseconds timeout) {
  std::unique_lock lock(flush_mutex_);
  const int64_t target = accepted_;
  return progress_.wait_for(lock, timeout, [&] { return finished_ >= target; });
}

WriterStats Writer::stats() const {
  return {.stored = stored_.load(std::memory_order_relaxed),
          .dropped = dropped_.load(std::memory_order_relaxed),
          .refused = refused_.load(std::memory_order_relaxed),
          .queued = static_cast<int64_t>(queue_.size())};
}

void Writer::Run() {
  auto next_sweep = std::chrono::steady_clock::now() + kSweepInterval;
  while (true) {
    const auto now = std::chrono::steady_clock::now();
    if (now >= next_sweep) {
      exact_cache_.store().RemoveExpired();
      next_sweep = now + kSweepInterval;
    }
    // Only an empty queue ends the thread: what was accepted is stored.
    std::optional<WriteJob> job = queue_.Pop(kSweepInterval);
    if (!job && queue_.closed()) return;
    if (!job) continue;
    const Reason reason = exact_cache_.Insert(std::move(job->key), std::move(job->answer),
                                              job->plan, std::move(job->origin), job->sharing);
    (reason == Reason::kNone ? stored_ : refused_).fetch_add(1, std::memory_order_relaxed);
    job.reset();
    {
      std::lock_guard lock(flush_mutex_);
      ++finished_;
    }
    progress_.notify_all();
  }
}

}  // namespace nextgate::cache
