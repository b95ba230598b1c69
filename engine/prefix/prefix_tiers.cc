#include "engine/prefix/prefix_tiers.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace nextgate::engine {

using std::chrono::milliseconds;

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
  return std::make_unique<PrefixTiers>(std::move(stores), Clock::System());
}

PrefixTiers::PrefixTiers(std::vector<std::unique_ptr<TierStore>> stores, const Clock& clock)
    : clock_(clock) {
  tiers_.reserve(stores.size());  // jobs point at them
  for (auto& store : stores) {
    const int64_t bytes = store->bytes_max();
    PrefixTierStats stats{.name = store->name(), .bytes_max = bytes};
    tiers_.push_back({.store = std::move(store), .index = TierIndex(bytes), .stats = stats});
    Learn(&tiers_.back(), tiers_.back().store->Discover());
  }
  if (!tiers_.empty()) worker_ = std::jthread([this] { Work(); });
}

PrefixTiers::~PrefixTiers() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_.notify_all();
  if (worker_.joinable()) worker_.join();
}

// --- the worker ---

void PrefixTiers::Work() {
  pthread_setname_np(pthread_self(), "prefix-tiers");
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), 19);  // never before a step
  std::unique_lock lock(mutex_);
  int64_t discover_ms = NowMs() + kDiscoverMs;
  while (!stop_) {
    if (loads_.empty() && others_.empty())
      work_.wait_for(lock, milliseconds(std::max<int64_t>(1, discover_ms - NowMs())));
    if (loads_.empty() && NowMs() >= discover_ms) {
      for (size_t i = 0; i < tiers_.size() && !stop_; ++i) {
        lock.unlock();
        auto records = tiers_[i].store->Discover();
        lock.lock();
        if (!records.empty()) discovered_.emplace_back(static_cast<int32_t>(i), std::move(records));
      }
      discover_ms = NowMs() + kDiscoverMs;
      continue;
    }
    auto& queue = loads_.empty() ? others_ : loads_;
    if (queue.empty() || stop_) continue;
    const Job job = std::move(queue.front());
    queue.pop_front();
    lock.unlock();
    auto done = job();
    lock.lock();
    done_.push_back(std::move(done));
    finished_.notify_all();
  }
}

void PrefixTiers::Push(Job job, bool urgent) {
  ++jobs_;
  {
    std::lock_guard lock(mutex_);
    (urgent ? loads_ : others_).push_back(std::move(job));
  }
  work_.notify_one();
}

void PrefixTiers::Poll() {
  std::vector<std::function<void()>> done;
  decltype(discovered_) discovered;
  {
    std::lock_guard lock(mutex_);
    done.swap(done_);
    discovered.swap(discovered_);
  }
  for (const auto& call : done) {
    --jobs_;
    call();
  }
  for (const auto& [tier, records] : discovered) Learn(&tiers_[tier], records);
}

void PrefixTiers::Wait(int64_t ms) {
  std::unique_lock lock(mutex_);
  finished_.wait_for(lock, milliseconds(ms), [this] { return !done_.empty(); });
}

void PrefixTiers::Drain() {
  while (!idle()) {
    Wait(100);
    Poll();
  }
}

// --- copying down ---

bool PrefixTiers::Wants(int32_t tier, const BlockKey& key) const {
  const Tier& t = tiers_[tier];
  return Works(t) && stores_ < kStoresMax && !t.index.Has(key);
}

void PrefixTiers::Store(int32_t tier, const TierRecordPtr& record, DevicePlace from,
                        std::function<void()> done) {
  Tier* t = &tiers_[tier];
  if (!MakeRoomFor(t, *record)) {
    ++t->stats.skipped;
    done();
    return;
  }
  t->index.Insert(record, t->store->RecordBytes(record->blocks()), /*written=*/false);
  t->store->Reserve(*record);
  ++stores_;
  Push(
      [=, this, clears = clears_, from = std::move(from), done = std::move(done)] {
        Status written = t->store->Write(*record, from);
        return [=, this, written = std::move(written)] {
          --stores_;
          if (written && clears != clears_) {
            Forget(t, record->key);
          } else if (written) {
            t->index.Written(record->key);
            ++t->stats.stored;
            ++version_;
          } else {
            ++t->stats.store_failures;
            Forget(t, record->key);
            Trouble(t, written.error());
          }
          done();
        };
      },
      /*urgent=*/false);
}

// --- copying up ---

std::optional<PrefixTiers::Found> PrefixTiers::Find(std::span<const int32_t> tokens,
                                                    std::span<const BlockKey> keys, int32_t there,
                                                    int32_t tokens_max) {
  const int32_t deepest =
      std::min(tokens_max, (static_cast<int32_t>(keys.size()) - 1) * kBlockTokens) / kBlockTokens *
      kBlockTokens;
  for (int32_t to = deepest; to > there; to -= kBlockTokens)
    for (int32_t tier = 0; tier < count(); ++tier) {
      Tier& t = tiers_[tier];
      if (!Works(t) || !t.index.Has(keys[static_cast<size_t>(to / kBlockTokens)])) continue;
      auto chain = t.index.Chain(tokens, keys, to);
      if (!chain.empty()) return Found{.tier = tier, .tokens = to, .chain = std::move(chain)};
    }
  return std::nullopt;
}

void PrefixTiers::Load(const Found& found, std::vector<DevicePlace> places,
                       std::function<void(bool ok)> done) {
  Tier* t = &tiers_[found.tier];
  for (const auto& record : found.chain) {
    t->index.Touch(record->key);
    t->index.Pin(record->key);
  }
  Push(
      [=, this, chain = found.chain, places = std::move(places), done = std::move(done)] {
        Status read;
        TierRecordPtr bad;
        for (size_t i = 0; i < chain.size() && read; ++i) {
          const auto wanted = [](int32_t place) { return place >= 0; };
          if (places[i].slot < 0 &&
              std::none_of(places[i].blocks.begin(), places[i].blocks.end(), wanted))
            continue;
          read = t->store->Read(*chain[i], places[i]);
          if (!read) bad = chain[i];
        }
        return [=, this, read = std::move(read)] {
          for (const auto& record : chain) t->index.Unpin(record->key);
          if (read) {
            ++t->stats.loaded;
          } else {
            ++t->stats.load_failures;
            if (read.error().code == ErrorCode::kNotFound) {
              LogWarning("prefix cache: {}", read.error().message);
              Forget(t, bad->key);
            } else {
              Trouble(t, read.error());
            }
          }
          done(read.has_value());
        };
      },
      /*urgent=*/true);
}

// --- what goes wrong ---

void PrefixTiers::Trouble(Tier* tier, const Error& error) {
  if (Works(*tier))
    LogWarning("prefix cache: the {} tier is left alone for {} s: {}", tier->store->name(),
               kTroubleMs / 1000, error.message);
  tier->trouble_until_ms = NowMs() + kTroubleMs;
}

void PrefixTiers::Forget(Tier* tier, const BlockKey& key) {
  std::vector<TierRecordPtr> removed;
  tier->index.Remove(key, &removed);
  for (const auto& record : removed) tier->store->Free(*record);
}

// Not at the cost of the one that it continues.
bool PrefixTiers::MakeRoomFor(Tier* tier, const TierRecord& record) {
  std::vector<TierRecordPtr> given_up;
  if (record.from > 0) tier->index.Pin(record.above);
  const bool fits = tier->index.MakeRoom(tier->store->RecordBytes(record.blocks()), &given_up);
  if (record.from > 0) tier->index.Unpin(record.above);
  for (const auto& old : given_up) tier->store->Free(*old);
  tier->stats.evicted += given_up.size();
  return fits;
}

// What an earlier run or another instance wrote. What has lost its beginning, or has no room, goes.
void PrefixTiers::Learn(Tier* tier, const std::vector<TierRecordPtr>& records) {
  for (const auto& record : records) {
    if (tier->index.Has(record->key)) continue;
    if (record->from > 0 && !tier->index.Has(record->above)) {
      tier->store->Free(*record);
      continue;
    }
    if (!MakeRoomFor(tier, *record)) {
      tier->store->Free(*record);
      continue;
    }
    tier->index.Insert(record, tier->store->RecordBytes(record->blocks()), /*written=*/true);
    ++tier->stats.discovered;
    ++version_;
  }
}

void PrefixTiers::Clear() {
  ++clears_;
  for (Tier& tier : tiers_) {
    std::vector<TierRecordPtr> given_up;
    tier.index.MakeRoom(tier.index.bytes_max(), &given_up);
    for (const auto& old : given_up) tier.store->Free(*old);
  }
}

std::vector<PrefixTierStats> PrefixTiers::stats() const {
  std::vector<PrefixTierStats> all;
  for (const Tier& tier : tiers_) {
    all.push_back(tier.stats);
    all.back().records = static_cast<int64_t>(tier.index.size());
    all.back().bytes = tier.index.bytes();
    all.back().works = Works(tier);
  }
  return all;
}

void PrefixTiers::check_integrity() const {
  for (const Tier& tier : tiers_) tier.index.check_integrity();
}

}  // namespace nextgate::engine
