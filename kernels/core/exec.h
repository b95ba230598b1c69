// Where an op runs: the device, its threads or stream, and scratch memory. Passed last to every op.
// The cpu:: bodies share work over `pool`; the cuda:: bodies launch on `stream`.
//
// ThreadPool::ParallelFor splits [0, count) over the caller and the workers. How the range is split
// never changes a result: each index is computed whole by one thread, in a fixed order.
//
// Threads: one Exec per engine thread; ParallelFor may be called by one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

namespace nextgate::kernels {

class ThreadPool {
 public:
  // `threads` counts the caller: 1 means no workers.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Calls body(begin, end) on disjoint ranges that cover [0, count), each at least `grain` long
  // (but the last); returns when all are done. The body must not call ParallelFor.
  void ParallelFor(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body);

  int threads() const;

 private:
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
