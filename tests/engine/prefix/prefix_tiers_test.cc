// PrefixTiers over stores that hang, fail, fill up or are slow.
#include "engine/prefix/prefix_tiers.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "tests/support/faulty_tiers.h"

namespace nextgate::engine {
namespace {

using std::chrono::milliseconds;

TEST_F(PrefixTiersTest, WhatAReadThatHangsWasGivenUpForIsNeverWrittenTo) {
  Fill(1, 11);
  Store(disk_, RecordOf(1), 1);
  Settle();
  Fill(2, 22);
  faults_->before.Shut();
  const auto loaded = Load(*Find(1), 2);
  faults_->before.AwaitSomebody();
  Pass(TierWorker::kPatienceMs - 500);
  EXPECT_EQ(*loaded, -1) << "it may still come";
  EXPECT_TRUE(StatsOf(disk_).works);
  Pass(1'000);
  EXPECT_EQ(*loaded, 0);
  EXPECT_TRUE(tiers_->idle());
  EXPECT_FALSE(StatsOf(disk_).works);
  EXPECT_EQ(StatsOf(disk_).load_failures, 1u);
  EXPECT_FALSE(Find(1).has_value()) << "not asked again";

  Fill(2, 33);  // somebody else's by now
  Pass(PrefixTiers::kTroubleMs);
  EXPECT_FALSE(StatsOf(disk_).works) << "it still hangs";
  faults_->before.Open();
  faults_->before.AwaitNobody();
  for (int i = 0; i < 2'000 && !StatsOf(disk_).works; ++i)
    std::this_thread::sleep_for(milliseconds(5));
  ASSERT_TRUE(StatsOf(disk_).works);
  EXPECT_EQ(At(2), 33);
  const auto again = Load(*Find(1), 3);
  Settle();
  EXPECT_EQ(*again, 1);
  EXPECT_EQ(At(3), 11);
}

TEST_F(PrefixTiersTest, WhenWritesHangTheirPlacesComeBackAndTheOtherTierGoesOn) {
  for (Gate* gate : {&faults_->before, &faults_->after_write}) {
    gate->Shut();
    for (int32_t i = 0; i < 3; ++i) Store(disk_, RecordOf(i), i);
    gate->AwaitSomebody();
    stored_ = 0;
    for (int32_t i = 0; i < 3; ++i) {
      Fill(i, 50 + i);
      Store(0, RecordOf(i), i);
    }
    for (int i = 0; i < 2'000 && stored_ < 3; ++i) {
      tiers_->Wait(5);
      tiers_->Poll();
    }
    EXPECT_EQ(stored_, 3) << "in the host's memory";
    Pass(TierWorker::kPatienceMs + 500);
    EXPECT_EQ(stored_, 6) << "one that ran, two that waited";
    EXPECT_TRUE(tiers_->idle());
    EXPECT_FALSE(tiers_->Wants(disk_, RecordOf(9)->key));
    EXPECT_TRUE(StatsOf(0).works);
    const auto loaded = Load(*Find(1), 7);
    for (int i = 0; i < 2'000 && *loaded < 0; ++i) {
      tiers_->Wait(5);
      tiers_->Poll();
    }
    EXPECT_EQ(At(7), 51);

    gate->Open();
    gate->AwaitNobody();
    clock_.AdvanceMs(PrefixTiers::kTroubleMs);
    for (int i = 0; i < 2'000 && !StatsOf(disk_).works; ++i)
      std::this_thread::sleep_for(milliseconds(5));
    EXPECT_EQ(StatsOf(disk_).records, 0);
    Store(disk_, RecordOf(9), 9);
    Settle();
    EXPECT_EQ(Files(), 1u) << "nothing of what was given up is left";
    tiers_->Clear();
    Settle();
  }
}

TEST_F(PrefixTiersTest, ALookThatHangsHoldsNobody) {
  faults_->discovery.Shut();
  Pass(PrefixTiers::kDiscoverMs);
  faults_->discovery.AwaitSomebody();
  Store(disk_, RecordOf(1), 1);  // behind it
  Pass(TierWorker::kPatienceMs + 500);
  EXPECT_EQ(stored_, 1);
  EXPECT_TRUE(tiers_->idle());
  EXPECT_FALSE(StatsOf(disk_).works);
}

TEST_F(PrefixTiersTest, AnEngineThatSeldomLooksFindsADiskThatHangs) {
  faults_->before.Shut();
  Store(disk_, RecordOf(1), 1);
  faults_->before.AwaitSomebody();
  int looks = 0;
  for (tiers_->Poll(); StatsOf(disk_).works && looks < 10; ++looks) {
    clock_.AdvanceMs(20'000);  // a step as long as that
    tiers_->Poll();
  }
  EXPECT_EQ(looks, 2);
  EXPECT_EQ(stored_, 1);
}

TEST_F(PrefixTiersTest, AProcessThatWasStoppedDoesNotBlameTheDisk) {
  faults_->before.Shut();
  Store(disk_, RecordOf(1), 1);
  faults_->before.AwaitSomebody();
  tiers_->Poll();
  clock_.AdvanceMs(60'000);  // nobody looked in all that time, and the worker may have stood still
  tiers_->Poll();
  EXPECT_TRUE(StatsOf(disk_).works);
  faults_->before.Open();
  Settle();
  EXPECT_EQ(StatsOf(disk_).stored, 1u);
}

TEST_F(PrefixTiersTest, TheEndWaitsForNoDisk) {
  faults_->before.Shut();
  for (int32_t i = 0; i < 3; ++i) Store(disk_, RecordOf(i), i);
  faults_->before.AwaitSomebody();
  std::jthread time([this](const std::stop_token& stop) {
    for (; !stop.stop_requested(); std::this_thread::sleep_for(milliseconds(1)))
      clock_.AdvanceMs(100);
  });
  tiers_->Drain(10'000);
  EXPECT_EQ(stored_, 3);
  EXPECT_TRUE(tiers_->idle());
  tiers_.reset();
}

TEST_F(PrefixTiersTest, AFullDiskIsReadFromAndNotWrittenTo) {
  Fill(1, 11);
  Store(disk_, RecordOf(1), 1);
  Settle();
  faults_->write_error = Error{ErrorCode::kResourceExhausted, "no space left on device", {}};
  Store(disk_, RecordOf(2), 2);
  Settle();
  EXPECT_EQ(StatsOf(disk_).store_failures, 1u);
  EXPECT_FALSE(tiers_->Wants(disk_, RecordOf(3)->key));
  EXPECT_EQ(StatsOf(disk_).state, "full");
  const auto loaded = Load(*Find(1), 5);
  Settle();
  EXPECT_EQ(*loaded, 1);
  EXPECT_EQ(At(5), 11);
  faults_->write_error.reset();
  clock_.AdvanceMs(PrefixTiers::kTroubleMs);
  Store(disk_, RecordOf(2), 2);
  Settle();
  EXPECT_EQ(StatsOf(disk_).stored, 2u);
}

TEST_F(PrefixTiersTest, CopiesDownHoldNoMoreOfTheDeviceThanTheyMay) {
  faults_->before.Shut();
  for (int32_t i = 0; i < 4; ++i) {
    EXPECT_TRUE(tiers_->MayStore(disk_, 1));
    EXPECT_EQ(tiers_->MayStore(disk_, 8), i == 0) << "the first, however long";
    Store(disk_, RecordOf(i), i);
  }
  EXPECT_FALSE(tiers_->MayStore(disk_, 1)) << "four states";
  EXPECT_TRUE(tiers_->MayStore(0, 1)) << "each tier for itself";
  faults_->before.Open();
  Settle();
  EXPECT_EQ(stored_, 4);
}

TEST_F(PrefixTiersTest, FromASlowDiskNothingIsReadForAWhile) {
  Store(disk_, RecordOf(1), 1);
  Settle();
  faults_->before.Shut();
  const auto loaded = Load(*Find(1), 5);
  faults_->before.AwaitSomebody();
  EXPECT_TRUE(Find(1).has_value());
  Pass(PrefixTiers::kSlowMs);
  EXPECT_FALSE(Find(1).has_value());
  EXPECT_TRUE(StatsOf(disk_).works && tiers_->Wants(disk_, RecordOf(2)->key));
  EXPECT_EQ(StatsOf(disk_).state, "slow");
  faults_->before.Open();
  Settle();
  EXPECT_EQ(*loaded, 1);
  EXPECT_FALSE(Find(1).has_value());
  clock_.AdvanceMs(PrefixTiers::kTroubleMs);
  EXPECT_TRUE(Find(1).has_value());
}

// Each of many loads is as quick as the disk, however long it had to wait for its turn.
TEST_F(PrefixTiersTest, ManyLoadsAtOnceAreNoSlowDisk) {
  Store(disk_, RecordOf(1), 1);
  Settle();
  faults_->before.Shut();
  std::vector<std::shared_ptr<int>> loads;
  for (int32_t i = 0; i < 3; ++i) loads.push_back(Load(*Find(1), 5 + i));
  for (const auto& loaded : loads) {
    faults_->before.AwaitSomebody();
    Pass(PrefixTiers::kSlowMs - 500);
    faults_->before.Step();
    for (int i = 0; i < 2'000 && *loaded < 0; ++i) {
      tiers_->Wait(5);
      tiers_->Poll();
    }
    EXPECT_EQ(*loaded, 1);
  }
  EXPECT_EQ(StatsOf(disk_).state, "works");
  EXPECT_TRUE(Find(1).has_value());
  const auto one = Load(*Find(1), 9);
  EXPECT_FALSE(Find(1).has_value()) << "it would be waited for in vain";
  faults_->before.Open();
  Settle();
  EXPECT_EQ(*one, 1);
}

// It is cleared while a record is being written, read, and waits.
TEST_F(PrefixTiersTest, AfterClearNothingIsLeftOfWhatWasOnItsWay) {
  for (const int32_t tier : {0, disk_}) {
    Store(tier, RecordOf(1), 1);
    Settle();
    faults_->before.Shut();
    const auto found = Find(1);
    ASSERT_EQ(found->tier, tier);
    const auto loaded = Load(*found, 9);
    Store(tier, RecordOf(2), 2);
    Store(tier, RecordOf(2, 1), 3);
    tiers_->Clear();
    tiers_->check_integrity();
    EXPECT_FALSE(Find(1) || Find(2));
    EXPECT_FALSE(tiers_->Wants(tier, RecordOf(2)->key)) << "its writer has its name";
    faults_->before.Open();
    Settle();
    EXPECT_EQ(StatsOf(tier).records, 0);
    EXPECT_EQ(StatsOf(tier).bytes, 0);
    Store(tier, RecordOf(2), 2);
    Settle();
    EXPECT_EQ(StatsOf(tier).records, 1);
    EXPECT_EQ(Files(), tier == disk_ ? 1u : 0u);
    tiers_->Clear();
  }
}

}  // namespace
}  // namespace nextgate::engine
