// What a lower tier (host memory, disk) holds: one record a checkpoint, with the KV of the tokens since
// the record it continues. The KV of a prompt up to a record is the chain of records above it; so only
// records that none continues are given up for room, the longest unused first.
//
// A record that is being written is there for those that continue it and takes its bytes, but is not
// found. If it is removed in that time it is *doomed*: it takes its bytes, and keeps its name from being
// used, until the writer is done.
//
// Threads: the engine thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
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
  std::string scope_digest;     // 32 bytes, SHA-256
  std::vector<int32_t> tokens;  // [to − from]
  CheckpointKind kind = CheckpointKind::kSpaced;

  int32_t blocks() const { return (to - from) / kBlockTokens; }
};
using TierRecordPtr = std::shared_ptr<const TierRecord>;

class TierIndex {
 public:
  explicit TierIndex(int64_t bytes_max) : bytes_max_(bytes_max) {}

  // It is there, perhaps not written yet.
  bool Has(const BlockKey& key) const;
  // Nothing of that name can be inserted.
  bool Knows(const BlockKey& key) const { return entries_.contains(key); }

  // The records that together hold the beginning of `tokens` in the scope up to keys[to / 64], first to
  // last; empty if one is missing, not written yet, or another's. keys as in block_key.h.
  std::vector<TierRecordPtr> Chain(std::string_view scope_digest, std::span<const int32_t> tokens,
                                   std::span<const BlockKey> keys, int32_t to) const;

  // Gives up records, but not `kept`, until `bytes` fit; false if all that can go is not enough.
  bool MakeRoom(int64_t bytes, const BlockKey& kept, std::vector<TierRecordPtr>* given_up);

  // REQUIRES: not known; it Has its `above`, or from == 0; it fits.
  void Insert(TierRecordPtr record, int64_t bytes, bool written);
  // The writer of a record that was inserted unwritten is done. False: it is doomed, and gone now.
  bool Written(const BlockKey& key);
  // And every record that continues it. Those that are being written are doomed, the others are appended
  // to `removed`, itself last.
  void Remove(const BlockKey& key, std::vector<TierRecordPtr>* removed);
  void RemoveAll(std::vector<TierRecordPtr>* removed);

  void Touch(const BlockKey& key);  // used now
  // Not given up for room while pinned. As often unpinned; a record that was removed is nobody's.
  void Pin(const TierRecordPtr& record);
  void Unpin(const TierRecordPtr& record);

  int64_t bytes() const { return bytes_; }
  int64_t bytes_max() const { return bytes_max_; }
  size_t doomed() const { return doomed_; }
  size_t size() const { return entries_.size() - doomed_; }

  void check_integrity() const;

 private:
  struct Entry {
    TierRecordPtr record;
    int64_t bytes = 0;
    std::vector<BlockKey> continued_by;
    int32_t pins = 0;
    bool written = false;
    bool doomed = false;
    uint64_t used = 0;  // when

    bool may_go() const { return written && !doomed && pins == 0 && continued_by.empty(); }
  };
  template <class Change>
  void Update(Entry* entry, const Change& change);
  Entry* Above(const TierRecord& record);
  void Leave(Entry* entry);  // no longer of those that continue what is above it
  void Erase(const BlockKey& key);

  const int64_t bytes_max_;
  int64_t bytes_ = 0;
  size_t doomed_ = 0;
  uint64_t uses_ = 0;
  std::unordered_map<BlockKey, Entry> entries_;
  std::map<uint64_t, BlockKey> may_go_;  // by `used`
};

}  // namespace nextgate::engine
