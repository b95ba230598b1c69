// The in-process AnswerStore: least recently used out first, bounded in bytes, entries with a time
// to live.
//
// Sharded by the hash's high bits, so that workers rarely meet at a lock; each shard has its own
// list, index and equal part of the bytes. So recency is exact within a shard, and an entry may
// take at most bytes_max / shards.
//
// An entry is charged its answer, its material and kEntryOverheadBytes for its origin, list, index
// and control blocks.
//
// Threads: all methods may be called from any thread. An entry's memory is released outside the
// locks. Invariants: (1) the charges of a shard's entries sum to its books and never exceed its
// part, at no instant; (2) list and index hold the same entries; (3) Get never returns an expired
// entry.
#pragma once

#include <cstddef>
#include <memory>

#include "base/clock.h"
#include "cache/answer_store.h"

namespace nextgate::cache {

class MemoryStore final : public AnswerStore {
 public:
  static constexpr size_t kEntryOverheadBytes = 448;

  struct Options {
    size_t bytes_max = size_t{256} << 20;
    // 0: as many as leave each shard 4 MiB, a power of two, 1 to 64.
    size_t num_shards = 0;
    size_t entry_bytes_max = SIZE_MAX;  // an entry that is charged more is not stored
  };
  // `clock` must outlive the store. REQUIRES: num_shards is 0 or a power of two.
  explicit MemoryStore(const Options& options, const Clock& clock = Clock::System());
  ~MemoryStore() override;

  // What Put charges for `entry`.
  static size_t ChargeBytes(const StoredAnswer& entry);
  size_t num_shards() const { return num_shards_; }

  std::shared_ptr<const StoredAnswer> Get(const Hash128& hash) override;
  std::shared_ptr<const StoredAnswer> Peek(const Hash128& hash) const override;
  void ForEach(const Visitor& visit) const override;
  bool Put(const Hash128& hash, std::shared_ptr<const StoredAnswer> entry) override;
  bool Erase(const Hash128& hash) override;
  void Clear() override;
  void RemoveExpired() override;
  StoreStats stats() const override;
  Status CheckIntegrity() const override;

 private:
  class Shard;
  Shard& ShardOf(const Hash128& hash) const;

  const Clock& clock_;
  const size_t bytes_max_;
  const size_t entry_bytes_max_;
  size_t num_shards_;
  int shard_shift_;
  std::unique_ptr<Shard[]> shards_;
};

}  // namespace nextgate::cache
