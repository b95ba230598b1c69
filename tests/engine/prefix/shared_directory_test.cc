// PrefixTiers over a directory that other instances use too.
#include "engine/prefix/prefix_tiers.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <utility>

#include "tests/support/faulty_tiers.h"

namespace nextgate::engine {
namespace {

namespace fs = std::filesystem;

class SharedDirectory : public PrefixTiersTest {
 protected:
  void SetUp() override { tiers_ = Open(0, 1 << 20); }
  fs::path FileOf(const TierRecordPtr& record) const {
    return fs::path(dir_.path()) / "model" / (record->key.Hex() + ".prefix");
  }
  // The directory, once from now on, and what is there is known.
  void Look() {
    for (int round = 0; round < 2; ++round) {  // the second begins when the first has been heard of
      tiers_->Wait(100);
      tiers_->Poll();
      const int before = faults_->looks;
      for (int i = 0; i < 4'000 && faults_->looks == before; ++i) {
        if (i % 1'000 == 0) clock_.AdvanceMs(PrefixTiers::kDiscoverMs);
        tiers_->Poll();
        tiers_->Wait(5);
      }
      EXPECT_GT(faults_->looks, before);
    }
    tiers_->check_integrity();
  }
};

TEST_F(SharedDirectory, TwoWritersOfOneRecordAreOneRecord) {
  auto other = Open(0, 1 << 20);
  Fill(1, 11);
  Store(disk_, RecordOf(1), 1);
  Settle();
  std::swap(tiers_, other);
  Store(disk_, RecordOf(1), 1);
  Settle();
  EXPECT_EQ(Files(), 1u);
  for (int i = 0; i < 2; ++i) {
    Look();
    EXPECT_EQ(StatsOf(disk_).records, 1);
    const auto loaded = Load(*Find(1), 5 + i);
    Settle();
    EXPECT_EQ(*loaded, 1);
    EXPECT_EQ(At(5 + i), 11);
    std::swap(tiers_, other);
  }
}

TEST_F(SharedDirectory, WhatAnotherInstanceDeletedIsForgotten) {
  Store(disk_, RecordOf(1), 1);
  Store(disk_, RecordOf(1, 1), 2);
  Store(disk_, RecordOf(2), 3);
  Settle();
  fs::remove(FileOf(RecordOf(1, 1)));
  fs::remove(FileOf(RecordOf(2)));
  Look();
  EXPECT_EQ(StatsOf(disk_).records, 1);
  EXPECT_EQ(Find(1)->tokens, kBlockTokens);
  EXPECT_FALSE(Find(2).has_value());
  EXPECT_EQ(StatsOf(disk_).load_failures, 0u);
}

TEST_F(SharedDirectory, ADirectoryThatWasEmptiedIsUsedAgain) {
  Store(disk_, RecordOf(1), 1);
  Settle();
  fs::remove_all(fs::path(dir_.path()) / "model");
  Look();
  EXPECT_EQ(StatsOf(disk_).records, 0);
  Store(disk_, RecordOf(2), 2);
  Settle();
  EXPECT_EQ(StatsOf(disk_).state, "works");
  EXPECT_EQ(Files(), 1u);
}

// They take room that nobody counts, and may tell what was asked.
TEST_F(SharedDirectory, DamagedFilesAreDeletedWhenTheyAreFound) {
  Store(disk_, RecordOf(1), 1);
  Store(disk_, RecordOf(2), 2);
  Settle();
  tiers_->Drain(10'000);
  fs::resize_file(FileOf(RecordOf(1)), 70);
  std::ofstream(fs::path(dir_.path()) / "model" / "notes.prefix") << "somebody else's";
  tiers_ = Open(0, 1 << 20);
  EXPECT_EQ(StatsOf(disk_).records, 1);
  EXPECT_FALSE(fs::exists(FileOf(RecordOf(1))));
  EXPECT_EQ(Files(), 2u);
}

TEST_F(SharedDirectory, WhatCameBackAfterItWasGoneIsNotDeleted) {
  Store(disk_, RecordOf(1), 1);
  Settle();
  const auto found = Find(1);
  fs::rename(FileOf(RecordOf(1)), dir_.path() + "/kept");
  const auto loaded = Load(*found, 5);
  Settle();
  EXPECT_EQ(*loaded, 0);
  EXPECT_EQ(StatsOf(disk_).records, 0);
  Look();  // it has seen that it is gone
  fs::rename(dir_.path() + "/kept", FileOf(RecordOf(1)));
  Look();
  EXPECT_EQ(StatsOf(disk_).records, 1);
  EXPECT_EQ(Files(), 1u);
}

TEST_F(SharedDirectory, WhatContinuesNothingYetWaitsForItsBeginning) {
  Store(disk_, RecordOf(1), 1);
  Store(disk_, RecordOf(1, 1), 2);
  Settle();
  tiers_->Drain(10'000);
  fs::rename(FileOf(RecordOf(1)), dir_.path() + "/kept");
  tiers_ = Open(0, 1 << 20);
  EXPECT_EQ(StatsOf(disk_).records, 0);
  Look();
  EXPECT_EQ(Files(), 2u);
  fs::rename(dir_.path() + "/kept", FileOf(RecordOf(1)));
  Look();
  EXPECT_EQ(StatsOf(disk_).records, 2);
  EXPECT_EQ(Find(1)->tokens, 2 * kBlockTokens);

  tiers_->Drain(10'000);
  fs::remove(FileOf(RecordOf(1)));
  tiers_ = Open(0, 1 << 20);
  clock_.AdvanceMs(PrefixTiers::kOrphanMs);
  Look();
  EXPECT_EQ(Files(), 0u) << "for an hour";
}

TEST_F(SharedDirectory, ARestartKnowsWhatWasUsedLast) {
  for (int32_t i = 0; i < 6; ++i) {
    Store(disk_, RecordOf(i), i);
    Settle();
  }
  Store(disk_, RecordOf(0, 1), 7);
  Settle();
  const auto now = fs::file_time_type::clock::now();
  for (int32_t i = 0; i < 6; ++i)
    fs::last_write_time(FileOf(RecordOf(i)), now - std::chrono::hours(10 - i));
  fs::last_write_time(FileOf(RecordOf(0, 1)), now - std::chrono::hours(1));
  const auto loaded = Load(*Find(1), 9);  // the oldest, and used now
  Settle();
  EXPECT_EQ(*loaded, 1);
  const int64_t bytes = StatsOf(disk_).bytes;
  tiers_->Drain(10'000);

  tiers_ = Open(0, bytes * 4 / 7);  // for four of them
  EXPECT_EQ(StatsOf(disk_).records, 4);
  for (int32_t i = 0; i < 6; ++i) EXPECT_EQ(Find(i).has_value(), i == 0 || i == 1 || i == 5) << i;
  EXPECT_EQ(Find(0)->tokens, 2 * kBlockTokens) << "a beginning was used with what continues it";
  Store(disk_, RecordOf(8), 8);  // the longest unused goes
  Settle();
  EXPECT_FALSE(Find(5).has_value());
  tiers_->Drain(10'000);
  EXPECT_EQ(Files(), 4u);
}

TEST_F(SharedDirectory, AnotherRecordUnderThisNameIsAMiss) {
  Store(disk_, RecordOf(1), 1);
  Store(disk_, RecordOf(2), 2);
  Settle();
  fs::copy_file(FileOf(RecordOf(2)), FileOf(RecordOf(1)), fs::copy_options::overwrite_existing);
  const auto loaded = Load(*Find(1), 5);
  const auto control = Load(*Find(2), 6);
  Settle();
  EXPECT_EQ(*loaded, 0);
  EXPECT_EQ(*control, 1);
  EXPECT_EQ(StatsOf(disk_).load_failures, 1u);
  EXPECT_TRUE(StatsOf(disk_).works);
  EXPECT_FALSE(Find(1).has_value());
}

// Only a state that is wanted is read, and so only that can be found damaged.
TEST_F(SharedDirectory, BlocksAreReadWithoutTheirState) {
  Fill(1, 11);
  Store(disk_, RecordOf(1), 1);
  Settle();
  {
    std::fstream file(FileOf(RecordOf(1)), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-1, std::ios::end);
    file.put(99);
  }
  const auto found = Find(1);
  auto result = std::make_shared<int>(-1);
  tiers_->Load(*found, {{.slot = -1, .blocks = {5}}}, [result](bool ok) { *result = ok; });
  Settle();
  EXPECT_EQ(*result, 1);
  const auto loaded = Load(*found, 6);
  Settle();
  EXPECT_EQ(*loaded, 0);
}

}  // namespace
}  // namespace nextgate::engine
