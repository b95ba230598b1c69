// TierIndex against a naive model: a list of records, everything computed anew at each question.
#include "engine/prefix/tier_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace nextgate::engine {
namespace {

struct Naive {
  struct Entry {
    TierRecordPtr record;
    int64_t bytes = 0;
    bool written = false;
    bool doomed = false;
    int pins = 0;
    uint64_t used = 0;
  };
  std::map<BlockKey, Entry> entries;
  int64_t bytes_max = 0;
  uint64_t uses = 0;

  int64_t bytes() const {
    int64_t sum = 0;
    for (const auto& [key, e] : entries) sum += e.bytes;
    return sum;
  }
  bool Has(const BlockKey& key) const { return entries.contains(key) && !entries.at(key).doomed; }
  bool Continued(const BlockKey& key) const {
    return std::ranges::any_of(entries, [&](const auto& e) {
      return !e.second.doomed && e.second.record->from > 0 && e.second.record->above == key;
    });
  }
  bool MakeRoom(int64_t wanted, const BlockKey& kept, std::set<BlockKey>* given_up) {
    if (wanted > bytes_max) return false;
    while (bytes() + wanted > bytes_max) {
      const Entry* oldest = nullptr;
      for (const auto& [key, e] : entries)
        if (e.written && !e.doomed && e.pins == 0 && !Continued(key) && key != kept &&
            (oldest == nullptr || e.used < oldest->used))
          oldest = &e;
      if (oldest == nullptr) return false;
      given_up->insert(oldest->record->key);
      entries.erase(oldest->record->key);
    }
    return true;
  }
  void Remove(const BlockKey& key, std::set<BlockKey>* removed) {
    if (!Has(key)) return;
    std::vector<BlockKey> below;
    for (const auto& [other, e] : entries)
      if (!e.doomed && e.record->from > 0 && e.record->above == key) below.push_back(other);
    for (const BlockKey& other : below) Remove(other, removed);
    if (entries.at(key).written) {
      removed->insert(key);
      entries.erase(key);
    } else {
      entries.at(key).doomed = true;
    }
  }
};

std::set<BlockKey> KeysOf(const std::vector<TierRecordPtr>& records) {
  std::set<BlockKey> keys;
  for (const auto& record : records) keys.insert(record->key);
  EXPECT_EQ(keys.size(), records.size());
  return keys;
}

// An index and its model, to which the same happens.
class Both {
 public:
  explicit Both(uint32_t seed)
      : random_(seed),
        naive_{.bytes_max = 400 + static_cast<int64_t>(random_() % 600)},
        index_(naive_.bytes_max) {
    // A small world of names, each at a fixed place in a tree.
    for (uint64_t i = 0; i < 40; ++i) {
      TierRecord record{.key = {i + 1, i * 7}};
      if (i >= 4) {
        const TierRecord& above = world_[random_() % i];
        record.above = above.key;
        record.from = above.to;
      }
      record.to = record.from + kBlockTokens;
      record.tokens.assign(kBlockTokens, static_cast<int32_t>(i));
      world_.push_back(record);
    }
  }

  void Step() {
    const TierRecord& r = world_[random_() % world_.size()];
    const auto what = random_() % 7;
    if (what <= 1) Insert(r);
    if (what == 2) Written(r.key);
    if (what == 3) Remove(r.key);
    if (what == 4) Touch(r.key);
    if (what == 5) Pin(r.key);
    if (what == 6) Unpin();
    index_.check_integrity();
    EXPECT_EQ(index_.bytes(), naive_.bytes());
    for (const TierRecord& any : world_) {
      EXPECT_EQ(index_.Has(any.key), naive_.Has(any.key));
      EXPECT_EQ(index_.Knows(any.key), naive_.entries.contains(any.key));
    }
  }
  uint64_t evicted() const { return evicted_; }
  uint64_t doomed() const { return doomed_; }

 private:
  void Insert(const TierRecord& r) {
    if (index_.Knows(r.key) || (r.from > 0 && !index_.Has(r.above))) return;
    const int64_t bytes = 20 + static_cast<int64_t>(random_() % 90);
    std::set<BlockKey> expected;
    std::vector<TierRecordPtr> gone;
    const bool fits = naive_.MakeRoom(bytes, r.above, &expected);
    EXPECT_EQ(index_.MakeRoom(bytes, r.above, &gone), fits);
    EXPECT_EQ(KeysOf(gone), expected);
    evicted_ += gone.size();
    if (!fits) return;
    const auto record = std::make_shared<const TierRecord>(r);
    const bool written = random_() % 2;
    index_.Insert(record, bytes, written);
    naive_.entries[r.key] = {record, bytes, written, false, 0, ++naive_.uses};
  }
  void Written(const BlockKey& key) {
    const auto found = naive_.entries.find(key);
    if (found == naive_.entries.end() || found->second.written) return;
    EXPECT_EQ(index_.Written(key), !found->second.doomed);
    found->second.written = true;
    if (!found->second.doomed) return;
    ++doomed_;
    naive_.entries.erase(found);
  }
  void Remove(const BlockKey& key) {
    std::set<BlockKey> expected;
    std::vector<TierRecordPtr> gone;
    if (random_() % 4 == 0) {
      naive_.Remove(key, &expected);
      index_.Remove(key, &gone);
    } else if (random_() % 40 == 0) {
      for (const TierRecord& any : world_) naive_.Remove(any.key, &expected);
      index_.RemoveAll(&gone);
    }
    EXPECT_EQ(KeysOf(gone), expected);
  }
  void Touch(const BlockKey& key) {
    index_.Touch(key);
    if (naive_.entries.contains(key)) naive_.entries[key].used = ++naive_.uses;
  }
  void Pin(const BlockKey& key) {
    if (!naive_.Has(key) || !naive_.entries[key].written) return;
    pinned_.push_back(naive_.entries[key].record);
    index_.Pin(pinned_.back());
    ++naive_.entries[key].pins;
  }
  void Unpin() {
    if (pinned_.empty()) return;
    const TierRecordPtr record = pinned_.back();  // another of that name may be there by now
    pinned_.pop_back();
    index_.Unpin(record);
    const auto found = naive_.entries.find(record->key);
    if (found != naive_.entries.end() && found->second.record == record) --found->second.pins;
  }

  std::mt19937 random_;
  Naive naive_;
  TierIndex index_;
  std::vector<TierRecord> world_;
  std::vector<TierRecordPtr> pinned_;
  uint64_t evicted_ = 0;
  uint64_t doomed_ = 0;
};

// Whatever happens in whatever order: the same records are there, the same go, and no name is used while its
// writer is not done.
TEST(TierIndex, IsWhatANaiveModelIs) {
  uint64_t evicted = 0;
  uint64_t doomed = 0;
  for (uint32_t seed = 0; seed < 400 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    Both both(seed);
    for (int step = 0; step < 300; ++step) both.Step();
    evicted += both.evicted();
    doomed += both.doomed();
  }
  EXPECT_GT(evicted, 500u);
  EXPECT_GT(doomed, 100u);
}

TEST(TierIndex, AChainIsWholeWrittenAndOfTheSameTokensAndScope) {
  const std::string scope(32, 's');
  std::vector<int32_t> tokens(3 * kBlockTokens);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i);
  std::vector<BlockKey> keys = {ScopeKey("")};
  ExtendBlockKeys(tokens, &keys);
  const auto record = [&](int32_t from, int32_t to) {
    return std::make_shared<const TierRecord>(
        TierRecord{.key = keys[static_cast<size_t>(to / kBlockTokens)],
                   .above = keys[static_cast<size_t>(from / kBlockTokens)],
                   .from = from,
                   .to = to,
                   .scope_digest = scope,
                   .tokens = {tokens.begin() + from, tokens.begin() + to}});
  };
  TierIndex index(1000);
  index.Insert(record(0, 64), 1, true);
  index.Insert(record(64, 192), 1, false);
  EXPECT_EQ(index.Chain(scope, tokens, keys, 64).size(), 1u);
  EXPECT_TRUE(index.Chain(scope, tokens, keys, 192).empty()) << "not written yet";
  ASSERT_TRUE(index.Written(keys[3]));
  EXPECT_EQ(index.Chain(scope, tokens, keys, 192).size(), 2u);
  EXPECT_TRUE(index.Chain(scope, tokens, keys, 128).empty()) << "none ends there";
  EXPECT_TRUE(index.Chain(std::string(32, 't'), tokens, keys, 192).empty()) << "another's";
  ++tokens[100];  // whatever the hash says
  EXPECT_TRUE(index.Chain(scope, tokens, keys, 192).empty());
  EXPECT_EQ(index.Chain(scope, tokens, keys, 64).size(), 1u);
}

}  // namespace
}  // namespace nextgate::engine
