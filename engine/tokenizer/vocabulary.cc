#include "engine/tokenizer/vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <functional>

#include "engine/tokenizer/bpe.h"

namespace nextgate::engine {

std::string_view Vocabulary::At(const std::string& arena, const std::vector<uint32_t>& ends,
                                int32_t id) {
  if (id < 0 || static_cast<size_t>(id) >= ends.size()) return {};
  const uint32_t begin = id == 0 ? 0 : ends[id - 1];
  return std::string_view(arena).substr(begin, ends[id] - begin);
}

Result<Vocabulary> Vocabulary::Build(const std::vector<Entry>& entries) {
  int64_t size = 0;
  size_t num_bytes = 0;
  for (const Entry& entry : entries) {
    if (entry.id < 0 || entry.id >= kIdsMax)
      return DataLoss(fmt::format("token \"{}\" has id {}, expected 0 to {}", entry.spelling,
                                  entry.id, kIdsMax - 1));
    if (entry.spelling.empty()) return DataLoss(fmt::format("token {} has no string", entry.id));
    size = std::max(size, entry.id + 1);
    num_bytes += entry.spelling.size();
  }
  if (num_bytes > UINT32_MAX) return DataLoss("the vocabulary's strings exceed 4 GiB");

  std::vector<const Entry*> by_id(size, nullptr);
  for (const Entry& entry : entries) {
    if (by_id[entry.id] != nullptr)
      return DataLoss(fmt::format("tokens \"{}\" and \"{}\" have the same id {}",
                                  by_id[entry.id]->spelling, entry.spelling, entry.id));
    by_id[entry.id] = &entry;
  }
  Vocabulary out;
  out.spellings_.reserve(num_bytes);
  out.bytes_.reserve(num_bytes);
  out.spelling_ends_.reserve(size);
  out.bytes_ends_.reserve(size);
  for (const Entry* entry : by_id) {
    if (entry != nullptr) {
      out.spellings_ += entry->spelling;
      out.bytes_ += BytesOfSpelling(entry->spelling);
    }
    out.spelling_ends_.push_back(static_cast<uint32_t>(out.spellings_.size()));
    out.bytes_ends_.push_back(static_cast<uint32_t>(out.bytes_.size()));
  }
  out.bytes_.shrink_to_fit();

  out.slots_.assign(std::bit_ceil(entries.size() * 3 / 2 + 2), -1);
  for (const Entry& entry : entries) {
    size_t at = std::hash<std::string_view>()(entry.spelling) & (out.slots_.size() - 1);
    for (; out.slots_[at] >= 0; at = (at + 1) & (out.slots_.size() - 1))
      if (out.Spelling(out.slots_[at]) == entry.spelling)
        return DataLoss(fmt::format("token \"{}\" comes twice, with ids {} and {}", entry.spelling,
                                    out.slots_[at], entry.id));
    out.slots_[at] = static_cast<int32_t>(entry.id);
  }
  return out;
}

std::optional<int32_t> Vocabulary::Find(std::string_view spelling) const {
  if (slots_.empty()) return std::nullopt;
  for (size_t at = std::hash<std::string_view>()(spelling) & (slots_.size() - 1); slots_[at] >= 0;
       at = (at + 1) & (slots_.size() - 1))
    if (Spelling(slots_[at]) == spelling) return slots_[at];
  return std::nullopt;
}

}  // namespace nextgate::engine
