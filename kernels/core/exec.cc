#include "kernels/core/exec.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/cpu_quota.h"

namespace nextgate::kernels {
namespace {

constexpr int kSpins = 4000;        // some 20 µs of pauses before a worker sleeps
constexpr int kSpinsToYield = 200;  // before the caller lets others run

inline void Pause() {
#ifdef __x86_64__
  __builtin_ia32_pause();
#endif
}

}  // namespace

// One job at a time, cut into at most as many ranges as there are threads. Whoever comes takes the
// next range: a caller whose workers are asleep, or have lost their core to another program, does
// the work alone instead of waiting for them.
//
// `claims` holds the job's number in its high half and the ranges not yet taken in its low half. A
// worker reads the job, then takes a range by compare-and-swap: that succeeds only if claims is
// what it was before the job was read, and the caller writes a new job only when every range of the
// last one has been taken and done. So what was read is the job of the range that was taken.
struct ThreadPool::Impl {
  std::vector<std::jthread> workers;
  std::atomic<RangeFunction> function = nullptr;
  std::atomic<void*> context = nullptr;
  std::atomic<int64_t> count = 0;
  std::atomic<int64_t> part = 0;  // length of each range
  std::atomic<uint64_t> claims = 0;
  std::atomic<uint32_t> epoch = 0;  // the job's number again: what sleeping workers wait on
  std::atomic<int32_t> undone = 0;  // ranges of the job that are not done
  std::atomic<bool> stop = false;

  // Takes ranges until none is left.
  void TakeRanges() {
    uint64_t seen = claims.load(std::memory_order_acquire);
    while ((seen & 0xFFFFFFFF) != 0) {
      const RangeFunction run = function.load(std::memory_order_relaxed);
      void* const with = context.load(std::memory_order_relaxed);
      const int64_t end = count.load(std::memory_order_relaxed);
      const int64_t length = part.load(std::memory_order_relaxed);
      if (!claims.compare_exchange_weak(seen, seen - 1, std::memory_order_acq_rel,
                                        std::memory_order_acquire))
        continue;
      const int64_t begin = static_cast<int64_t>((seen & 0xFFFFFFFF) - 1) * length;
      if (begin < end) run(with, begin, std::min(end, begin + length));
      undone.fetch_sub(1, std::memory_order_release);
      seen = claims.load(std::memory_order_acquire);
    }
  }

  void Work() {
    uint32_t seen = 0;
    for (;;) {
      for (int spin = 0; spin < kSpins && epoch.load(std::memory_order_acquire) == seen; ++spin)
        Pause();
      epoch.wait(seen, std::memory_order_acquire);
      seen = epoch.load(std::memory_order_acquire);
      if (stop.load(std::memory_order_relaxed)) return;
      TakeRanges();
    }
  }
};

ThreadPool::ThreadPool(int threads) : impl_(std::make_unique<Impl>()) {
  if (threads == 0) threads = UsableProcessors();
  CHECK(threads >= 1, "a pool of %d threads", threads);
  for (int index = 1; index < threads; ++index)
    impl_->workers.emplace_back([this] { impl_->Work(); });
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
  Impl& job = *impl_;
  job.function.store(function, std::memory_order_relaxed);
  job.context.store(context, std::memory_order_relaxed);
  job.count.store(count, std::memory_order_relaxed);
  job.part.store((count + parts - 1) / parts, std::memory_order_relaxed);
  job.undone.store(static_cast<int32_t>(parts), std::memory_order_relaxed);
  const uint32_t number = job.epoch.load(std::memory_order_relaxed) + 1;
  job.claims.store(uint64_t{number} << 32 | static_cast<uint64_t>(parts),
                   std::memory_order_release);
  job.epoch.store(number, std::memory_order_release);
  job.epoch.notify_all();
  job.TakeRanges();
  for (int spin = 0; job.undone.load(std::memory_order_acquire) != 0; ++spin) {
    if (spin < kSpinsToYield) {
      Pause();
    } else {
      std::this_thread::yield();
    }
  }
}

}  // namespace nextgate::kernels
