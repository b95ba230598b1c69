// The prefix cache's lower tiers, behind the device's pools: host memory, then a directory. What is
// worth keeping is copied down soon after it was made (so giving it up on the device costs nothing),
// and copied up again when a prompt needs it. Each tier has a worker that does its copying; the engine
// thread only hands jobs over and collects what is done.
//
// Whatever goes wrong in a tier is a miss. A tier in trouble (a broken disk, or one that hangs) is left
// alone for kTroubleMs, with one line in the log; for as long nothing is written to one that is full, and
// nothing read from one that is slow.
//
// Threads: all methods on the engine thread.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "engine/engine.h"
#include "engine/prefix/tier_index.h"
#include "engine/prefix/tier_store.h"
#include "engine/prefix/tier_worker.h"

namespace nextgate::engine {

// What copies down that are not done yet may hold of the device, in each tier; one is always taken.
struct TierLimits {
  int32_t checkpoints = 0;
  int32_t blocks = 0;
};

struct PrefixTierOptions {
  int64_t host_bytes = 0;  // 0: no such tier
  std::string disk_dir;    // empty: no such tier
  int64_t disk_bytes = 0;
  std::string identity;  // of model, types, shapes and format; names a folder below disk_dir
  TierLimits limits;
};

class PrefixTiers {
 public:
  static constexpr int64_t kTroubleMs = 60'000;
  static constexpr int64_t kSlowMs = 2'000;        // a load that takes so long is worth nothing
  static constexpr int64_t kDiscoverMs = 2'000;    // how often others' files are looked for
  static constexpr int64_t kOrphanMs = 3'600'000;  // what lost its beginning for so long goes

  static Result<std::unique_ptr<PrefixTiers>> Open(const DevicePools& device,
                                                   const PrefixTierOptions& options);
  // Over stores that are there already, the fastest first. Waits for what they hold of earlier runs.
  PrefixTiers(std::vector<std::unique_ptr<TierStore>> stores, const TierLimits& limits,
              const Clock& clock);

  int32_t count() const { return static_cast<int32_t>(tiers_.size()); }

  // Copying down: the tier lacks the record, and is written to.
  bool Wants(int32_t tier, const BlockKey& key) const;
  bool Has(int32_t tier, const BlockKey& key) const { return tiers_[tier].index.Has(key); }
  // It can begin with another one that keeps this many blocks from being given up.
  bool MayStore(int32_t tier, int32_t blocks_held) const;
  // Nothing happens if there is no room. `done` is called once the device's places are not read any
  // more, at once if nothing happens. REQUIRES: Wants, MayStore; the record continues one that the
  // tier Has, or none.
  void Store(int32_t tier, const TierRecordPtr& record, DevicePlace from, int32_t blocks_held,
             std::function<void()> done);

  // Copying up: the deepest record of any tier behind `there` tokens and within tokens_max.
  struct Found {
    int32_t tier = 0;
    int32_t tokens = 0;
    std::vector<TierRecordPtr> chain;  // first to last
  };
  std::optional<Found> Find(std::string_view scope, std::span<const int32_t> tokens,
                            std::span<const BlockKey> keys, int32_t there, int32_t tokens_max);
  // places[i] for chain[i]. `done(ok)`: everything is there, or not, and nobody writes to the places.
  void Load(const Found& found, std::vector<DevicePlace> places, std::function<void(bool ok)> done);

  // Forgets every record, those that are being written once that is done.
  void Clear();
  // What was forgotten is gone from the stores, too.
  bool cleared() const;

  // Calls what is done; gives up what hangs.
  void Poll();
  // Waits until something is done or `ms` have passed.
  void Wait(int64_t ms) { bell_->Wait(ms); }
  // Waits for every job, gives up what is not done in time, and calls them all. Nothing may be asked for
  // afterwards.
  void Drain(int64_t ms);

  bool idle() const { return moves_ == 0; }      // nothing is copied
  uint64_t version() const { return version_; }  // changes whenever more may be found
  std::vector<PrefixTierStats> stats() const;
  void check_integrity() const;

 private:
  struct Tier {
    Tier(std::unique_ptr<TierStore> from, const std::shared_ptr<TierBell>& bell,
         const Clock& clock);

    std::shared_ptr<TierStore> store;  // with the jobs, which may outlive this
    TierIndex index;
    std::unique_ptr<TierWorker> worker;
    PrefixTierStats stats;
    int64_t trouble_until_ms = 0;
    int64_t full_until_ms = 0;
    int64_t slow_until_ms = 0;
    // When each was handed over, and the first of them begun; the first to be done first.
    std::deque<int64_t> loads_since_ms;
    double load_ms = 0;       // of the last ones, smoothed
    int64_t discover_ms = 0;  // next; while one runs never
    TierLimits held;
    std::vector<std::pair<TierRecordPtr, int64_t>> orphans;  // and since when
  };

  int64_t NowMs() const { return clock_.MonotonicNs() / 1'000'000; }
  bool Works(const Tier& tier) const;
  bool MayLoad(const Tier& tier) const;
  void StoreFailed(Tier* tier, const TierRecord& record, const Error& error);
  void LoadFailed(Tier* tier, const TierRecord& record, const Error& error);
  void Trouble(Tier* tier, const std::string& what);
  void Flush(Tier* tier);
  void Forget(Tier* tier, const BlockKey& key);
  void ForgetGone(Tier* tier, const BlockKey& key);
  void LookForSlowLoads(Tier* tier);
  bool MakeRoomFor(Tier* tier, const TierRecord& record);
  void AwaitIdle(const Tier& tier, int64_t until_ms);
  void Discover(Tier* tier);
  void Learn(Tier* tier, const TierDiscovery& discovery);

  const Clock& clock_;
  const TierLimits limits_;
  const std::shared_ptr<TierBell> bell_ = std::make_shared<TierBell>();
  std::vector<Tier> tiers_;
  size_t moves_ = 0;    // handed over, `done` not called
  size_t flushes_ = 0;  // likewise
  uint64_t version_ = 1;
  bool drained_ = false;
};

}  // namespace nextgate::engine
