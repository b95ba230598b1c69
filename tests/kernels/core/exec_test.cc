#include "kernels/core/exec.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace nextgate::kernels {
namespace {

TEST(ThreadPool, CoversTheRangeOnceForEveryCountGrainAndThreads) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (const int64_t count : {0, 1, 2, 7, 64, 1000}) {
      for (const int64_t grain : {1, 16, 5000}) {
        std::vector<std::atomic<int>> seen(static_cast<size_t>(count));
        std::atomic<int> calls = 0;
        pool.ParallelFor(count, grain, [&](int64_t begin, int64_t end) {
          ++calls;
          ASSERT_LT(begin, end);
          for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
        });
        for (const auto& times : seen) ASSERT_EQ(times.load(), 1);
        ASSERT_LE(calls.load(), threads);
        ASSERT_LE(calls.load(), count <= grain ? 1 : threads);
      }
    }
  }
}

TEST(ThreadPool, ManyCallsInARowAllComplete) {
  ThreadPool pool(3);
  int64_t total = 0;
  for (int call = 0; call < 20000; ++call) {
    std::atomic<int64_t> sum = 0;
    pool.ParallelFor(3, 1, [&](int64_t begin, int64_t end) { sum += end - begin; });
    total += sum.load();
  }
  EXPECT_EQ(total, 60000);
}

// A worker that has lost its core must not hold a step up: here every other thread is stuck in a
// range, and whoever is free takes what is left.
TEST(ThreadPool, WhoeverIsFreeTakesTheNextRange) {
  ThreadPool pool(4);
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> done = 0;
    std::atomic<bool> stuck = false;
    pool.ParallelFor(4, 1, [&](int64_t, int64_t) {
      // The first to come waits for the three others, which therefore must not wait for it.
      if (!stuck.exchange(true)) {
        while (done.load() < 3) std::this_thread::yield();
      }
      ++done;
    });
    ASSERT_EQ(done.load(), 4);
  }
}

}  // namespace
}  // namespace nextgate::kernels
