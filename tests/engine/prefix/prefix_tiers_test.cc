// PrefixTiers over real stores, some of which hang as a disk can: in the middle of a system call, for as
// long as the test says.
#include "engine/prefix/prefix_tiers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/sha256.h"
#include "engine/prefix/checkpoint_pool.h"
#include "engine/prefix/kv_pool.h"
#include "tests/support/fake_model.h"
#include "tests/support/temp_dir.h"

namespace nextgate::engine {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

// Where calls are held up while it is shut.
class Gate {
 public:
  void Shut() {
    std::lock_guard lock(mutex_);
    shut_ = true;
  }
  void Open() {
    std::lock_guard lock(mutex_);
    shut_ = false;
    changed_.notify_all();
  }
  // Lets those inside go on, and nobody else.
  void Step() {
    std::unique_lock lock(mutex_);
    ++steps_;
    changed_.notify_all();
    changed_.wait(lock, [this, all = passed_ + inside_] { return passed_ == all; });
  }
  void AwaitSomebody() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return inside_ > 0; });
  }
  void AwaitNobody() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return inside_ == 0; });
  }
  void Pass() {
    std::unique_lock lock(mutex_);
    if (!shut_) return;
    ++inside_;
    changed_.notify_all();
    changed_.wait(lock, [this, steps = steps_] { return !shut_ || steps_ != steps; });
    --inside_;
    ++passed_;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool shut_ = false;
  int inside_ = 0;
  int steps_ = 0;
  int passed_ = 0;
};

// What the disk does when it does not answer, or says an error.
struct Faults {
  Gate before;  // the device's places are touched
  Gate after_write;
  Gate discovery;
  std::atomic<int> looks = 0;
  std::optional<Error> write_error;  // set while the worker rests
};

class FaultyStore final : public TierStore {
 public:
  FaultyStore(std::unique_ptr<TierStore> store, std::shared_ptr<Faults> faults)
      : store_(std::move(store)), faults_(std::move(faults)) {}
  const char* name() const override { return store_->name(); }
  int64_t RecordBytes(int32_t blocks) const override { return store_->RecordBytes(blocks); }
  int64_t bytes_max() const override { return store_->bytes_max(); }
  void Reserve(const TierRecord& record) override { store_->Reserve(record); }
  void Free(const TierRecord& record) override { store_->Free(record); }
  Status Write(const TierRecord& record, const DevicePlace& from, TierJob& job) override {
    faults_->before.Pass();
    if (faults_->write_error) return std::unexpected(*faults_->write_error);
    const Status written = store_->Write(record, from, job);
    faults_->after_write.Pass();
    return written;
  }
  Status Read(const TierRecord& record, const DevicePlace& to, TierJob& job) override {
    faults_->before.Pass();
    return store_->Read(record, to, job);
  }
  bool is_shared() const override { return store_->is_shared(); }
  TierDiscovery Discover(TierJob& job) override {
    faults_->discovery.Pass();
    TierDiscovery discovery = store_->Discover(job);
    ++faults_->looks;
    return discovery;
  }
  void Flush() override { store_->Flush(); }

 private:
  const std::unique_ptr<TierStore> store_;
  const std::shared_ptr<Faults> faults_;
};

class PrefixTiersTest : public testing::Test {
 protected:
  static constexpr int32_t kPlaces = 24;

  void SetUp() override { tiers_ = Open(1 << 20, 1 << 20); }
  void TearDown() override {
    for (Gate* gate : {&faults_->before, &faults_->after_write, &faults_->discovery}) gate->Open();
    tiers_.reset();
  }

  std::unique_ptr<PrefixTiers> Open(int64_t host_bytes, int64_t disk_bytes) {
    const DevicePools device{.kv = kv_->storage(), .checkpoints = checkpoints_->storage()};
    std::vector<std::unique_ptr<TierStore>> stores;
    if (host_bytes > 0) stores.push_back(*OpenHostStore(device, host_bytes));
    stores.push_back(std::make_unique<FaultyStore>(
        *OpenDiskStore(device, dir_.path(), "model", disk_bytes), faults_));
    disk_ = static_cast<int32_t>(stores.size()) - 1;
    return std::make_unique<PrefixTiers>(std::move(stores),
                                         TierLimits{.checkpoints = 4, .blocks = 8}, clock_);
  }

  // The record of one block of the prompt that this number stands for, behind `blocks` others.
  TierRecordPtr RecordOf(int32_t number, int32_t blocks = 0) {
    const auto keys = KeysOf(number);
    const int32_t from = blocks * kBlockTokens;
    return std::make_shared<const TierRecord>(
        TierRecord{.key = keys[static_cast<size_t>(blocks) + 1],
                   .above = keys[static_cast<size_t>(blocks)],
                   .from = from,
                   .to = from + kBlockTokens,
                   .scope_digest = Sha256("scope"),
                   .tokens = std::vector<int32_t>(kBlockTokens, number)});
  }
  static std::vector<int32_t> TokensOf(int32_t number) {
    return std::vector<int32_t>(4 * kBlockTokens, number);
  }
  static std::vector<BlockKey> KeysOf(int32_t number) {
    std::vector<BlockKey> keys = {ScopeKey("scope")};
    ExtendBlockKeys(TokensOf(number), &keys);
    return keys;
  }
  static DevicePlace Place(int32_t place) { return {.slot = place, .blocks = {place}}; }

  // What lies at a place of the device: all bytes alike, or −1.
  void Fill(int32_t place, int byte) {
    const DevicePools device{.kv = kv_->storage(), .checkpoints = checkpoints_->storage()};
    const std::vector<std::byte> block(static_cast<size_t>(device.block_bytes()),
                                       static_cast<std::byte>(byte));
    device.WriteBlock(place, block.data());
    std::memset(device.checkpoints.at(place), byte,
                static_cast<size_t>(device.checkpoints.layout.Bytes()));
  }
  int At(int32_t place) const {
    const DevicePools device{.kv = kv_->storage(), .checkpoints = checkpoints_->storage()};
    std::vector<std::byte> bytes(static_cast<size_t>(device.block_bytes()));
    device.ReadBlock(place, bytes.data());
    const auto* state = device.checkpoints.at(place);
    bytes.insert(bytes.end(), state, state + device.checkpoints.layout.Bytes());
    for (const std::byte byte : bytes)
      if (byte != bytes.front()) return -1;
    return static_cast<int>(bytes.front());
  }

  void Store(int32_t tier, const TierRecordPtr& record, int32_t place) {
    ASSERT_TRUE(tiers_->Wants(tier, record->key));
    ASSERT_TRUE(tiers_->MayStore(tier, record->to / kBlockTokens));
    tiers_->Store(tier, record, Place(place), record->to / kBlockTokens, [this] { ++stored_; });
  }
  // 1: it is there; 0: it is not; nothing yet: −1.
  std::shared_ptr<int> Load(const PrefixTiers::Found& found, int32_t place) {
    auto result = std::make_shared<int>(-1);
    std::vector<DevicePlace> places(found.chain.size(), Place(-1));
    places.back() = Place(place);
    tiers_->Load(found, places, [result](bool ok) { *result = ok; });
    return result;
  }
  std::optional<PrefixTiers::Found> Find(int32_t number) {
    return tiers_->Find("scope", TokensOf(number), KeysOf(number), 0, 4 * kBlockTokens);
  }
  void Settle() {
    for (tiers_->Poll(); !tiers_->idle(); tiers_->Poll()) tiers_->Wait(100);
    tiers_->check_integrity();
  }
  // As an engine that goes round while the time passes.
  void Pass(int64_t ms) {
    for (; ms > 0; ms -= 500) {
      clock_.AdvanceMs(std::min<int64_t>(ms, 500));
      tiers_->Poll();
    }
  }
  PrefixTierStats StatsOf(int32_t tier) const { return tiers_->stats()[static_cast<size_t>(tier)]; }
  size_t Files() const {
    size_t files = 0;
    for (const auto& entry : fs::recursive_directory_iterator(dir_.path()))
      files += entry.is_regular_file();
    return files;
  }

  const test::TempDir dir_;
  ManualClock clock_;
  const std::unique_ptr<KvPool> kv_ = *KvPool::Open(FakeModel().config(), kPlaces);
  const std::unique_ptr<CheckpointPool> checkpoints_ = *CheckpointPool::Open(
      CheckpointLayoutOf(FakeModel().config(), kernels::StateFormat::kFp32), kPlaces);
  const std::shared_ptr<Faults> faults_ = std::make_shared<Faults>();
  std::unique_ptr<PrefixTiers> tiers_;
  int32_t disk_ = 0;
  int stored_ = 0;
};

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

// --- a directory that others use too ---

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
