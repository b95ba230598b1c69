// What a lower tier (host memory, disk) holds: one record a checkpoint, with the KV of the tokens since
// the record it continues. The KV of a prompt up to a record is the chain of records above it; so only
// records that none continues are given up for room, the longest unused first.
//
// Threads: the engine thread.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/prefix/block_key.h"
#include "engine/prefix/placement.h"

namespace nextgate::engine {

struct TierRecord {
  BlockKey key;    // of its last block
  BlockKey above;  // of the record it continues; from == 0: the scope's
  int32_t from = 0;
  int32_t to = 0;  // tokens [from, to), both multiples of 64; the state is the one after `to`
  std::vector<int32_t> tokens;  // [to − from]
  CheckpointKind kind = CheckpointKind::kSpaced;

  int32_t blocks() const { return (to - from) / kBlockTokens; }
};
using TierRecordPtr = std::shared_ptr<const TierRecord>;

class TierIndex {
 public:
  explicit TierIndex(int64_t bytes_max) : bytes_max_(bytes_max) {}

  bool Has(const BlockKey& key) const { return entries_.contains(key); }

  // The records that together hold the beginning of `tokens` up to keys[to / 64], first to last; empty if
  // one is missing, not written yet, or of other tokens. keys as in block_key.h.
  std::vector<TierRecordPtr> Chain(std::span<const int32_t> tokens, std::span<const BlockKey> keys,
                                   int32_t to) const;

  // Gives up records until `bytes` fit; false if all that can go is not enough.
  bool MakeRoom(int64_t bytes, std::vector<TierRecordPtr>* given_up);

  // REQUIRES: not there; its `above` is there or from == 0; it fits.
  void Insert(TierRecordPtr record, int64_t bytes, bool written);
  void Written(const BlockKey& key);
  // And every record that continues it.
  void Remove(const BlockKey& key, std::vector<TierRecordPtr>* removed);

  void Touch(const BlockKey& key);  // used now
  // Not given up for room while pinned. As often unpinned; a record that is gone is nobody's.
  void Pin(const BlockKey& key);
  void Unpin(const BlockKey& key);

  int64_t bytes() const { return bytes_; }
  int64_t bytes_max() const { return bytes_max_; }
  size_t size() const { return entries_.size(); }

  void check_integrity() const;

 private:
  struct Entry {
    TierRecordPtr record;
    int64_t bytes = 0;
    int32_t continued_by = 0;
    int32_t pins = 0;
    bool written = false;
    std::list<BlockKey>::iterator used;
  };
  void Erase(const BlockKey& key);

  const int64_t bytes_max_;
  int64_t bytes_ = 0;
  std::unordered_map<BlockKey, Entry> entries_;
  std::list<BlockKey> used_;  // the longest unused first
};

}  // namespace nextgate::engine
