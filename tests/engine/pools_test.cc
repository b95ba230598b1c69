#include <gtest/gtest.h>

#include <random>
#include <set>

#include "engine/memory/memory_plan.h"
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

TEST(KvPool, StorageHasTheShapeOfTheModelAndDisjointKeysAndValues) {
  const FakeModel model;
  auto pool = KvPool::Open(model.config(), 4);
  const KvStorage& kv = (*pool)->storage();
  EXPECT_EQ(kv.k.shape, (std::array<int64_t, 5>{1, 4, 1, kBlockTokens, 2}));
  EXPECT_EQ(kv.v.data, kv.k.data + kv.k.size());
  EXPECT_EQ(KvPool::BlockBytes(model.config()), 2 * kBlockTokens * 2 * 4);
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

TEST(MemoryPlan, KnowsTheMachine) { EXPECT_GT(MachineMemoryBytes(), int64_t{64} << 20); }

}  // namespace
}  // namespace nextgate::engine
