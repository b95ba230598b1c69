#include "engine/tokenizer/segment_memo.h"

namespace nextgate::engine {

bool SegmentMemo::Find(const Hash128& hash, std::string_view text, std::vector<int32_t>* ids) {
  std::lock_guard lock(mutex_);
  const auto at = index_.find(hash);
  if (at == index_.end() || at->second->text != text) return false;
  entries_.splice(entries_.begin(), entries_, at->second);
  ids->insert(ids->end(), at->second->ids.begin(), at->second->ids.end());
  return true;
}

void SegmentMemo::Insert(const Hash128& hash, std::string_view text, const int32_t* ids,
                         size_t num_ids) {
  Entry entry{.hash = hash, .text = std::string(text), .ids = {ids, ids + num_ids}};
  const size_t entry_bytes = entry.Bytes();
  if (entry_bytes > budget_bytes_) return;
  std::lock_guard lock(mutex_);
  if (index_.contains(hash)) return;  // another thread was first
  bytes_ += entry_bytes;
  while (bytes_ > budget_bytes_) {
    bytes_ -= entries_.back().Bytes();
    index_.erase(entries_.back().hash);
    entries_.pop_back();
  }
  entries_.push_front(std::move(entry));
  index_[hash] = entries_.begin();
}

size_t SegmentMemo::bytes() const {
  std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace nextgate::engine
