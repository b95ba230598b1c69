#include "engine/tokenizer/bpe.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <queue>

#include "base/check.h"
#include "engine/tokenizer/utf8.h"

namespace nextgate::engine {
namespace {

constexpr uint32_t kNoRank = UINT32_MAX;
constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15u;  // 2^64 / golden ratio

// GPT-2's alphabet: printable Latin-1 bytes stand for themselves, the other 68 for U+0100 onwards.
bool StandsForItself(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

std::array<int16_t, 0x144> ByteOfScalar() {
  std::array<int16_t, 0x144> table;
  table.fill(-1);
  uint32_t next = 0x100;
  for (uint32_t byte = 0; byte < 256; ++byte)
    table[StandsForItself(byte) ? byte : next++] = static_cast<int16_t>(byte);
  return table;
}

uint64_t Load(const char* bytes, size_t n) {
  uint64_t value = 0;
  std::memcpy(&value, bytes, n);
  return value;
}

size_t HashWord(std::string_view word) {
  uint64_t hash = word.size();
  size_t at = 0;
  for (; at + 8 <= word.size(); at += 8)
    hash = std::rotl((hash ^ Load(word.data() + at, 8)) * kMultiplier, 29);
  hash = (hash ^ Load(word.data() + at, word.size() - at)) * kMultiplier;
  return hash ^ hash >> 32;
}

}  // namespace

std::string BytesOfSpelling(std::string_view spelling, bool* in_alphabet) {
  static const std::array<int16_t, 0x144> byte_of = ByteOfScalar();
  std::string bytes;
  bytes.reserve(spelling.size());
  if (in_alphabet) *in_alphabet = true;
  for (size_t at = 0; at < spelling.size();) {
    const uint32_t scalar = NextScalar(spelling, &at);
    if (scalar >= byte_of.size() || byte_of[scalar] < 0) {
      if (in_alphabet) *in_alphabet = false;
      return std::string(spelling);
    }
    bytes.push_back(static_cast<char>(byte_of[scalar]));
  }
  return bytes;
}

BpeModel BpeModel::Build(const std::array<int32_t, 256>& id_of_byte,
                         const std::vector<Merge>& merges, const std::vector<int32_t>& results) {
  CHECK(merges.size() == results.size());
  BpeModel model;
  model.id_of_byte_ = id_of_byte;
  const size_t num_slots = std::bit_ceil(std::max<size_t>(16, merges.size() * 8 / 5 + 1));
  model.slots_.resize(num_slots);
  model.shift_ = 64 - std::countr_zero(num_slots);
  for (size_t rank = 0; rank < merges.size(); ++rank)
    model.InsertMerge(merges[rank], static_cast<uint32_t>(rank), results[rank]);
  return model;
}

void BpeModel::InsertMerge(Merge merge, uint32_t rank, int32_t result) {
  const uint64_t pair =
      uint64_t{static_cast<uint32_t>(merge.first)} << 32 | static_cast<uint32_t>(merge.second);
  size_t at = pair * kMultiplier >> shift_;
  while (slots_[at].pair != kEmpty && slots_[at].pair != pair) at = (at + 1) & (slots_.size() - 1);
  slots_[at] = {pair, rank, result};
}

const BpeModel::Slot* BpeModel::FindMerge(int32_t left, int32_t right) const {
  const uint64_t pair = uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  for (size_t at = pair * kMultiplier >> shift_;; at = (at + 1) & (slots_.size() - 1)) {
    if (slots_[at].pair == pair) return &slots_[at];
    if (slots_[at].pair == kEmpty) return nullptr;
  }
}

int64_t BpeModel::EncodeWord(std::string_view word, WordCache* cache,
                             std::vector<int32_t>* ids) const {
  if (word.size() == 1) {
    ids->push_back(id_of_byte_[static_cast<uint8_t>(word[0])]);
    return 0;
  }
  if (word.size() > kShortWord) return MergeLong(word, ids);
  if (cache == nullptr || word.size() > WordCache::kWordBytesMax) {
    MergeShort(word, ids);
    return 0;
  }

  auto& entry = cache->entries_[HashWord(word) & (WordCache::kEntries - 1)];
  if (entry.length == word.size() &&
      std::memcmp(entry.word.data(), word.data(), word.size()) == 0) {
    ids->insert(ids->end(), entry.ids.begin(), entry.ids.begin() + entry.num_ids);
    return 0;
  }
  const size_t before = ids->size();
  MergeShort(word, ids);
  const size_t num_ids = ids->size() - before;
  if (num_ids > WordCache::kIdsMax) return 0;
  std::copy_n(word.data(), word.size(), entry.word.data());
  std::copy_n(ids->data() + before, num_ids, entry.ids.data());
  entry.length = static_cast<uint8_t>(word.size());
  entry.num_ids = static_cast<uint8_t>(num_ids);
  return 0;
}

// Keeps, for every adjacent pair, its rank and result; looks only the two neighbours of a merge up.
void BpeModel::MergeShort(std::string_view word, std::vector<int32_t>* ids) const {
  std::array<int32_t, kShortWord> symbols;
  std::array<uint32_t, kShortWord> ranks;   // of (symbols[i], symbols[i + 1])
  std::array<int32_t, kShortWord> results;  // what they make
  size_t n = word.size();
  const auto look_up = [&](size_t i) {
    const Slot* merge = FindMerge(symbols[i], symbols[i + 1]);
    ranks[i] = merge ? merge->rank : kNoRank;
    results[i] = merge ? merge->result : 0;
  };
  for (size_t i = 0; i < n; ++i) symbols[i] = id_of_byte_[static_cast<uint8_t>(word[i])];
  for (size_t i = 0; i + 1 < n; ++i) look_up(i);
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; ++i)
      if (ranks[i] < ranks[best]) best = i;
    if (ranks[best] == kNoRank) break;
    symbols[best] = results[best];
    --n;
    for (size_t i = best + 1; i < n; ++i) {
      symbols[i] = symbols[i + 1];
      ranks[i] = ranks[i + 1];
      results[i] = results[i + 1];
    }
    if (best > 0) look_up(best - 1);
    if (best + 1 < n) look_up(best);
  }
  ids->insert(ids->end(), symbols.begin(), symbols.begin() + n);
}

// A doubly linked list of symbols and a heap of candidate merges. A candidate is stale when the
// pair at its place no longer makes what it made; it is then dropped, since every new pair was
// pushed when it arose.
int64_t BpeModel::MergeLong(std::string_view word, std::vector<int32_t>* ids) const {
  struct Symbol {
    int32_t id;  // -1: merged into the one before
    int32_t previous;
    int32_t next;
  };
  struct Candidate {
    uint32_t rank;
    uint32_t position;
    int32_t result;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : position > other.position;
    }
  };
  const int32_t n = static_cast<int32_t>(word.size());
  std::vector<Symbol> symbols(word.size());
  for (int32_t i = 0; i < n; ++i)
    symbols[i] = {id_of_byte_[static_cast<uint8_t>(word[i])], i - 1, i + 1 < n ? i + 1 : -1};

  std::vector<Candidate> first;
  first.reserve(word.size());
  for (int32_t i = 0; i + 1 < n; ++i)
    if (const Slot* merge = FindMerge(symbols[i].id, symbols[i + 1].id))
      first.push_back({merge->rank, static_cast<uint32_t>(i), merge->result});
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> heap(std::greater<>(),
                                                                              std::move(first));
  const auto push = [&](int32_t left) {
    const int32_t right = symbols[left].next;
    if (const Slot* merge = FindMerge(symbols[left].id, symbols[right].id))
      heap.push({merge->rank, static_cast<uint32_t>(left), merge->result});
  };
  int64_t asked = 0;
  for (; !heap.empty(); ++asked) {
    const Candidate top = heap.top();
    heap.pop();
    const int32_t at = static_cast<int32_t>(top.position);
    const int32_t gone = symbols[at].next;
    if (symbols[at].id < 0 || gone < 0) continue;
    const Slot* merge = FindMerge(symbols[at].id, symbols[gone].id);
    if (merge == nullptr || merge->result != top.result) continue;
    symbols[at].id = merge->result;
    symbols[at].next = symbols[gone].next;
    symbols[gone].id = -1;
    if (symbols[at].next >= 0) {
      symbols[symbols[at].next].previous = at;
      push(at);
    }
    if (symbols[at].previous >= 0) push(symbols[at].previous);
  }
  for (int32_t i = 0; i >= 0 && i < n; i = symbols[i].next) ids->push_back(symbols[i].id);
  return asked;
}

}  // namespace nextgate::engine
