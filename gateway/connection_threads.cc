#include "gateway/connection_threads.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <utility>

namespace nextgate::gateway {

struct ConnectionThreads::Pool {
  explicit Pool(Options given) : options(given) {}

  const Options options;
  std::mutex mutex;  // guards everything below
  std::condition_variable job_came;
  std::condition_variable thread_ended;
  std::deque<std::function<void()>> jobs;
  size_t threads = 0;
  size_t idle = 0;
  bool stopping = false;

  void Work();
};

namespace {

// How far below its caller's frame ReleaseStack begins: what it calls itself lies there.
constexpr uintptr_t kFramesInUse = 1024;

bool StartDetached(size_t stack_bytes, void* (*function)(void*), void* argument) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, stack_bytes);
  pthread_t thread{};
  const int failed = pthread_create(&thread, &attributes, function, argument);
  pthread_attr_destroy(&attributes);
  return failed == 0;
}

}  // namespace

void ConnectionThreads::Pool::Work() {
  std::unique_lock lock(mutex);
  while (true) {
    ++idle;
    const bool found =
        job_came.wait_for(lock, options.idle, [&] { return stopping || !jobs.empty(); });
    --idle;
    if (!found || jobs.empty()) break;
    auto job = std::move(jobs.front());
    jobs.pop_front();
    lock.unlock();
    job();
    job = nullptr;  // what it holds ends before the lock is taken
    lock.lock();
  }
  --threads;
  thread_ended.notify_all();
}

ConnectionThreads::ConnectionThreads(Options options) : pool_(std::make_shared<Pool>(options)) {}
ConnectionThreads::~ConnectionThreads() { Stop(); }

bool ConnectionThreads::Run(std::function<void()> job) {
  using Holder = std::shared_ptr<Pool>;
  const std::lock_guard lock(pool_->mutex);
  if (pool_->stopping) return false;
  // Every idle thread has a waiting job of its own already, or will not miss this one.
  if (pool_->jobs.size() >= pool_->idle && pool_->threads < pool_->options.threads_max) {
    auto holder = std::make_unique<Holder>(pool_);
    const auto work = [](void* held) -> void* {
      const std::unique_ptr<Holder> pool(static_cast<Holder*>(held));
      (*pool)->Work();
      return nullptr;
    };
    if (StartDetached(pool_->options.stack_bytes, work, holder.get())) {
      (void)holder.release();  // the thread's now
      ++pool_->threads;
    } else if (pool_->threads == 0) {
      return false;
    }
  }
  pool_->jobs.push_back(std::move(job));
  pool_->job_came.notify_one();
  return true;
}

void ConnectionThreads::ReleaseStack() {
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
  void* lowest = nullptr;
  size_t size = 0;
  pthread_attr_getstack(&attributes, &lowest, &size);
  pthread_attr_destroy(&attributes);
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto low = reinterpret_cast<uintptr_t>(lowest);
  const auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  const uintptr_t high = (here - kFramesInUse) / page * page;
  if (low < high && here < low + size) madvise(lowest, high - low, MADV_DONTNEED);
}

void ConnectionThreads::Stop() {
  std::unique_lock lock(pool_->mutex);
  pool_->stopping = true;
  pool_->job_came.notify_all();
  pool_->thread_ended.wait(lock, [&] { return pool_->threads == 0; });
}

}  // namespace nextgate::gateway
