// Where an op runs: the device, its threads or stream, and scratch memory. Passed last to every op.
// The cpu:: bodies share work over `pool`; the cuda:: bodies launch on `stream`.
//
// ThreadPool::ParallelFor splits [0, count) over the caller and the workers. How the range is split
// never changes a result: each index is computed whole by one thread, in a fixed order.
//
// Threads: one Exec per engine thread; ParallelFor may be called by one thread at a time. Workers
// spin for some ten microseconds after a call, since a step makes dozens of them in a row, then
// sleep.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>

namespace nextgate::kernels {

class ThreadPool {
 public:
  // `threads` counts the caller: 1 means no workers; 0 means one per processor that this
  // process may use (base/cpu_quota.h).
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Calls body(begin, end) on disjoint ranges that cover [0, count), at most one per thread and
  // each at least `grain` long (but the last); returns when all are done. The body must not call
  // ParallelFor.
  template <class Body>
  void ParallelFor(int64_t count, int64_t grain, Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    Run(
        count, grain,
        [](void* context, int64_t begin, int64_t end) {
          (*static_cast<Plain*>(context))(begin, end);
        },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

  int threads() const;

 private:
  using RangeFunction = void (*)(void* context, int64_t begin, int64_t end);
  void Run(int64_t count, int64_t grain, RangeFunction function, void* context);

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Scratch that ops carve temporaries from; sized once at start (see each op's XWorkspaceBytes).
struct Workspace {
  std::byte* data = nullptr;
  size_t bytes = 0;
};

struct Exec {
  ThreadPool* pool = nullptr;  // cpu::
  Workspace workspace;
  void* stream = nullptr;         // cuda:: (a cudaStream_t)
  void* cublas_handle = nullptr;  // cuda:: (a cublasLtHandle_t)
};

}  // namespace nextgate::kernels
