#include "kernels/core/exec.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "base/check.h"

namespace nextgate::kernels {
namespace {

constexpr int kSpins = 4000;  // some 20 µs of pauses before a worker sleeps

inline void Pause() {
#ifdef __x86_64__
  __builtin_ia32_pause();
#endif
}

}  // namespace

// One job at a time. `epoch` tells workers that a job is there; `pending` counts those still at it.
struct ThreadPool::Impl {
  struct Job {
    RangeFunction function = nullptr;
    void* context = nullptr;
    int64_t count = 0;
    int64_t part = 0;  // length of each range
  };

  std::vector<std::jthread> workers;
  Job job;
  std::atomic<uint32_t> epoch = 0;
  std::atomic<int> pending = 0;
  std::atomic<bool> stop = false;

  void RunPart(int index) const {
    const int64_t begin = index * job.part;
    const int64_t end = std::min(job.count, begin + job.part);
    if (begin < end) job.function(job.context, begin, end);
  }

  void Work(int index) {
    uint32_t seen = 0;
    for (;;) {
      for (int spin = 0; spin < kSpins && epoch.load(std::memory_order_acquire) == seen; ++spin)
        Pause();
      epoch.wait(seen, std::memory_order_acquire);
      seen = epoch.load(std::memory_order_acquire);
      if (stop.load(std::memory_order_relaxed)) return;
      RunPart(index);
      pending.fetch_sub(1, std::memory_order_release);
    }
  }
};

ThreadPool::ThreadPool(int threads) : impl_(std::make_unique<Impl>()) {
  if (threads == 0) threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  CHECK(threads >= 1, "a pool of %d threads", threads);
  for (int index = 1; index < threads; ++index)
    impl_->workers.emplace_back([this, index] { impl_->Work(index); });
}

ThreadPool::~ThreadPool() {
  impl_->stop.store(true, std::memory_order_relaxed);
  impl_->epoch.fetch_add(1, std::memory_order_release);
  impl_->epoch.notify_all();
}

int ThreadPool::threads() const { return static_cast<int>(impl_->workers.size()) + 1; }

void ThreadPool::Run(int64_t count, int64_t grain, RangeFunction function, void* context) {
  if (count <= 0) return;
  const int64_t parts =
      std::min<int64_t>(threads(), (count + grain - 1) / std::max<int64_t>(grain, 1));
  if (parts <= 1) {
    function(context, 0, count);
    return;
  }
  impl_->job = {function, context, count, (count + parts - 1) / parts};
  impl_->pending.store(threads() - 1, std::memory_order_relaxed);
  impl_->epoch.fetch_add(1, std::memory_order_release);
  impl_->epoch.notify_all();
  impl_->RunPart(0);
  while (impl_->pending.load(std::memory_order_acquire) != 0) Pause();
}

}  // namespace nextgate::kernels
