#include "engine/prefix/eviction.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace nextgate::engine {
namespace {

// A pool of checkpoints by name, under a policy.
class Pool {
 public:
  explicit Pool(std::unique_ptr<EvictionPolicy> policy) : policy_(std::move(policy)) {}

  void Make(const std::string& name, int32_t replay_tokens) {
    held_[name] = {
        .replay_tokens = replay_tokens, .stamp = policy_->Stamp(), .kind = CheckpointKind::kBorder};
  }
  void Use(const std::string& name) {
    ++held_.at(name).hits;
    held_.at(name).stamp = policy_->Stamp();
  }
  void SetReplay(const std::string& name, int32_t tokens) { held_.at(name).replay_tokens = tokens; }
  double Value(const std::string& name) const { return policy_->Value(held_.at(name)); }
  bool Has(const std::string& name) const { return held_.contains(name); }

  std::string Evict() {
    const auto worst =
        std::min_element(held_.begin(), held_.end(), [&](const auto& a, const auto& b) {
          return policy_->Value(a.second) < policy_->Value(b.second);
        });
    const std::string name = worst->first;
    policy_->Evicted(policy_->Value(worst->second));
    held_.erase(worst);
    return name;
  }
  std::vector<std::string> EvictAll() {
    std::vector<std::string> order;
    while (!held_.empty()) order.push_back(Evict());
    return order;
  }

 private:
  const std::unique_ptr<EvictionPolicy> policy_;
  std::map<std::string, PrefixTree::Checkpoint> held_;
};

using Names = std::vector<std::string>;

TEST(EvictByReplayCost, WhatSavesLeastGoesFirst) {
  Pool pool(EvictByReplayCost());
  pool.Make("a border after 2048", 2048);
  pool.Make("spaced", 256);
  pool.Make("an answer's", 64);
  pool.Make("a system prompt's", 1024);
  EXPECT_EQ(pool.EvictAll(),
            (Names{"an answer's", "spaced", "a system prompt's", "a border after 2048"}));
}

TEST(EvictByReplayCost, UsesMultiplyWhatItSaves) {
  Pool pool(EvictByReplayCost());
  pool.Make("three times 256", 256);  // (1 + 3) · 256 = 1024
  pool.Make("once 448", 448);         // 2 · 448 = 896
  pool.Make("never 960", 960);
  for (int i = 0; i < 3; ++i) pool.Use("three times 256");
  pool.Use("once 448");
  EXPECT_EQ(pool.EvictAll(), (Names{"once 448", "never 960", "three times 256"}));
}

TEST(EvictByReplayCost, WhatLosesItsNeighbourAboveIsWorthMore) {
  Pool pool(EvictByReplayCost());
  pool.Make("lower", 64);
  pool.Make("other", 128);
  pool.SetReplay("lower", 320);  // the one above went
  EXPECT_EQ(pool.EvictAll(), (Names{"other", "lower"}));
}

TEST(EvictByReplayCost, WhatWasUsedLongAgoIsOvertaken) {
  Pool pool(EvictByReplayCost());
  pool.Make("old", 4096);
  for (int i = 0; i < 9; ++i) pool.Use("old");
  const double worth = pool.Value("old");
  EXPECT_EQ(worth, 40'960);
  // A stream of small ones beside it: each is worth as much as the age when it came, and 64.
  int small = 0;
  for (pool.Make("first", 64); pool.Has("old"); ++small) {
    pool.Make(std::to_string(small), 64);
    pool.Evict();
    ASSERT_LT(small, 10'000);
  }
  EXPECT_GT(small, 600) << "too soon for what it saved";
}

TEST(EvictByReplayCost, AUseBringsItUpToTheAge) {
  Pool pool(EvictByReplayCost());
  pool.Make("gone", 1000);
  pool.Make("kept", 1100);
  EXPECT_EQ(pool.Evict(), "gone");  // the age is 1000 now
  EXPECT_EQ(pool.Value("kept"), 1100) << "not before it is used";
  pool.Use("kept");
  EXPECT_EQ(pool.Value("kept"), 1000 + 2 * 1100);
  pool.Make("new", 64);
  EXPECT_EQ(pool.Value("new"), 1064);
  EXPECT_EQ(pool.Evict(), "new");
}

TEST(EvictByReplayCost, TheAgeNeverGoesBack) {
  const auto policy = EvictByReplayCost();
  policy->Evicted(500);
  policy->Evicted(20);  // was kept by what lay below it, say
  EXPECT_EQ(policy->Stamp(), 500);
  EXPECT_EQ(policy->Stamp(), 500);
}

TEST(EvictLeastRecentlyUsed, TheOneUnusedForLongestGoesWhateverItSaves) {
  Pool pool(EvictLeastRecentlyUsed());
  pool.Make("a", 4096);
  pool.Make("b", 64);
  pool.Make("c", 64);
  pool.Make("d", 512);
  pool.Use("b");
  pool.Use("a");
  pool.Use("b");
  EXPECT_EQ(pool.EvictAll(), (Names{"c", "d", "a", "b"}));
}

TEST(EvictLeastRecentlyUsed, ANewOneIsWorthMoreThanEveryOther) {
  const auto policy = EvictLeastRecentlyUsed();
  double last = policy->Value({.stamp = policy->Stamp()});
  for (int i = 0; i < 100; ++i) {
    const double value = policy->Value({.replay_tokens = i % 7, .stamp = policy->Stamp()});
    EXPECT_GT(value, last);
    last = value;
    policy->Evicted(value);
  }
}

}  // namespace
}  // namespace nextgate::engine
