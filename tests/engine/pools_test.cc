#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "engine/memory/memory_plan.h"
#include "engine/prefix/checkpoint_pool.h"
#include "engine/prefix/kv_pool.h"
#include "engine/prefix/state_pool.h"
#include "tests/support/fake_model.h"

namespace nextgate::engine {
namespace {

TEST(KvPool, HandsEachBlockToOneTableUnderAnyOrderOfCalls) {
  const FakeModel model;
  auto pool = KvPool::Open(model.config(), 23);
  ASSERT_TRUE(pool.has_value());
  std::mt19937 random(5);
  std::vector<std::vector<int32_t>> tables(6);
  for (int step = 0; step < 2000; ++step) {
    auto& table = tables[random() % tables.size()];
    if (random() % 3 == 0) {
      (*pool)->GiveBack(&table);
    } else if (const auto count = static_cast<int32_t>(random() % 5);
               count <= (*pool)->blocks_free()) {
      (*pool)->Take(count, &table);
    }
    std::set<int32_t> held;
    size_t total = 0;
    for (const auto& t : tables) {
      held.insert(t.begin(), t.end());
      total += t.size();
    }
    ASSERT_EQ(held.size(), total) << "a block is in two tables";
    ASSERT_EQ((*pool)->blocks_used(), static_cast<int32_t>(total));
    (*pool)->check_integrity();
  }
}

TEST(KvPool, ReusesTheBlocksGivenBackLastSoThatMemoryStaysUntouched) {
  const FakeModel model;
  auto pool = KvPool::Open(model.config(), 100);
  std::vector<int32_t> table;
  (*pool)->Take(3, &table);
  const std::vector<int32_t> first = table;
  for (int i = 0; i < 10; ++i) {
    (*pool)->GiveBack(&table);
    (*pool)->Take(3, &table);
    EXPECT_EQ(table, first);
  }
  (*pool)->GiveBack(&table);
}

TEST(KvPool, StorageHasTheShapeOfTheModelAndABlockLiesTogether) {
  const FakeModel model;
  auto pool = KvPool::Open(model.config(), 4);
  const KvStorage& kv = (*pool)->storage();
  EXPECT_EQ(kv.k.shape, (std::array<int64_t, 5>{1, 4, 1, kBlockTokens, 2}));
  EXPECT_EQ(KvPool::BlockBytes(model.config()), 2 * kBlockTokens * 2 * 4);
  EXPECT_EQ(kv.v.at(0, 2), kv.k.at(0, 2) + kBlockTokens * 2);
  EXPECT_EQ(kv.k.at(0, 3), kv.v.at(0, 2) + kBlockTokens * 2);
  *kv.v.at(0, 3, 0, kBlockTokens - 1, 1) = 1;  // the last element is ours
}

TEST(KvPoolDeathTest, AbortsOnABlockGivenBackTwice) {
  const FakeModel model;
  auto pool = KvPool::Open(model.config(), 4);
  std::vector<int32_t> table;
  (*pool)->Take(1, &table);
  std::vector<int32_t> again = table;
  (*pool)->GiveBack(&table);
  EXPECT_DEATH((*pool)->GiveBack(&again), "given back twice");
}

// Pages of three blocks that hold a checkpoint each.
struct Shared {
  explicit Shared(int32_t count, int32_t slots_max)
      : pages(*PagePool::Open(3 * KvPool::BlockBytes(model.config()), count, "pages")),
        kv(KvPool::OpenIn(model.config(), pages)),
        checkpoints(CheckpointPool::OpenIn(
            CheckpointLayoutOf(model.config(), kernels::StateFormat::kFp32), pages, slots_max)) {}
  void check_integrity() const {
    kv->check_integrity();
    checkpoints->check_integrity();
  }

  const FakeModel model;
  const std::shared_ptr<PagePool> pages;
  const std::unique_ptr<KvPool> kv;
  const std::unique_ptr<CheckpointPool> checkpoints;
};

TEST(SharedPages, WhatBlocksDoNotTakeCheckpointsCanAndTheOtherWayRound) {
  Shared shared(4, 3);
  EXPECT_EQ(shared.kv->blocks_total(), 12);
  EXPECT_EQ(shared.checkpoints->slots_total(), 3);
  std::vector<int32_t> table;
  shared.kv->Take(4, &table);  // two pages
  EXPECT_EQ(shared.kv->blocks_free(), 8);
  EXPECT_EQ(shared.checkpoints->slots_free(), 2);
  const auto slot = shared.checkpoints->Take();
  EXPECT_EQ(shared.kv->blocks_free(), 5);
  EXPECT_EQ(shared.checkpoints->slots_free(), 1);
  shared.kv->Take(5, &table);
  EXPECT_EQ(shared.checkpoints->Take(), std::nullopt);
  shared.kv->GiveBack(&table);
  EXPECT_EQ(shared.checkpoints->slots_free(), 2) << "no more than three";
  shared.checkpoints->GiveBack(*slot);
  EXPECT_EQ(shared.kv->blocks_free(), 12);
  shared.check_integrity();
}

TEST(SharedPages, ABlockAndACheckpointOfOnePageAreTheSameBytes) {
  Shared shared(2, 2);
  const auto* slot = reinterpret_cast<const float*>(shared.checkpoints->storage().at(1));
  EXPECT_EQ(shared.kv->storage().k.at(0, 3), slot);
  EXPECT_EQ(shared.checkpoints->storage().at(1) - shared.checkpoints->storage().at(0),
            3 * KvPool::BlockBytes(shared.model.config()));
}

TEST(SharedPages, TheEmptiestPageThatMayBeMovedIsVacated) {
  Shared shared(3, 3);
  std::vector<int32_t> table;
  shared.kv->Take(9, &table);
  const auto any = [](int32_t) { return true; };
  const auto nothing = [](int32_t, int32_t) { FAIL() << "moved"; };
  EXPECT_FALSE(shared.kv->VacatePage(any, nothing)) << "no block is free";
  for (const int32_t free : {0, 3, 4}) {  // of the pages 0, 1, 1
    shared.kv->GiveBack(free);
    std::erase(table, free);
  }
  for (const int32_t block : table)
    *shared.kv->storage().v.at(0, block) = static_cast<float>(block);
  EXPECT_FALSE(shared.kv->VacatePage([](int32_t block) { return block == 8; }, nothing));
  std::map<int32_t, int32_t> moves;
  const auto moved = [&](int32_t from, int32_t to) {
    moves[from] = to;
    EXPECT_EQ(*shared.kv->storage().v.at(0, to), static_cast<float>(from));
  };
  EXPECT_TRUE(shared.kv->VacatePage(any, moved));
  EXPECT_EQ(moves, (std::map<int32_t, int32_t>{{5, 0}}));
  EXPECT_EQ(shared.checkpoints->Take(), 1);
  EXPECT_EQ(shared.kv->blocks_free(), 0);
  shared.check_integrity();
}

TEST(SharedPages, AFullPageIsVacatedWhereNoOtherMayBe) {
  Shared shared(3, 3);
  std::vector<int32_t> table;
  shared.kv->Take(9, &table);
  for (const int32_t free : {0, 1, 3}) shared.kv->GiveBack(free);
  std::map<int32_t, int32_t> moves;
  EXPECT_TRUE(shared.kv->VacatePage([](int32_t block) { return block >= 6; },
                                    [&](int32_t from, int32_t to) { moves[from] = to; }));
  EXPECT_EQ(moves.size(), 3u);
  EXPECT_EQ(shared.checkpoints->Take(), 2);
  shared.check_integrity();
}

TEST(SharedPages, NothingIsLostUnderAnyOrderOfCalls) {
  Shared shared(7, 5);
  std::mt19937 random(6);
  std::vector<int32_t> table;
  std::vector<int32_t> slots;
  int vacated = 0;
  for (int step = 0; step < 5000; ++step) {
    if (const auto count = static_cast<int32_t>(random() % 4);
        random() % 2 && count <= shared.kv->blocks_free()) {
      shared.kv->Take(count, &table);
    } else if (!table.empty()) {
      std::swap(table[random() % table.size()], table.back());
      shared.kv->GiveBack(&table, table.size() - 1);
    }
    if (random() % 3 == 0) {
      if (shared.pages->pages_free() == 0)
        vacated += shared.kv->VacatePage(
            [](int32_t) { return true; },
            [&](int32_t from, int32_t to) { std::ranges::replace(table, from, to); });
      if (const auto slot = shared.checkpoints->Take()) slots.push_back(*slot);
    } else if (!slots.empty()) {
      shared.checkpoints->GiveBack(slots.back());
      slots.pop_back();
    }
    std::set<int32_t> pages(slots.begin(), slots.end());
    for (const int32_t block : table) pages.insert(7 + block / 3);
    for (const int32_t slot : slots) ASSERT_FALSE(pages.contains(7 + slot)) << "both are in a page";
    ASSERT_EQ(std::set<int32_t>(table.begin(), table.end()).size(), table.size());
    ASSERT_EQ(shared.kv->blocks_used(), static_cast<int32_t>(table.size()));
    ASSERT_EQ(shared.checkpoints->slots_used(), static_cast<int32_t>(slots.size()));
    shared.check_integrity();
  }
  EXPECT_GT(vacated, 50);
}

TEST(StatePool, HandsEachSlotOut) {
  const FakeModel model;
  auto pool = StatePool::Open(model.config(), 3);
  ASSERT_TRUE(pool.has_value());
  const std::set<int32_t> slots = {(*pool)->Take(), (*pool)->Take(), (*pool)->Take()};
  EXPECT_EQ(slots, (std::set<int32_t>{0, 1, 2}));
  EXPECT_EQ((*pool)->slots_free(), 0);
  (*pool)->GiveBack(1);
  (*pool)->check_integrity();
  EXPECT_EQ((*pool)->Take(), 1);
  EXPECT_DEATH((*pool)->GiveBack(7), "not held");
}

MemoryNeeds SmallNeeds() {
  return {.machine_bytes = 1'000'000,
          .utilization = 0.5,
          .weight_bytes = 100'000,
          .activation_bytes = 50'000,
          .logit_bytes = 10'000,
          .slot_bytes = 1'000,
          .slots = 40,
          .block_bytes = 1'000,
          .max_model_len = 6400};
}

TEST(MemoryPlan, SpendsWhatIsLeftOnKvAndNoMore) {
  const auto plan = PlanMemory(SmallNeeds());
  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(plan->blocks, 300);  // 500,000 − 100,000 − 50,000 − 10,000 − 40 × 1,000
  EXPECT_EQ(plan->max_model_len, 6400);
}

TEST(MemoryPlan, TheHostTierIsPartOfIt) {
  MemoryNeeds needs = SmallNeeds();
  needs.host_tier_bytes = 100'000;
  const auto plan = PlanMemory(needs);
  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(plan->blocks, 200);
  needs.machine_bytes = 32 << 20;
  needs.host_tier_bytes = 3 << 20;
  const std::string table = MemoryTable(*PlanMemory(needs));
  EXPECT_NE(table.find("host tier        3.00 MiB"), std::string::npos) << table;
  EXPECT_NE(table.find("total            7.01 MiB"), std::string::npos) << table;
  needs.host_tier_bytes = 16 << 20;
  const auto refused = PlanMemory(needs);
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message.find("host tier 16.00 MiB"), std::string::npos)
      << refused.error().message;
  EXPECT_NE(refused.error().message.find("--prefix-host-gib"), std::string::npos);
}

TEST(MemoryPlan, TakesNoMoreKvThanEverySequenceCouldUse) {
  MemoryNeeds needs = SmallNeeds();
  needs.max_model_len = 65;
  EXPECT_EQ(PlanMemory(needs)->blocks, 80);  // 2 blocks × 40
}

TEST(MemoryPlan, LowersAnUnaskedModelLengthAndRefusesAnAskedOne) {
  MemoryNeeds needs = SmallNeeds();
  needs.max_model_len = 100'000;
  EXPECT_EQ(PlanMemory(needs)->max_model_len, 300 * 64);
  needs.max_model_len_fixed = true;
  const auto refused = PlanMemory(needs);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kResourceExhausted);
  EXPECT_NE(refused.error().message.find("1563 KV blocks"), std::string::npos)
      << refused.error().message;
}

TEST(MemoryPlan, SaysTheArithmeticWhenNothingFits) {
  MemoryNeeds needs = SmallNeeds();
  needs.weight_bytes = int64_t{75} << 30;
  const auto refused = PlanMemory(needs);
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message.find("weights 75.00 GiB"), std::string::npos)
      << refused.error().message;
  needs = SmallNeeds();
  needs.kv_tokens = 64 * 301;
  EXPECT_FALSE(PlanMemory(needs).has_value());
  needs.kv_tokens = 64 * 300;
  EXPECT_EQ(PlanMemory(needs)->blocks, 300);
}

TEST(MemoryPlan, KvAndCheckpointsShareWhatNeitherWasAskedFor) {
  MemoryNeeds needs = SmallNeeds();
  needs.checkpoint_bytes = 2'500;
  needs.checkpoint_fraction = 0.25;
  const auto plan = PlanMemory(needs);
  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(plan->blocks, 225);
  EXPECT_EQ(plan->checkpoints, 30);
  EXPECT_EQ(plan->page_blocks, 3);
  EXPECT_EQ(plan->pages, 100);
  EXPECT_EQ(plan->checkpoints_max, 66) << "34 pages are a sequence of 6,400 tokens";
  EXPECT_NE(MemoryTable(*plan).find("100 pages of a checkpoint or 3 blocks"), std::string::npos);
  needs.checkpoints = 30;
  EXPECT_EQ(PlanMemory(needs)->page_blocks, 0);
  needs.checkpoints = -1;
  needs.kv_tokens = 64 * 200;
  EXPECT_EQ(PlanMemory(needs)->page_blocks, 0);
}

TEST(MemoryPlan, SharesNothingWhereNoCheckpointWouldBeLeft) {
  MemoryNeeds needs = SmallNeeds();
  needs.checkpoint_bytes = 30'000;
  needs.checkpoint_fraction = 0.12;
  const auto plan = PlanMemory(needs);
  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(plan->checkpoints, 1);
  EXPECT_EQ(plan->page_blocks, 30);
  needs.max_model_len = 64 * 264;  // all blocks
  EXPECT_EQ(PlanMemory(needs)->page_blocks, 0);
  needs.checkpoint_fraction = 0;
  EXPECT_EQ(PlanMemory(needs)->page_blocks, 0);
}

TEST(MemoryPlan, KnowsTheMachine) { EXPECT_GT(MachineMemoryBytes(), int64_t{64} << 20); }

}  // namespace
}  // namespace nextgate::engine
