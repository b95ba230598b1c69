#include "bench/prefix_sim/vllm_block_pool.h"

#include <gtest/gtest.h>

namespace nextgate::prefix_sim {
namespace {

Hash128 Hash(uint64_t n) { return {.high = 0, .low = n}; }

TEST(VllmBlockPool, TakesWhatWasGivenBackFirstAndForgetsItsName) {
  VllmBlockPool pool(3, 1);
  const int32_t first = pool.Take(), second = pool.Take();
  pool.Name(first, 0, Hash(1));
  pool.Name(second, 0, Hash(2));
  pool.Release(second);
  pool.Release(first);
  pool.Touch(pool.Find(0, Hash(2)));  // used again: no longer the oldest
  pool.Release(second);
  pool.Take();  // the one that never had a name
  EXPECT_EQ(pool.Take(), first);
  EXPECT_EQ(pool.Find(0, Hash(1)), VllmBlockPool::kNone);
  EXPECT_EQ(pool.Find(0, Hash(2)), second);
  pool.check_integrity();
}

TEST(VllmBlockPool, KeepsBothOfWhatWasComputedTwice) {
  VllmBlockPool pool(2, 1);
  const int32_t first = pool.Take(), second = pool.Take();
  pool.Name(first, 0, Hash(1));
  pool.Name(second, 0, Hash(1));
  EXPECT_EQ(pool.blocks_named(0), 2);
  EXPECT_EQ(pool.Find(0, Hash(1)), first);
  pool.Release(first);
  pool.Release(second);
  pool.Take();
  EXPECT_EQ(pool.Find(0, Hash(1)), second);
  pool.check_integrity();
}

TEST(VllmBlockPool, TakesABlockWithoutANameBeforeOthers) {
  VllmBlockPool pool(2, 1);
  const int32_t named = pool.Take(), unnamed = pool.Take();
  pool.Name(named, 0, Hash(1));
  pool.Release(named);
  pool.Release(unnamed);
  EXPECT_EQ(pool.Take(), unnamed);
}

}  // namespace
}  // namespace nextgate::prefix_sim
