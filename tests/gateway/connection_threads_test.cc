#include "gateway/connection_threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

namespace nextgate::gateway {
namespace {

using std::chrono::milliseconds;

TEST(ConnectionThreads, JobsThatLastDoNotKeepAnyFromBeginning) {
  ConnectionThreads threads({});
  // Each burst finds idle threads of the one before that have not woken yet.
  for (const int burst : {1, 2, 3, 50, 51, 400}) {
    const auto all_run = std::make_shared<std::latch>(burst);  // until the last of them has left it
    for (int i = 0; i < burst; ++i)
      ASSERT_TRUE(threads.Run([all_run] { all_run->arrive_and_wait(); }));
    all_run->wait();  // a job without a thread would hang the test
  }
}

TEST(ConnectionThreads, AnIdleThreadTakesTheNextJobAndEndsWhenNoneComes) {
  ConnectionThreads threads({.idle = milliseconds(50)});
  std::mutex mutex;
  std::set<std::thread::id> ids;
  const auto note = [&] {
    const std::lock_guard lock(mutex);
    ids.insert(std::this_thread::get_id());
  };
  for (int i = 0; i < 200; ++i) {
    const auto ran = std::make_shared<std::latch>(1);
    ASSERT_TRUE(threads.Run([&note, ran] {
      note();
      ran->count_down();
    }));
    ran->wait();
    std::this_thread::yield();
  }
  const std::lock_guard lock(mutex);
  EXPECT_LT(ids.size(), 100U);
}

TEST(ConnectionThreads, WithAllBusyAJobWaitsForItsTurn) {
  ConnectionThreads threads({.threads_max = 2});
  std::atomic<int> running = 0;
  std::atomic<int> most = 0;
  const auto all_ran = std::make_shared<std::latch>(20);
  for (int i = 0; i < 20; ++i)
    ASSERT_TRUE(threads.Run([&running, &most, all_ran] {
      const int now = ++running;
      int seen = most;
      while (now > seen && !most.compare_exchange_weak(seen, now)) {
      }
      std::this_thread::sleep_for(milliseconds(1));
      --running;
      all_ran->count_down();
    }));
  all_ran->wait();
  EXPECT_EQ(most, 2);
}

TEST(ConnectionThreads, StopWaitsForWhatWasTakenAndTakesNoMore) {
  ConnectionThreads threads({.threads_max = 1});
  std::atomic<int> ran = 0;
  for (int i = 0; i < 3; ++i)
    ASSERT_TRUE(threads.Run([&] {
      std::this_thread::sleep_for(milliseconds(5));
      ++ran;
    }));
  threads.Stop();
  EXPECT_EQ(ran, 3);
  EXPECT_FALSE(threads.Run([&] { ++ran; }));
  EXPECT_EQ(ran, 3);
}

}  // namespace
}  // namespace nextgate::gateway
