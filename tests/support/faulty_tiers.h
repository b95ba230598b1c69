// PrefixTiers over real stores, some of which hang as a disk can: in the middle of a system call, for as
// long as the test says.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/sha256.h"
#include "engine/prefix/checkpoint_pool.h"
#include "engine/prefix/kv_pool.h"
#include "engine/prefix/prefix_tiers.h"
#include "tests/support/checkpoint_files.h"
#include "tests/support/fake_model.h"

namespace nextgate::engine {

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

class PrefixTiersTest : public ::testing::Test {
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
    for (const auto& entry : std::filesystem::recursive_directory_iterator(dir_.path()))
      files += entry.is_regular_file();
    return files;
  }

  const nextgate::testing::TempDir dir_;
  ManualClock clock_;
  const std::unique_ptr<KvPool> kv_ = *KvPool::Open(FakeModel().config(), kPlaces);
  const std::unique_ptr<CheckpointPool> checkpoints_ = *CheckpointPool::Open(
      CheckpointLayoutOf(FakeModel().config(), kernels::StateFormat::kFp32), kPlaces);
  const std::shared_ptr<Faults> faults_ = std::make_shared<Faults>();
  std::unique_ptr<PrefixTiers> tiers_;
  int32_t disk_ = 0;
  int stored_ = 0;
};

}  // namespace nextgate::engine
