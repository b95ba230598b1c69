// The prefix cache's lower tiers, behind the device's pools: host memory, then a directory. What is
// worth keeping is copied down soon after it was made (so giving it up on the device costs nothing),
// and copied up again when a prompt needs it. One worker does all copying; the engine thread only
// hands jobs over and collects what is done.
//
// Whatever goes wrong in a tier is a miss. A tier in trouble (a full or broken disk) is left alone for
// kTroubleMs, with one line in the log.
//
// Threads: all methods on the engine thread.
#pragma once

#include <array>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "engine/engine.h"
#include "engine/prefix/tier_index.h"
#include "engine/prefix/tier_store.h"

namespace nextgate::engine {

struct PrefixTierOptions {
  int64_t host_bytes = 0;  // 0: no such tier
  std::string disk_dir;    // empty: no such tier
  int64_t disk_bytes = 0;
  std::string identity;  // of model, types, shapes and format; names a folder below disk_dir
};

class PrefixTiers {
 public:
  static constexpr int64_t kTroubleMs = 60'000;
  static constexpr int64_t kDiscoverMs = 2'000;  // how often others' files are looked for
  static constexpr size_t kStoresMax = 64;       // that wait; more are not stored

  static Result<std::unique_ptr<PrefixTiers>> Open(const DevicePools& device,
                                                   const PrefixTierOptions& options);
  // Over stores that are there already, the fastest first; for tests.
  PrefixTiers(std::vector<std::unique_ptr<TierStore>> stores, const Clock& clock);
  ~PrefixTiers();  // waits for the job that runs; what waits is dropped, and its `done` never called

  int32_t count() const { return static_cast<int32_t>(tiers_.size()); }

  // Copying down: the tier lacks the record, works, and can take another job.
  bool Wants(int32_t tier, const BlockKey& key) const;
  bool Has(int32_t tier, const BlockKey& key) const { return tiers_[tier].index.Has(key); }
  // Nothing happens if there is no room. `done` is called once the device's places are not read any
  // more, at once if nothing happens. REQUIRES: Wants; the record continues one that the tier Has, or none.
  void Store(int32_t tier, const TierRecordPtr& record, DevicePlace from,
             std::function<void()> done);

  // Copying up: the deepest record of any tier behind `there` tokens and within tokens_max.
  struct Found {
    int32_t tier = 0;
    int32_t tokens = 0;
    std::vector<TierRecordPtr> chain;  // first to last
  };
  std::optional<Found> Find(std::span<const int32_t> tokens, std::span<const BlockKey> keys,
                            int32_t there, int32_t tokens_max);
  // places[i] for chain[i]. `done(ok)`: everything is there, or not.
  void Load(const Found& found, std::vector<DevicePlace> places, std::function<void(bool ok)> done);

  // Forgets every record, those that are being written once that is done.
  void Clear();

  // Calls what is done.
  void Poll();
  // Waits until something is done or `ms` have passed.
  void Wait(int64_t ms);
  // Waits for every job, and calls them all.
  void Drain();

  bool idle() const { return jobs_ == 0; }
  uint64_t version() const { return version_; }  // changes whenever more may be found
  std::vector<PrefixTierStats> stats() const;
  void check_integrity() const;

 private:
  struct Tier {
    std::unique_ptr<TierStore> store;
    TierIndex index;
    int64_t trouble_until_ms = 0;
    PrefixTierStats stats;
  };
  using Job = std::function<std::function<void()>()>;  // on the worker → on the engine thread

  int64_t NowMs() const { return clock_.MonotonicNs() / 1'000'000; }
  bool Works(const Tier& tier) const { return NowMs() >= tier.trouble_until_ms; }
  void Trouble(Tier* tier, const Error& error);
  void Forget(Tier* tier, const BlockKey& key);
  bool MakeRoomFor(Tier* tier, const TierRecord& record);
  void Learn(Tier* tier, const std::vector<TierRecordPtr>& records);
  void Push(Job job, bool urgent);
  void Work();

  const Clock& clock_;
  std::vector<Tier> tiers_;
  size_t jobs_ = 0;    // handed over, `done` not called
  size_t stores_ = 0;  // of those
  uint64_t version_ = 1;
  uint64_t clears_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable finished_;
  std::deque<Job> loads_;                                                   // GUARDED_BY(mutex_)
  std::deque<Job> others_;                                                  // GUARDED_BY(mutex_)
  std::vector<std::function<void()>> done_;                                 // GUARDED_BY(mutex_)
  std::vector<std::pair<int32_t, std::vector<TierRecordPtr>>> discovered_;  // GUARDED_BY(mutex_)
  bool stop_ = false;                                                       // GUARDED_BY(mutex_)
  std::jthread worker_;
};

}  // namespace nextgate::engine
