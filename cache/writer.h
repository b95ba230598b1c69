// Stores finished answers on a thread of its own, so that no request waits for a store. The queue
// is bounded; when it is full the answer is dropped and counted, because an answer cache is
// optional.
//
// Threads: Enqueue, Flush, stats from any thread; one writer thread ("cache-writer") inside.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>

#include "base/queue.h"
#include "cache/exact_cache.h"

namespace nextgate::cache {

struct WriteJob {
  CacheKey key;
  CachePlan plan;
  std::shared_ptr<const Answer> answer;
  Sharing sharing;
  EntryOrigin origin;
  std::shared_ptr<void> held;  // let go of once the answer can be found; may be null
};

struct WriterStats {
  int64_t stored = 0;
  int64_t dropped = 0;  // the queue was full or closed
  int64_t refused = 0;  // the store would not take it (too large, no time to live)
  int64_t queued = 0;   // waiting now
};

class Writer {
 public:
  // Starts the thread. `exact_cache` must outlive the writer.
  explicit Writer(ExactCache& exact_cache, size_t queue_max = 1024);
  // Stores what is queued, then stops.
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Call after the last byte was sent. Never blocks. kNone, or kWriterFull if it was dropped.
  // REQUIRES: job.plan.write, job.answer is not null.
  Reason Enqueue(WriteJob job);

  // Waits until everything enqueued before the call is stored. False if `timeout` passed first.
  bool Flush(std::chrono::milliseconds timeout);

  WriterStats stats() const;

 private:
  void Run();

  ExactCache& exact_cache_;
  BoundedQueue<WriteJob> queue_;
  std::atomic<int64_t> stored_ = 0;
  std::atomic<int64_t> dropped_ = 0;
  std::atomic<int64_t> refused_ = 0;
  std::mutex flush_mutex_;
  std::condition_variable progress_;
  int64_t accepted_ = 0;  // guarded by flush_mutex_, as is finished_
  int64_t finished_ = 0;
  std::thread thread_;  // last: starts when everything above exists
};

}  // namespace nextgate::cache
