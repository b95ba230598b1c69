#include "kernels/core/exec.h"

#include <gtest/gtest.h>

#include <atomic>
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

}  // namespace
}  // namespace nextgate::kernels
