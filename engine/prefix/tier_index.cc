#include "engine/prefix/tier_index.h"

#include <algorithm>

#include "base/check.h"

namespace nextgate::engine {

std::vector<TierRecordPtr> TierIndex::Chain(std::span<const int32_t> tokens,
                                            std::span<const BlockKey> keys, int32_t to) const {
  std::vector<TierRecordPtr> chain;
  while (to > 0) {
    const auto found = entries_.find(keys[static_cast<size_t>(to / kBlockTokens)]);
    if (found == entries_.end() || !found->second.written) return {};
    const TierRecord& r = *found->second.record;
    if (r.to != to || r.above != keys[static_cast<size_t>(r.from / kBlockTokens)] ||
        !std::equal(r.tokens.begin(), r.tokens.end(), tokens.begin() + r.from))
      return {};
    chain.push_back(found->second.record);
    to = r.from;
  }
  std::reverse(chain.begin(), chain.end());
  return chain;
}

bool TierIndex::MakeRoom(int64_t bytes, std::vector<TierRecordPtr>* given_up) {
  if (bytes > bytes_max_) return false;
  for (auto at = used_.begin(); bytes_ + bytes > bytes_max_ && at != used_.end();) {
    const Entry& entry = entries_.at(*at);
    if (entry.continued_by > 0 || entry.pins > 0 || !entry.written) {
      ++at;
      continue;
    }
    const TierRecordPtr record = entry.record;
    const auto above = entries_.find(record->above);
    const bool last_of_its_chain =
        above != entries_.end() && record->from > 0 && above->second.continued_by == 1;
    ++at;
    Erase(record->key);
    given_up->push_back(record);
    // What it continued may go now, and was unused as long.
    if (last_of_its_chain) at = used_.begin();
  }
  return bytes_ + bytes <= bytes_max_;
}

void TierIndex::Insert(TierRecordPtr record, int64_t bytes, bool written) {
  const BlockKey key = record->key;
  if (record->from > 0) ++entries_.at(record->above).continued_by;
  used_.push_back(key);
  const bool is_new = entries_
                          .emplace(key, Entry{.record = std::move(record),
                                              .bytes = bytes,
                                              .written = written,
                                              .used = std::prev(used_.end())})
                          .second;
  CHECK(is_new);
  bytes_ += bytes;
}

void TierIndex::Erase(const BlockKey& key) {
  const auto found = entries_.find(key);
  const TierRecord& record = *found->second.record;
  if (const auto above = entries_.find(record.above); record.from > 0 && above != entries_.end())
    --above->second.continued_by;
  bytes_ -= found->second.bytes;
  used_.erase(found->second.used);
  entries_.erase(found);
}

void TierIndex::Remove(const BlockKey& key, std::vector<TierRecordPtr>* removed) {
  if (!entries_.contains(key)) return;
  std::vector<BlockKey> gone = {key};
  for (size_t i = 0; i < gone.size(); ++i)
    for (const auto& [other, entry] : entries_)
      if (entry.record->from > 0 && entry.record->above == gone[i]) gone.push_back(other);
  for (size_t i = gone.size(); i-- > 0;) {
    removed->push_back(entries_.at(gone[i]).record);
    Erase(gone[i]);
  }
}

void TierIndex::Written(const BlockKey& key) {
  if (const auto found = entries_.find(key); found != entries_.end()) found->second.written = true;
}

void TierIndex::Touch(const BlockKey& key) {
  const auto found = entries_.find(key);
  if (found != entries_.end()) used_.splice(used_.end(), used_, found->second.used);
}

void TierIndex::Pin(const BlockKey& key) { ++entries_.at(key).pins; }

void TierIndex::Unpin(const BlockKey& key) {
  if (const auto found = entries_.find(key); found != entries_.end()) --found->second.pins;
}

void TierIndex::check_integrity() const {
  int64_t bytes = 0;
  std::unordered_map<BlockKey, int32_t> continued;
  for (const auto& [key, entry] : entries_) {
    bytes += entry.bytes;
    CHECK(entry.record->key == key && *entry.used == key && entry.pins >= 0);
    if (entry.record->from == 0) continue;
    CHECK(entries_.contains(entry.record->above), "a record continues nothing");
    ++continued[entry.record->above];
  }
  for (const auto& [key, entry] : entries_) CHECK(continued[key] == entry.continued_by);
  CHECK(bytes == bytes_ && bytes_ <= bytes_max_ && used_.size() == entries_.size());
}

}  // namespace nextgate::engine
