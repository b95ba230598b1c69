// Everything at once, from many threads; and which threads there are.
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <random>
#include <set>
#include <thread>

#include "cache/semantic/question_index.h"
#include "tests/cache/semantic/plain_index.h"
#include "tests/support/checkpoint_files.h"

namespace nextgate::cache {
namespace {

constexpr int64_t kDimension = 16;

Hash128 HashOf(uint64_t i) { return HashBytes({reinterpret_cast<const char*>(&i), sizeof(i)}); }

int64_t NumThreads() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
}

TEST(QuestionIndexThreads, OneThreadPerIndexAndNoneFromOpenMp) {
  const int64_t before = NumThreads();
  std::mt19937_64 random(1);
  {
    QuestionIndex index({.dimension = kDimension, .graph_rows_min = 300, .tail_rows_min = 50});
    for (uint64_t i = 0; i < 2'000; ++i)
      index.Insert({HashOf(0), HashOf(i), RandomUnit(random, kDimension), INT64_MAX,
                    static_cast<int64_t>(i)});
    EXPECT_TRUE(index.WaitForBuilder(std::chrono::seconds(60)));
    EXPECT_GT(index.stats().builds, 0);
    for (int i = 0; i < 50; ++i)
      EXPECT_EQ(index.Search(HashOf(0), RandomUnit(random, kDimension), 4, 0).size(), 4U);
    EXPECT_EQ(NumThreads(), before + 1);
  }
  EXPECT_EQ(NumThreads(), before);
}

// Ids below 1,000 are never touched, so they are found whatever else goes on; what is returned belongs to
// the group that was asked; nothing comes twice.
TEST(QuestionIndexThreads, EverythingAtOnce) {
  const nextgate::testing::TempDir dir;
  const std::string path = dir.path() + "/index";
  QuestionIndex index({.dimension = kDimension,
                       .entries_max = 6'000,
                       .graph_rows_min = 500,
                       .tail_rows_min = 100,
                       .build_rows_max = 300});
  std::mt19937_64 random(3);
  std::vector<std::vector<float>> kept;
  for (uint64_t i = 0; i < 1'000; ++i) {
    kept.push_back(RandomUnit(random, kDimension));
    index.Insert({HashOf(0), HashOf(i), kept.back(), INT64_MAX, INT64_MAX - 1});
  }
  std::atomic<bool> stop = false;
  std::atomic<int64_t> position = 0;
  std::atomic<int64_t> missed = 0;
  std::atomic<int64_t> looked_up = 0;
  const auto writes = [&](uint64_t seed) {
    std::mt19937_64 mine(seed);
    for (int i = 0; i < 6'000; ++i) {
      const uint64_t id = 1'000 + mine() % 4'000;
      if (mine() % 4 == 0) {
        index.Erase(HashOf(id));
      } else {
        index.Insert({HashOf(id % 8 == 0 ? id % 64 : 0), HashOf(id), RandomUnit(mine, kDimension),
                      static_cast<int64_t>(1'000 + mine() % 1'000), ++position});
      }
      if (i % 500 == 0) index.EraseBefore(position - 5'000);
      if (i % 700 == 0) index.RemoveExpired(1'200);
    }
  };
  const auto reads = [&](uint64_t seed) {
    std::mt19937_64 mine(seed);
    while (!stop) {
      const uint64_t i = mine() % kept.size();
      const auto found = index.Search(HashOf(0), kept[i], 4, 1'500);
      std::set<Hash128> ids;
      for (const auto& one : found) ids.insert(one.id);
      EXPECT_EQ(ids.size(), found.size());
      ++looked_up;
      if (found.empty() || found[0].id != HashOf(i)) ++missed;
    }
  };
  const auto saves = [&] {
    QuestionIndex other(index.options());
    while (!stop) {
      ASSERT_TRUE(index.Save(path, "header"));
      const auto header = other.Load(path);
      ASSERT_TRUE(header) << header.error().message;
      const Status status = other.CheckIntegrity();
      ASSERT_TRUE(status) << status.error().message;
      EXPECT_GE(other.stats().entries, 1'000);
      EXPECT_GE(index.stats().entries, 1'000);
    }
  };
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < 2; ++i) threads.emplace_back(reads, 100 + i);
  threads.emplace_back(saves);
  std::vector<std::thread> writers;
  for (uint64_t i = 0; i < 2; ++i) writers.emplace_back(writes, 200 + i);
  for (std::thread& writer : writers) writer.join();
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(index.WaitForBuilder(std::chrono::seconds(60)));
  const Status status = index.CheckIntegrity();
  EXPECT_TRUE(status) << status.error().message;
  EXPECT_GT(index.stats().builds, 0);
  EXPECT_LE(missed, looked_up / 200) << "of " << looked_up;
}

TEST(QuestionIndexThreads, ClearAndLoadWhileOthersSearchAndBuild) {
  const nextgate::testing::TempDir dir;
  const std::string path = dir.path() + "/index";
  QuestionIndex index({.dimension = kDimension, .graph_rows_min = 200, .tail_rows_min = 50});
  std::mt19937_64 random(5);
  std::atomic<bool> stop = false;
  const auto reads = [&](uint64_t seed) {
    std::mt19937_64 mine(seed);
    while (!stop) index.Search(HashOf(0), RandomUnit(mine, kDimension), 4, 0);
  };
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < 3; ++i) threads.emplace_back(reads, 10 + i);
  for (int round = 0; round < 12; ++round) {
    for (uint64_t i = 0; i < 900; ++i)
      index.Insert({HashOf(0), HashOf(i), RandomUnit(random, kDimension), INT64_MAX,
                    static_cast<int64_t>(i)});
    if (round == 0) {
      EXPECT_TRUE(index.WaitForBuilder(std::chrono::seconds(60)));
      ASSERT_TRUE(index.Save(path, ""));
    }
    if (round % 3 == 1) {
      index.Clear();
    } else if (round % 3 == 2) {
      EXPECT_TRUE(index.Load(path));
    }
    const Status status = index.CheckIntegrity();
    EXPECT_TRUE(status) << status.error().message;
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace nextgate::cache
