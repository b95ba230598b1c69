#include "engine/prefix/tier_index.h"

#include <algorithm>

#include "base/check.h"

namespace nextgate::engine {

bool TierIndex::Has(const BlockKey& key) const {
  const auto found = entries_.find(key);
  return found != entries_.end() && !found->second.doomed;
}

std::vector<TierRecordPtr> TierIndex::Chain(std::string_view scope_digest,
                                            std::span<const int32_t> tokens,
                                            std::span<const BlockKey> keys, int32_t to) const {
  std::vector<TierRecordPtr> chain;
  while (to > 0) {
    const auto found = entries_.find(keys[static_cast<size_t>(to / kBlockTokens)]);
    if (found == entries_.end() || !found->second.written || found->second.doomed) return {};
    const TierRecord& r = *found->second.record;
    if (r.to != to || r.above != keys[static_cast<size_t>(r.from / kBlockTokens)] ||
        r.scope_digest != scope_digest ||
        !std::equal(r.tokens.begin(), r.tokens.end(), tokens.begin() + r.from))
      return {};
    chain.push_back(found->second.record);
    to = r.from;
  }
  std::reverse(chain.begin(), chain.end());
  return chain;
}

// Whatever may make it one of those that may go, or none of them.
template <class Change>
void TierIndex::Update(Entry* entry, const Change& change) {
  if (entry->may_go()) may_go_.erase(entry->used);
  change(entry);
  if (entry->may_go()) may_go_.emplace(entry->used, entry->record->key);
}

TierIndex::Entry* TierIndex::Above(const TierRecord& record) {
  const auto found = record.from > 0 ? entries_.find(record.above) : entries_.end();
  return found == entries_.end() ? nullptr : &found->second;
}

bool TierIndex::MakeRoom(int64_t bytes, const BlockKey& kept,
                         std::vector<TierRecordPtr>* given_up) {
  if (bytes > bytes_max_) return false;
  for (auto next = may_go_.begin(); bytes_ + bytes > bytes_max_ && next != may_go_.end();) {
    const BlockKey key = next->second;
    if (key == kept) {
      ++next;
      continue;
    }
    given_up->push_back(entries_.at(key).record);
    Erase(key);
    next = may_go_.begin();  // what it continued may go now, and may be older
  }
  return bytes_ + bytes <= bytes_max_;
}

void TierIndex::Insert(TierRecordPtr record, int64_t bytes, bool written) {
  const BlockKey key = record->key;
  if (record->from > 0) {
    CHECK(Has(record->above), "a record continues nothing");
    Update(Above(*record), [&](Entry* above) { above->continued_by.push_back(key); });
  }
  Entry entry{.record = std::move(record), .bytes = bytes, .used = ++uses_};
  const auto [at, is_new] = entries_.emplace(key, std::move(entry));
  CHECK(is_new);
  Update(&at->second, [&](Entry* e) { e->written = written; });
  bytes_ += bytes;
}

void TierIndex::Leave(Entry* entry) {
  if (Entry* above = Above(*entry->record))
    Update(above, [&](Entry* e) { std::erase(e->continued_by, entry->record->key); });
}

void TierIndex::Erase(const BlockKey& key) {
  const auto found = entries_.find(key);
  Entry& entry = found->second;
  if (entry.doomed)
    --doomed_;
  else
    Leave(&entry);
  if (entry.may_go()) may_go_.erase(entry.used);
  bytes_ -= entry.bytes;
  entries_.erase(found);
}

void TierIndex::Remove(const BlockKey& key, std::vector<TierRecordPtr>* removed) {
  if (!Has(key)) return;
  std::vector<BlockKey> gone = {key};
  for (size_t i = 0; i < gone.size(); ++i) {
    const auto& more = entries_.at(gone[i]).continued_by;
    gone.insert(gone.end(), more.begin(), more.end());
  }
  for (size_t i = gone.size(); i-- > 0;) {
    Entry& entry = entries_.at(gone[i]);
    if (entry.written) {
      removed->push_back(entry.record);
      Erase(gone[i]);
    } else {
      Leave(&entry);
      entry.doomed = true;
      ++doomed_;
    }
  }
}

void TierIndex::RemoveAll(std::vector<TierRecordPtr>* removed) {
  std::vector<BlockKey> first;
  for (const auto& [key, entry] : entries_)
    if (entry.record->from == 0) first.push_back(key);
  for (const BlockKey& key : first) Remove(key, removed);
}

bool TierIndex::Written(const BlockKey& key) {
  Entry& entry = entries_.at(key);
  if (entry.doomed) {
    Erase(key);
    return false;
  }
  Update(&entry, [](Entry* e) { e->written = true; });
  return true;
}

void TierIndex::Touch(const BlockKey& key) {
  const auto found = entries_.find(key);
  if (found != entries_.end()) Update(&found->second, [&](Entry* e) { e->used = ++uses_; });
}

void TierIndex::Pin(const TierRecordPtr& record) {
  Update(&entries_.at(record->key), [](Entry* e) { ++e->pins; });
}

void TierIndex::Unpin(const TierRecordPtr& record) {
  const auto found = entries_.find(record->key);
  if (found != entries_.end() && found->second.record == record)
    Update(&found->second, [](Entry* e) { --e->pins; });
}

void TierIndex::check_integrity() const {
  int64_t bytes = 0;
  size_t doomed = 0;
  size_t may_go = 0;
  size_t continuing = 0;
  for (const auto& [key, entry] : entries_) {
    bytes += entry.bytes;
    doomed += entry.doomed;
    may_go += entry.may_go();
    continuing += entry.continued_by.size();
    CHECK(entry.record->key == key && entry.pins >= 0);
    CHECK(!entry.may_go() || may_go_.at(entry.used) == key);
    if (entry.doomed) {
      CHECK(!entry.written && entry.continued_by.empty());
    } else if (entry.record->from > 0) {
      const auto& siblings = entries_.at(entry.record->above).continued_by;
      CHECK(std::count(siblings.begin(), siblings.end(), key) == 1, "a record continues nothing");
      --continuing;
    }
  }
  CHECK(continuing == 0 && doomed == doomed_ && may_go == may_go_.size());
  CHECK(bytes == bytes_ && bytes_ <= bytes_max_);
}

}  // namespace nextgate::engine
