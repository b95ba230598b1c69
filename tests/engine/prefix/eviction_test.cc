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

  void Make(const std::string& name, PrefixTree::Checkpoint checkpoint) {
    checkpoint.stamp = policy_->Stamp();
    held_[name] = checkpoint;
  }
  // A request comes that resumes from `name`; empty: from none.
  void Request(const std::string& name = "") {
    policy_->Admitted();
    for (const auto& [other, checkpoint] : held_) policy_->Passed(checkpoint);
    if (name.empty()) return;
    PrefixTree::Checkpoint& used = held_.at(name);
    policy_->Used(used);
    ++used.hits;
    used.stamp = policy_->Stamp();
  }
  PrefixTree::Checkpoint& at(const std::string& name) { return held_.at(name); }
  void Forget(const std::string& name) { held_.erase(name); }
  double Value(const std::string& name, double weight = 1) const {
    return policy_->Value(held_.at(name), weight);
  }
  std::vector<std::string> EvictAll() {
    std::vector<std::string> order;
    for (; !held_.empty(); held_.erase(order.back()))
      order.push_back(
          std::min_element(held_.begin(), held_.end(), [&](const auto& a, const auto& b) {
            return policy_->Value(a.second, 1) < policy_->Value(b.second, 1);
          })->first);
    return order;
  }

 private:
  const std::unique_ptr<EvictionPolicy> policy_;
  std::map<std::string, PrefixTree::Checkpoint> held_;
};

using Names = std::vector<std::string>;
using enum CheckpointKind;

TEST(EvictByReplayCost, OfThoseAlikeWhatSavesLeastGoesFirst) {
  Pool pool(EvictByReplayCost());
  pool.Make("2048", {.replay_tokens = 2048, .kind = kEnd});
  pool.Make("256", {.replay_tokens = 256, .kind = kEnd});
  pool.Make("64", {.replay_tokens = 64, .kind = kAnswer});
  pool.Make("1024", {.replay_tokens = 1024, .kind = kEnd});
  EXPECT_EQ(pool.EvictAll(), (Names{"64", "256", "1024", "2048"}));
}

TEST(EvictByReplayCost, WhatItSavesCountsByTheBytesThatItKeeps) {
  Pool pool(EvictByReplayCost());
  pool.Make("a", {.replay_tokens = 1000, .kind = kEnd});
  EXPECT_DOUBLE_EQ(pool.Value("a", 20), pool.Value("a", 5) / 4);
}

TEST(EvictByReplayCost, WhatLosesItsNeighbourAboveIsWorthMore) {
  Pool pool(EvictByReplayCost());
  pool.Make("lower", {.replay_tokens = 64, .kind = kEnd});
  pool.Make("other", {.replay_tokens = 128, .kind = kEnd});
  pool.at("lower").replay_tokens = 320;  // the one above went
  EXPECT_EQ(pool.EvictAll(), (Names{"other", "lower"}));
}

TEST(EvictByReplayCost, BeforeAnythingIsKnownTheOneUsedLastIsWorthMore) {
  Pool pool(EvictByReplayCost());
  pool.Make("old", {.replay_tokens = 128, .kind = kEnd});
  for (int i = 0; i < 3; ++i) pool.Request();
  pool.Make("new", {.replay_tokens = 128, .kind = kEnd});
  EXPECT_EQ(pool.EvictAll(), (Names{"old", "new"}));
}

TEST(EvictByReplayCost, LearnsWhichRoleIsUsed) {
  Pool pool(EvictByReplayCost());
  // Where conversations stand is resumed from, where they stood never.
  for (int turn = 0; turn < 200; ++turn) {
    pool.Make("stands", {.replay_tokens = 256, .kind = kAnswer});
    pool.Make("stood", {.replay_tokens = 256, .below = 1, .kind = kAnswer});
    pool.Request("stands");
  }
  pool.Make("stands", {.replay_tokens = 256, .kind = kAnswer});
  pool.Make("stood", {.replay_tokens = 256, .below = 1, .kind = kAnswer});
  EXPECT_GT(pool.Value("stands"), 10 * pool.Value("stood"));
}

TEST(EvictByReplayCost, LearnsAtWhichAgeAConversationHasEnded) {
  Pool pool(EvictByReplayCost());
  // Each is gone on with eight requests later, for five turns.
  const auto name = [](int i) { return std::to_string(i); };
  for (int request = 0; request < 1000; ++request) {
    pool.Request(request >= 8 ? name(request - 8) : "");
    if (request >= 8) pool.at(name(request - 8)).below = 1;
    pool.Make(name(request), {.replay_tokens = 256, .kind = kAnswer});
    if (request >= 200) pool.Forget(name(request - 200));
  }
  pool.Make("stands", {.replay_tokens = 256, .kind = kAnswer});
  for (int i = 0; i < 7; ++i) pool.Request();
  const double expected = pool.Value("stands");
  for (int i = 0; i < 93; ++i) pool.Request();
  EXPECT_GT(expected, 10 * pool.Value("stands")) << "a hundred later nobody comes back";
}

TEST(EvictByReplayCost, OneThatWasUsedIsHeldApartFromThoseThatNeverWere) {
  Pool pool(EvictByReplayCost());
  pool.Make("shared", {.replay_tokens = 256, .kind = kBorder});
  for (int i = 0; i < 300; ++i) {
    pool.Make("alone", {.replay_tokens = 256, .kind = kBorder});
    pool.Request("shared");
  }
  EXPECT_GT(pool.Value("shared"), 10 * pool.Value("alone"));
}

TEST(EvictByReplayCost, ForgetsWhatIsNoLongerSo) {
  Pool pool(EvictByReplayCost());
  const auto age_one = [&](const std::string& used) {
    for (int i = 0; i < 10'000; ++i) {
      pool.Make("a", {.replay_tokens = 256, .kind = kEnd});
      pool.Request(used);
    }
    pool.Make("a", {.replay_tokens = 256, .kind = kEnd});
    return pool.Value("a");
  };
  const double used = age_one("a");
  const double unused = age_one("");
  EXPECT_GT(used, 20 * unused);
  EXPECT_GT(age_one("a"), 0.9 * used);
}

TEST(EvictLeastRecentlyUsed, TheOneUnusedForLongestGoesWhateverItSaves) {
  Pool pool(EvictLeastRecentlyUsed());
  pool.Make("a", {.replay_tokens = 4096});
  pool.Make("b", {.replay_tokens = 64});
  pool.Make("c", {.replay_tokens = 64});
  pool.Make("d", {.replay_tokens = 512});
  pool.Request("b");
  pool.Request("a");
  pool.Request("b");
  EXPECT_EQ(pool.EvictAll(), (Names{"c", "d", "a", "b"}));
}

TEST(EvictLeastRecentlyUsed, ANewOneIsWorthMoreThanEveryOther) {
  const auto policy = EvictLeastRecentlyUsed();
  double last = policy->Value({.stamp = policy->Stamp()}, 1);
  for (int i = 0; i < 100; ++i) {
    const double value = policy->Value({.replay_tokens = i % 7, .stamp = policy->Stamp()}, 1 + i);
    EXPECT_GT(value, last);
    last = value;
    policy->Admitted();
  }
}

}  // namespace
}  // namespace nextgate::engine
