#include "bench/prefix_sim/sglang_tree.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <vector>

namespace nextgate::prefix_sim {
namespace {

// Pages by number; a path's numbers are its prefix hashes, so equal numbers are equal prefixes.
std::vector<Hash128> Pages(std::initializer_list<uint64_t> numbers) {
  std::vector<Hash128> pages;
  for (const uint64_t n : numbers) pages.push_back({.high = 0, .low = n});
  return pages;
}

class SglangTreeTest : public testing::Test {
 protected:
  void TearDown() override { tree_.check_integrity(); }
  SglangTree tree_;
};

TEST_F(SglangTreeTest, FindsTheDeepestStateAndHowFarKvWent) {
  tree_.Insert(Pages({1, 2}));
  tree_.Insert(Pages({1, 2, 3, 4, 5}));
  const auto match = tree_.Find(Pages({1, 2, 3, 4, 9}));
  EXPECT_EQ(match.state_pages, 2);
  EXPECT_EQ(match.kv_pages, 4);
}

TEST_F(SglangTreeTest, ASplitLeavesTheStateBelow) {
  tree_.Insert(Pages({1, 2, 3}));
  EXPECT_EQ(tree_.Find(Pages({1, 2})).state_pages, 0);
  EXPECT_EQ(tree_.Find(Pages({1, 2, 3})).state_pages, 3);
  EXPECT_TRUE(tree_.Insert(Pages({1, 2})).new_state);
  EXPECT_FALSE(tree_.Insert(Pages({1, 2})).new_state);
  EXPECT_EQ(tree_.Find(Pages({1, 2})).state_pages, 2);
  EXPECT_EQ(tree_.pages(), 3);
  EXPECT_EQ(tree_.states(), 2);
}

TEST_F(SglangTreeTest, EvictsTheLeafThatWasUsedLongestAgo) {
  tree_.Insert(Pages({1}));
  tree_.Insert(Pages({2}));
  tree_.Find(Pages({1}));
  EXPECT_TRUE(tree_.EvictKv());
  EXPECT_EQ(tree_.Find(Pages({2})).kv_pages, 0);
  EXPECT_EQ(tree_.Find(Pages({1})).state_pages, 1);
}

TEST_F(SglangTreeTest, AnInnerNodeLosesItsStateAndKeepsItsKv) {
  tree_.Insert(Pages({1}));
  tree_.Insert(Pages({1, 2}));
  EXPECT_TRUE(tree_.EvictState());
  EXPECT_EQ(tree_.pages(), 2);
  EXPECT_EQ(tree_.Find(Pages({1, 3})).state_pages, 0);
  EXPECT_EQ(tree_.Find(Pages({1, 2})).state_pages, 2);
}

TEST_F(SglangTreeTest, ANodeLeftAsALeafWithoutAStateGoesToo) {
  tree_.Insert(Pages({1}));
  tree_.Insert(Pages({1, 2}));
  EXPECT_TRUE(tree_.EvictState());  // of {1}
  EXPECT_TRUE(tree_.EvictState());  // of {1, 2}, a leaf
  EXPECT_EQ(tree_.pages(), 0);
  EXPECT_FALSE(tree_.EvictKv());
}

TEST_F(SglangTreeTest, AMatchRefreshesOneStateOnly) {
  tree_.Insert(Pages({1}));
  tree_.Insert(Pages({1, 2}));
  tree_.Insert(Pages({8}));
  tree_.Find(Pages({1, 2}));
  EXPECT_TRUE(tree_.EvictState());  // of {1}, though its KV was used last
  EXPECT_EQ(tree_.Find(Pages({1, 9})).state_pages, 0);
  EXPECT_TRUE(tree_.EvictState());  // of {8}, which was kept after {1, 2}
  EXPECT_EQ(tree_.Find(Pages({8})).state_pages, 0);
  EXPECT_EQ(tree_.Find(Pages({1, 2})).state_pages, 2);
}

TEST_F(SglangTreeTest, WhatIsLockedStays) {
  const auto inserted = tree_.Insert(Pages({1, 2}));
  tree_.Lock(inserted.node);
  tree_.Find(Pages({1}));  // splits under the lock
  EXPECT_FALSE(tree_.EvictKv());
  EXPECT_FALSE(tree_.EvictState());
  tree_.Unlock(inserted.node);
  EXPECT_TRUE(tree_.EvictKv());
  EXPECT_EQ(tree_.pages(), 0);
}

}  // namespace
}  // namespace nextgate::prefix_sim
