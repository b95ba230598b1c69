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

// Whatever happens in whatever order: the same records are there, the same go, and no name is used while its
// writer is not done.
TEST(TierIndex, IsWhatANaiveModelIs) {
  uint64_t evicted = 0;
  uint64_t doomed = 0;
  for (uint32_t seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    Naive naive{.bytes_max = 400 + static_cast<int64_t>(random() % 600)};
    TierIndex index(naive.bytes_max);
    std::vector<TierRecordPtr> pinned;
    // A small world of names: 40 records, each at a fixed place in a tree.
    std::vector<TierRecord> world;
    for (uint64_t i = 0; i < 40; ++i) {
      TierRecord record{.key = {i + 1, i * 7}};
      if (i >= 4) {
        const TierRecord& above = world[random() % i];
        record.above = above.key;
        record.from = above.to;
      }
      record.to = record.from + kBlockTokens;
      record.tokens.assign(kBlockTokens, static_cast<int32_t>(i));
      world.push_back(record);
    }
    for (int step = 0; step < 300; ++step) {
      const TierRecord& r = world[random() % world.size()];
      std::set<BlockKey> expected;
      std::vector<TierRecordPtr> gone;
      switch (random() % 7) {
        case 0:
        case 1: {  // insert
          if (index.Knows(r.key) || (r.from > 0 && !index.Has(r.above))) break;
          const int64_t bytes = 20 + static_cast<int64_t>(random() % 90);
          const bool fits = naive.MakeRoom(bytes, r.above, &expected);
          ASSERT_EQ(index.MakeRoom(bytes, r.above, &gone), fits);
          ASSERT_EQ(KeysOf(gone), expected);
          evicted += gone.size();
          if (!fits) break;
          const auto record = std::make_shared<const TierRecord>(r);
          const bool written = random() % 2;
          index.Insert(record, bytes, written);
          naive.entries[r.key] = {record, bytes, written, false, 0, ++naive.uses};
          break;
        }
        case 2: {  // written
          const auto found = naive.entries.find(r.key);
          if (found == naive.entries.end() || found->second.written) break;
          ASSERT_EQ(index.Written(r.key), !found->second.doomed);
          doomed += found->second.doomed;
          if (found->second.doomed)
            naive.entries.erase(found);
          else
            found->second.written = true;
          break;
        }
        case 3:  // remove
          if (random() % 4 == 0) {
            naive.Remove(r.key, &expected);
            index.Remove(r.key, &gone);
          } else if (random() % 40 == 0) {
            for (const TierRecord& any : world) naive.Remove(any.key, &expected);
            index.RemoveAll(&gone);
          }
          ASSERT_EQ(KeysOf(gone), expected);
          break;
        case 4:
          index.Touch(r.key);
          if (naive.entries.contains(r.key)) naive.entries[r.key].used = ++naive.uses;
          break;
        case 5:
          if (!naive.Has(r.key) || !naive.entries[r.key].written) break;
          pinned.push_back(naive.entries[r.key].record);
          index.Pin(pinned.back());
          ++naive.entries[r.key].pins;
          break;
        case 6: {
          if (pinned.empty()) break;
          const TierRecordPtr record = pinned.back();  // another of that name may be there by now
          pinned.pop_back();
          index.Unpin(record);
          if (naive.entries.contains(record->key) && naive.entries[record->key].record == record)
            --naive.entries[record->key].pins;
          break;
        }
      }
      index.check_integrity();
      ASSERT_EQ(index.bytes(), naive.bytes());
      for (const TierRecord& any : world) {
        ASSERT_EQ(index.Has(any.key), naive.Has(any.key));
        ASSERT_EQ(index.Knows(any.key), naive.entries.contains(any.key));
      }
    }
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
