#include "cache/memory_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <list>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/check.h"

namespace nextgate::cache {

// One lock, one list (front = most recently used), one index into it.
class MemoryStore::Shard {
 public:
  using EntryPtr = std::shared_ptr<const StoredAnswer>;

  EntryPtr Get(const Hash128& hash, int64_t now_ms) {
    Node expired;  // freed after the lock is released
    std::lock_guard lock(mutex_);
    const auto found = index_.find(hash);
    if (found == index_.end()) return nullptr;
    if (now_ms >= found->second->entry->expires_unix_ms) {
      expired = Remove(found);
      ++stats_.expirations;
      return nullptr;
    }
    nodes_.splice(nodes_.begin(), nodes_, found->second);
    return found->second->entry;
  }

  EntryPtr Peek(const Hash128& hash, int64_t now_ms) const {
    std::lock_guard lock(mutex_);
    const auto found = index_.find(hash);
    if (found == index_.end() || now_ms >= found->second->entry->expires_unix_ms) return nullptr;
    return found->second->entry;
  }

  std::vector<std::pair<Hash128, EntryPtr>> All(int64_t now_ms) const {
    std::vector<std::pair<Hash128, EntryPtr>> all;
    std::lock_guard lock(mutex_);
    all.reserve(nodes_.size());
    for (const Node& node : nodes_)
      if (now_ms < node.entry->expires_unix_ms) all.emplace_back(node.hash, node.entry);
    return all;
  }

  bool Put(const Hash128& hash, EntryPtr entry, size_t bytes_max, size_t entry_bytes_max,
           int64_t now_ms) {
    const size_t charge = ChargeBytes(*entry);
    std::vector<Node> removed;
    std::lock_guard lock(mutex_);
    if (const auto found = index_.find(hash); found != index_.end())
      removed.push_back(Remove(found));
    if (charge > std::min(bytes_max, entry_bytes_max) || now_ms >= entry->expires_unix_ms) {
      ++stats_.rejections;
      return false;
    }
    while (bytes_ + charge > bytes_max) {
      removed.push_back(Remove(index_.find(nodes_.back().hash)));
      ++stats_.evictions;
    }
    nodes_.push_front({.hash = hash, .entry = std::move(entry), .charge = charge});
    index_.emplace(hash, nodes_.begin());
    bytes_ += charge;
    ++stats_.insertions;
    return true;
  }

  bool Erase(const Hash128& hash) {
    Node removed;
    std::lock_guard lock(mutex_);
    const auto found = index_.find(hash);
    if (found == index_.end()) return false;
    removed = Remove(found);
    return true;
  }

  void Clear() {
    std::list<Node> removed;
    std::lock_guard lock(mutex_);
    removed.swap(nodes_);
    index_.clear();
    bytes_ = 0;
  }

  void RemoveExpired(int64_t now_ms) {
    std::vector<Node> removed;
    std::lock_guard lock(mutex_);
    for (auto it = nodes_.begin(); it != nodes_.end();) {
      const auto next = std::next(it);
      if (now_ms >= it->entry->expires_unix_ms) {
        removed.push_back(Remove(index_.find(it->hash)));
        ++stats_.expirations;
      }
      it = next;
    }
  }

  void AddStats(StoreStats& total) const {
    std::lock_guard lock(mutex_);
    total.entries += static_cast<int64_t>(nodes_.size());
    total.bytes += static_cast<int64_t>(bytes_);
    total.insertions += stats_.insertions;
    total.evictions += stats_.evictions;
    total.expirations += stats_.expirations;
    total.rejections += stats_.rejections;
  }

  Status CheckIntegrity(size_t shard_idx, size_t bytes_max) const {
    const auto broken = [&](const std::string& what) {
      return MakeError(ErrorCode::kInternal,
                       fmt::format("answer store, shard {}: {}", shard_idx, what));
    };
    std::lock_guard lock(mutex_);
    size_t bytes = 0;
    for (auto it = nodes_.begin(); it != nodes_.end(); ++it) {
      const auto found = index_.find(it->hash);
      if (found == index_.end() || found->second != it)
        return broken(fmt::format("entry {} is not indexed where it lies", it->hash.Hex()));
      if (it->charge != ChargeBytes(*it->entry))
        return broken(fmt::format("entry {} is charged {} bytes and takes {}", it->hash.Hex(),
                                  it->charge, ChargeBytes(*it->entry)));
      bytes += it->charge;
    }
    if (index_.size() != nodes_.size())
      return broken(fmt::format("{} entries, {} in the index", nodes_.size(), index_.size()));
    if (bytes != bytes_)
      return broken(fmt::format("entries take {} bytes, the books say {}", bytes, bytes_));
    if (bytes_ > bytes_max)
      return broken(fmt::format("{} bytes held, at most {} allowed", bytes_, bytes_max));
    return {};
  }

 private:
  struct Node {
    Hash128 hash;
    EntryPtr entry;
    size_t charge = 0;
  };
  using Index = std::unordered_map<Hash128, std::list<Node>::iterator>;

  // Takes one entry out of list, index and books. REQUIRES: mutex_ is held.
  Node Remove(Index::iterator found) {
    CHECK(found != index_.end());
    Node node = std::move(*found->second);
    nodes_.erase(found->second);
    index_.erase(found);
    bytes_ -= node.charge;
    return node;
  }

  mutable std::mutex mutex_;  // guards everything below
  std::list<Node> nodes_;
  Index index_;
  size_t bytes_ = 0;
  StoreStats stats_;
};

namespace {

size_t ChooseShards(const MemoryStore::Options& options) {
  if (options.num_shards != 0) {
    CHECK(std::has_single_bit(options.num_shards));
    return options.num_shards;
  }
  constexpr size_t kShardBytesMin = size_t{4} << 20;
  return std::bit_floor(std::clamp<size_t>(options.bytes_max / kShardBytesMin, 1, 64));
}

}  // namespace

MemoryStore::MemoryStore(const Options& options, const Clock& clock)
    : clock_(clock),
      bytes_max_(options.bytes_max),
      entry_bytes_max_(options.entry_bytes_max),
      num_shards_(ChooseShards(options)),
      shard_shift_(64 - std::countr_zero(num_shards_)),
      shards_(std::make_unique<Shard[]>(num_shards_)) {}

MemoryStore::~MemoryStore() = default;

size_t MemoryStore::ChargeBytes(const StoredAnswer& entry) {
  const EntryOrigin& origin = entry.origin;
  return entry.answer->SizeBytes() + entry.material.capacity() + origin.model.size() +
         origin.route.size() + origin.scope.tenant.size() + origin.scope.team.size() +
         origin.scope.user.size() + origin.scope.name_space.size() + kEntryOverheadBytes;
}

MemoryStore::Shard& MemoryStore::ShardOf(const Hash128& hash) const {
  // The index hashes by the low half; the shard is chosen by the high one, so that both stay even.
  return shards_[num_shards_ == 1 ? 0 : hash.high >> shard_shift_];
}

std::shared_ptr<const StoredAnswer> MemoryStore::Get(const Hash128& hash) {
  return ShardOf(hash).Get(hash, clock_.UnixMs());
}

std::shared_ptr<const StoredAnswer> MemoryStore::Peek(const Hash128& hash) const {
  return ShardOf(hash).Peek(hash, clock_.UnixMs());
}

void MemoryStore::ForEach(const Visitor& visit) const {
  for (size_t i = 0; i < num_shards_; ++i)
    for (const auto& [hash, entry] : shards_[i].All(clock_.UnixMs())) visit(hash, entry);
}

bool MemoryStore::Put(const Hash128& hash, std::shared_ptr<const StoredAnswer> entry) {
  CHECK(entry != nullptr && entry->answer != nullptr);
  return ShardOf(hash).Put(hash, std::move(entry), bytes_max_ / num_shards_, entry_bytes_max_,
                           clock_.UnixMs());
}

bool MemoryStore::Erase(const Hash128& hash) { return ShardOf(hash).Erase(hash); }

void MemoryStore::Clear() {
  for (size_t i = 0; i < num_shards_; ++i) shards_[i].Clear();
}

void MemoryStore::RemoveExpired() {
  const int64_t now_ms = clock_.UnixMs();
  for (size_t i = 0; i < num_shards_; ++i) shards_[i].RemoveExpired(now_ms);
}

StoreStats MemoryStore::stats() const {
  StoreStats total;
  for (size_t i = 0; i < num_shards_; ++i) shards_[i].AddStats(total);
  total.bytes_max = static_cast<int64_t>(bytes_max_);
  return total;
}

Status MemoryStore::CheckIntegrity() const {
  for (size_t i = 0; i < num_shards_; ++i)
    RETURN_IF_ERROR(shards_[i].CheckIntegrity(i, bytes_max_ / num_shards_));
  return {};
}

}  // namespace nextgate::cache
