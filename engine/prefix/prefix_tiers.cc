#include "engine/prefix/prefix_tiers.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <ranges>
#include <unordered_set>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/sha256.h"

namespace nextgate::engine {

Result<std::unique_ptr<PrefixTiers>> PrefixTiers::Open(const DevicePools& device,
                                                       const PrefixTierOptions& options) {
  std::vector<std::unique_ptr<TierStore>> stores;
  if (options.host_bytes > 0) {
    ASSIGN_OR_RETURN(auto host, OpenHostStore(device, options.host_bytes));
    stores.push_back(std::move(host));
  }
  if (!options.disk_dir.empty()) {
    ASSIGN_OR_RETURN(auto disk,
                     OpenDiskStore(device, options.disk_dir, options.identity, options.disk_bytes));
    stores.push_back(std::move(disk));
  }
  return std::make_unique<PrefixTiers>(std::move(stores), options.limits, Clock::System());
}

PrefixTiers::PrefixTiers(std::vector<std::unique_ptr<TierStore>> stores, const TierLimits& limits,
                         const Clock& clock)
    : clock_(clock), limits_(limits) {
  tiers_.reserve(stores.size());  // jobs point at them
  for (auto& store : stores) {
    Tier& tier = tiers_.emplace_back(std::move(store), bell_, clock_);
    if (tier.store->is_shared()) Discover(&tier);
  }
  for (const Tier& tier : tiers_) {
    AwaitIdle(tier, std::numeric_limits<int64_t>::max());
    LogInfo("prefix cache: {} tier of {:.2f} GiB, {} records found", tier.store->name(),
            static_cast<double>(tier.index.bytes_max()) / (1 << 30), tier.index.size());
  }
}

PrefixTiers::Tier::Tier(std::unique_ptr<TierStore> from, const std::shared_ptr<TierBell>& bell,
                        const Clock& clock)
    : store(std::move(from)),
      index(store->bytes_max()),
      worker(std::make_unique<TierWorker>(bell, clock)) {
  stats.name = store->name();
  stats.bytes_max = store->bytes_max();
}

bool PrefixTiers::Works(const Tier& tier) const {
  return NowMs() >= tier.trouble_until_ms && !tier.worker->left_behind();
}

// --- copying down ---

bool PrefixTiers::Wants(int32_t tier, const BlockKey& key) const {
  const Tier& t = tiers_[tier];
  return !drained_ && !t.index.Knows(key) && Works(t) && NowMs() >= t.full_until_ms;
}

bool PrefixTiers::MayStore(int32_t tier, int32_t blocks_held) const {
  const TierLimits& held = tiers_[tier].held;
  return held.checkpoints == 0 ||
         (held.checkpoints < limits_.checkpoints && held.blocks + blocks_held <= limits_.blocks);
}

void PrefixTiers::Store(int32_t tier, const TierRecordPtr& record, DevicePlace from,
                        int32_t blocks_held, std::function<void()> done) {
  Tier* t = &tiers_[tier];
  if (!MakeRoomFor(t, *record)) {
    ++t->stats.skipped;
    done();
    return;
  }
  t->index.Insert(record, t->store->RecordBytes(record->blocks()), /*written=*/false);
  t->store->Reserve(*record);
  ++moves_;
  ++t->held.checkpoints;
  t->held.blocks += blocks_held;
  t->worker->Push([store = t->store, record, from = std::move(from)](
                      TierJob& job) { return store->Write(*record, from, job); },
                  [=, this, done = std::move(done)](const Status& written) {
                    --moves_;
                    --t->held.checkpoints;
                    t->held.blocks -= blocks_held;
                    if (!t->index.Written(record->key)) {
                      t->store->Free(*record);
                      Flush(t);
                    } else if (written) {
                      ++t->stats.stored;
                      ++version_;
                    } else {
                      StoreFailed(t, *record, written.error());
                    }
                    done();
                  },
                  /*urgent=*/false);
}

void PrefixTiers::StoreFailed(Tier* tier, const TierRecord& record, const Error& error) {
  ++tier->stats.store_failures;
  Forget(tier, record.key);
  if (error.code == ErrorCode::kCancelled) return;
  if (error.code == ErrorCode::kDataLoss) return LogWarning("prefix cache: {}", error.message);
  if (error.code != ErrorCode::kResourceExhausted) return Trouble(tier, error.message);
  if (NowMs() >= tier->full_until_ms)
    LogWarning("prefix cache: nothing is written to the {} tier for {} s: {}", tier->store->name(),
               kTroubleMs / 1000, error.message);
  tier->full_until_ms = NowMs() + kTroubleMs;
}

// --- copying up ---

std::optional<PrefixTiers::Found> PrefixTiers::Find(std::string_view scope,
                                                    std::span<const int32_t> tokens,
                                                    std::span<const BlockKey> keys, int32_t there,
                                                    int32_t tokens_max) {
  const int32_t deepest =
      std::min(tokens_max, (static_cast<int32_t>(keys.size()) - 1) * kBlockTokens) / kBlockTokens *
      kBlockTokens;
  for (int32_t to = deepest; to > there; to -= kBlockTokens)
    for (int32_t tier = 0; tier < count(); ++tier) {
      const Tier& t = tiers_[tier];
      if (!t.index.Has(keys[static_cast<size_t>(to / kBlockTokens)])) continue;
      if (!MayLoad(t)) continue;
      auto chain = t.index.Chain(Sha256(scope), tokens, keys, to);
      if (!chain.empty()) return Found{.tier = tier, .tokens = to, .chain = std::move(chain)};
    }
  return std::nullopt;
}

// Nobody begins what is waited for in vain: behind so many others.
bool PrefixTiers::MayLoad(const Tier& tier) const {
  const double ms = 2 * tier.load_ms * static_cast<double>(tier.loads_since_ms.size() + 1);
  return Works(tier) && NowMs() >= tier.slow_until_ms &&
         (tier.loads_since_ms.empty() || ms < kSlowMs);
}

void PrefixTiers::Load(const Found& found, std::vector<DevicePlace> places,
                       std::function<void(bool ok)> done) {
  Tier* t = &tiers_[found.tier];
  for (const auto& record : found.chain) {
    t->index.Touch(record->key);
    t->index.Pin(record);
  }
  ++moves_;
  t->loads_since_ms.push_back(NowMs());
  auto bad = std::make_shared<TierRecordPtr>(found.chain.back());
  t->worker->Push(
      [store = t->store, chain = found.chain, places = std::move(places),
       bad](TierJob& job) -> Status {
        const auto wanted = [](int32_t place) { return place >= 0; };
        for (size_t i = 0; i < chain.size(); ++i) {
          if (places[i].slot < 0 && std::ranges::none_of(places[i].blocks, wanted)) continue;
          *bad = chain[i];
          RETURN_IF_ERROR(store->Read(*chain[i], places[i], job));
        }
        return {};
      },
      [=, this, chain = found.chain, done = std::move(done)](const Status& read) {
        --moves_;
        const auto took_ms = static_cast<double>(NowMs() - t->loads_since_ms.front());
        t->load_ms += (took_ms - t->load_ms) / 4;
        t->loads_since_ms.pop_front();
        if (!t->loads_since_ms.empty()) t->loads_since_ms.front() = NowMs();  // it begins now
        for (const auto& record : chain) t->index.Unpin(record);
        if (read) {
          ++t->stats.loaded;
        } else {
          LoadFailed(t, **bad, read.error());
        }
        done(read.has_value());
      },
      /*urgent=*/true);
}

void PrefixTiers::LoadFailed(Tier* tier, const TierRecord& record, const Error& error) {
  ++tier->stats.load_failures;
  switch (error.code) {
    case ErrorCode::kCancelled:
      return;
    case ErrorCode::kNotFound:  // another instance made room
      LogDebug("prefix cache: {}", error.message);
      return ForgetGone(tier, record.key);
    case ErrorCode::kDataLoss:
      LogWarning("prefix cache: {}", error.message);
      return Forget(tier, record.key);
    default:
      return Trouble(tier, error.message);
  }
}

// --- what goes wrong, and room ---

void PrefixTiers::Trouble(Tier* tier, const std::string& what) {
  if (NowMs() >= tier->trouble_until_ms)
    LogWarning("prefix cache: the {} tier is left alone for {} s: {}", tier->store->name(),
               kTroubleMs / 1000, what);
  tier->trouble_until_ms = NowMs() + kTroubleMs;
}

void PrefixTiers::Forget(Tier* tier, const BlockKey& key) {
  std::vector<TierRecordPtr> removed;
  tier->index.Remove(key, &removed);
  for (const auto& record : removed) tier->store->Free(*record);
}

void PrefixTiers::LookForSlowLoads(Tier* tier) {
  if (tier->loads_since_ms.empty() || NowMs() - tier->loads_since_ms.front() < kSlowMs) return;
  if (NowMs() >= tier->slow_until_ms)
    LogWarning("prefix cache: nothing is read from the {} tier for {} s: a read took over {} s",
               tier->store->name(), kTroubleMs / 1000, kSlowMs / 1000);
  tier->slow_until_ms = NowMs() + kTroubleMs;
}

// Whoever took it away may write it again: what has its name is not ours to take away.
void PrefixTiers::ForgetGone(Tier* tier, const BlockKey& key) {
  std::vector<TierRecordPtr> removed;
  tier->index.Remove(key, &removed);
  for (const auto& record : removed)
    if (record->key != key || !tier->store->is_shared()) tier->store->Free(*record);
}

// Not at the cost of the one that it continues.
bool PrefixTiers::MakeRoomFor(Tier* tier, const TierRecord& record) {
  std::vector<TierRecordPtr> given_up;
  const bool fits =
      tier->index.MakeRoom(tier->store->RecordBytes(record.blocks()), record.above, &given_up);
  for (const auto& old : given_up) tier->store->Free(*old);
  tier->stats.evicted += given_up.size();
  return fits;
}

void PrefixTiers::Clear() {
  for (Tier& tier : tiers_) {
    std::vector<TierRecordPtr> removed;
    tier.index.RemoveAll(&removed);
    for (const auto& record : removed) tier.store->Free(*record);
    for (const auto& [record, since] : tier.orphans) tier.store->Free(*record);
    tier.orphans.clear();
    Flush(&tier);
  }
}

// At once: what was freed would wait for the next job.
void PrefixTiers::Flush(Tier* tier) {
  ++flushes_;
  tier->worker->Push(
      [store = tier->store](TierJob&) {
        store->Flush();
        return Status();
      },
      [this](const Status&) { --flushes_; }, /*urgent=*/true);
}

bool PrefixTiers::cleared() const {
  return flushes_ == 0 &&
         std::ranges::all_of(tiers_, [](const Tier& tier) { return tier.index.doomed() == 0; });
}

// --- what others wrote ---

void PrefixTiers::Discover(Tier* tier) {
  tier->discover_ms = std::numeric_limits<int64_t>::max();
  auto discovery = std::make_shared<TierDiscovery>();
  tier->worker->Push(
      [store = tier->store, discovery](TierJob& job) {
        *discovery = store->Discover(job);
        return Status();
      },
      [this, tier, discovery](const Status& looked) {
        tier->discover_ms = NowMs() + kDiscoverMs;
        if (looked) Learn(tier, *discovery);
      },
      /*urgent=*/false);
}

// What has no room goes, and what continues it. What continues nothing waits: its beginning may not have been
// written, or not been seen, yet.
void PrefixTiers::Learn(Tier* tier, const TierDiscovery& discovery) {
  for (const BlockKey& key : discovery.gone) ForgetGone(tier, key);

  std::vector<std::pair<TierRecordPtr, int64_t>> found;
  for (const auto& record : discovery.records) found.emplace_back(record, NowMs());
  std::ranges::move(std::exchange(tier->orphans, {}), std::back_inserter(found));
  int64_t bytes = 0;
  std::vector<BlockKey> learned;
  std::unordered_set<BlockKey> turned_away;
  for (auto& [record, since] : found) {
    if (tier->index.Knows(record->key)) continue;
    const bool goes_on = record->from == 0 || tier->index.Has(record->above);
    if (!goes_on && !turned_away.contains(record->above) && NowMs() - since < kOrphanMs) {
      tier->orphans.emplace_back(std::move(record), since);
      continue;
    }
    const int64_t more = tier->store->RecordBytes(record->blocks());
    if (!goes_on || bytes + more > tier->index.bytes_max() || !MakeRoomFor(tier, *record)) {
      turned_away.insert(record->key);
      tier->store->Free(*record);
      continue;
    }
    bytes += more;
    learned.push_back(record->key);
    tier->index.Insert(std::move(record), more, /*written=*/true);
  }
  for (const BlockKey& key : learned | std::views::reverse) tier->index.Touch(key);
  tier->stats.discovered += learned.size();
  if (!learned.empty()) ++version_;
}

// --- as time goes by ---

void PrefixTiers::Poll() {
  for (Tier& tier : tiers_) {
    if (!tier.worker->Poll()) {
      const std::string what =
          fmt::format("it has not answered for {} s", TierWorker::kPatienceMs / 1000);
      Trouble(&tier, what);
      tier.worker->GiveUp({ErrorCode::kCancelled, what, {}});
    }
    LookForSlowLoads(&tier);
    if (!drained_ && tier.store->is_shared() && NowMs() >= tier.discover_ms && Works(tier))
      Discover(&tier);
  }
}

void PrefixTiers::Drain(int64_t ms) {
  const int64_t until_ms = NowMs() + ms;
  drained_ = true;
  for (Tier& tier : tiers_) {
    AwaitIdle(tier, until_ms);
    Flush(&tier);  // what those that were done have freed
    AwaitIdle(tier, until_ms);
    if (tier.worker->idle()) continue;
    LogWarning("prefix cache: {} records were not written to the {} tier in time",
               tier.held.checkpoints, tier.store->name());
    tier.worker->GiveUp({ErrorCode::kCancelled, "the server stops", {}});
  }
}

void PrefixTiers::AwaitIdle(const Tier& tier, int64_t until_ms) {
  for (Poll(); !tier.worker->idle() && NowMs() < until_ms; Poll()) Wait(100);
}

std::vector<PrefixTierStats> PrefixTiers::stats() const {
  std::vector<PrefixTierStats> all;
  for (const Tier& tier : tiers_) {
    all.push_back(tier.stats);
    all.back().records = static_cast<int64_t>(tier.index.size());
    all.back().bytes = tier.index.bytes();
    all.back().works = Works(tier);
    all.back().state = !Works(tier)                   ? "left alone"
                       : NowMs() < tier.slow_until_ms ? "slow"
                       : NowMs() < tier.full_until_ms ? "full"
                                                      : "works";
  }
  return all;
}

void PrefixTiers::check_integrity() const {
  for (const Tier& tier : tiers_) {
    tier.index.check_integrity();
    CHECK(tier.held.checkpoints >= 0 && tier.held.blocks >= 0);
    CHECK(!idle() || (tier.held.checkpoints == 0 && tier.held.blocks == 0));
  }
}

}  // namespace nextgate::engine
