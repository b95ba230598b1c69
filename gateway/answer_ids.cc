#include "gateway/answer_ids.h"

#include <iterator>
#include <string>
#include <utility>

#include "engine/tokenizer/detokenizer.h"

namespace nextgate::gateway {
namespace {

// Of two hashes of fixed length: no scope and text are another scope and text put together.
Hash128 KeyOf(std::string_view scope, std::string_view text) {
  return HashBytes(HashBytes(scope).Hex() + HashBytes(text).Hex());
}

}  // namespace

std::optional<AnswerIds::Known> SaysBeginningOf(std::string_view text, std::span<const int32_t> ids,
                                                const engine::Tokenizer& tokenizer) {
  engine::Detokenizer detokenizer(tokenizer, /*skip_special=*/false);
  size_t said = 0;
  size_t tokens = 0;  // that say the first `bytes` bytes, and nothing that is held back
  size_t bytes = 0;
  const auto agrees = [&](const std::string& more) {
    if (!text.substr(said).starts_with(more)) return false;
    said += more.size();
    return true;
  };
  size_t i = 0;
  bool other = false;
  for (; i < ids.size() && !tokenizer.IsSpecial(ids[i]); ++i) {
    const std::string more = detokenizer.Add(ids[i]);
    other = !agrees(more);
    if (other) break;
    if (more.empty() || !detokenizer.whole()) continue;
    tokens = i + 1;
    bytes = said;
  }
  // An answer that ends within a character was told with U+FFFD for it.
  if (!other && !detokenizer.whole() && agrees(detokenizer.Flush()) && said == text.size()) {
    tokens = i;
    bytes = said;
  }
  if (tokens == 0) return std::nullopt;
  return AnswerIds::Known{.ids = {ids.begin(), ids.begin() + static_cast<ptrdiff_t>(tokens)},
                          .bytes = bytes};
}

size_t AnswerIds::SizeOf(const Entry& entry) {
  // The vector's, the list's and the map's own, about.
  constexpr size_t kOverhead = sizeof(Entry) + 160;
  return kOverhead + entry.ids->size() * sizeof(int32_t);
}

void AnswerIds::Remember(std::string_view scope, std::string_view text,
                         std::span<const int32_t> ids) {
  if (text.empty() || ids.empty()) return;
  Entry entry{.key = KeyOf(scope, text),
              .ids = std::make_shared<const std::vector<int32_t>>(ids.begin(), ids.end())};
  std::list<Entry> gone;  // destroyed without the lock
  const std::lock_guard lock(mutex_);
  const auto forget = [&](std::list<Entry>::iterator one) {
    bytes_ -= SizeOf(*one);
    by_key_.erase(one->key);
    gone.splice(gone.end(), entries_, one);
  };
  if (const auto old = by_key_.find(entry.key); old != by_key_.end()) forget(old->second);
  if (SizeOf(entry) > bytes_max_) return;
  while (bytes_ + SizeOf(entry) > bytes_max_) forget(std::prev(entries_.end()));
  bytes_ += SizeOf(entry);
  entries_.push_front(std::move(entry));
  by_key_[entries_.front().key] = entries_.begin();
}

std::optional<AnswerIds::Known> AnswerIds::Find(std::string_view scope, std::string_view text) {
  const Hash128 key = KeyOf(scope, text);
  Ids ids;
  {
    const std::lock_guard lock(mutex_);
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) return std::nullopt;
    entries_.splice(entries_.begin(), entries_, found->second);
    ids = found->second->ids;
  }
  return SaysBeginningOf(text, *ids, tokenizer_);
}

size_t AnswerIds::size() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

size_t AnswerIds::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace nextgate::gateway
