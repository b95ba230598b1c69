#include "cache/memory_store.h"

#include <gtest/gtest.h>

#include <list>
#include <random>
#include <thread>

namespace nextgate::cache {
namespace {

Hash128 HashOf(int key) { return HashBytes(std::to_string(key)); }

std::shared_ptr<const StoredAnswer> Entry(const std::string& material, size_t text_bytes,
                                          int64_t expires_unix_ms) {
  AnswerBuilder builder;
  builder.Append({.text = std::string(text_bytes, 't')});
  return std::make_shared<const StoredAnswer>(
      StoredAnswer{.material = material,
                   .answer = builder.Finish({.choices = {{.finish_reason = "stop"}}}),
                   .expires_unix_ms = expires_unix_ms});
}

// What the header promises, in the plainest way: a list, most recent first, searched from the
// front.
class NaiveLru {
 public:
  struct Item {
    int key;
    std::string material;
    size_t charge;
    int64_t expires_ms;
  };
  explicit NaiveLru(size_t bytes_max) : bytes_max_(bytes_max) {}

  std::string Get(int key, int64_t now_ms) {
    for (auto it = items_.begin(); it != items_.end(); ++it) {
      if (it->key != key) continue;
      if (now_ms >= it->expires_ms) {
        items_.erase(it);
        return "";
      }
      items_.splice(items_.begin(), items_, it);
      return items_.front().material;
    }
    return "";
  }
  bool Put(Item item, int64_t now_ms) {
    Erase(item.key);
    if (item.charge > bytes_max_ || now_ms >= item.expires_ms) return false;
    items_.push_front(std::move(item));
    while (Bytes() > bytes_max_) items_.pop_back();
    return true;
  }
  bool Erase(int key) {
    return std::erase_if(items_, [&](auto& i) { return i.key == key; }) > 0;
  }
  void RemoveExpired(int64_t now_ms) {
    std::erase_if(items_, [&](auto& i) { return now_ms >= i.expires_ms; });
  }
  void Clear() { items_.clear(); }
  size_t Bytes() const {
    size_t bytes = 0;
    for (const Item& item : items_) bytes += item.charge;
    return bytes;
  }
  size_t size() const { return items_.size(); }

 private:
  size_t bytes_max_;
  std::list<Item> items_;
};

TEST(MemoryStore, BehavesAsANaiveLruOver30000RandomOperations) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  const auto below = [&](int n) { return std::uniform_int_distribution<int>(0, n - 1)(random); };
  constexpr size_t kBytesMax = 40'000;  // about thirty entries of 200 keys
  ManualClock clock;
  MemoryStore store({.bytes_max = kBytesMax, .num_shards = 1}, clock);
  NaiveLru naive(kBytesMax);
  int hits = 0, evictions_seen = 0;
  for (int op = 0; op < 30'000; ++op) {
    const int key = std::min(below(200), below(200));  // some keys are hot
    const int kind = below(100);
    if (kind < 50) {
      const auto got = store.Get(HashOf(key));
      const std::string expected = naive.Get(key, clock.UnixMs());
      ASSERT_EQ(got ? got->material : "", expected) << "operation " << op;
      hits += got != nullptr;
    } else if (kind < 90) {
      const std::string material = std::to_string(key) + "#" + std::to_string(op);
      const size_t text = below(50) == 0 ? below(60'000) : below(1500);
      const int64_t expires = clock.UnixMs() + below(3000);
      const auto entry = Entry(material, text, expires);
      const size_t before = naive.size();
      const bool kept =
          naive.Put({key, material, MemoryStore::ChargeBytes(*entry), expires}, clock.UnixMs());
      evictions_seen += naive.size() <= before;
      ASSERT_EQ(store.Put(HashOf(key), entry), kept) << "operation " << op;
    } else if (kind < 95) {
      ASSERT_EQ(store.Erase(HashOf(key)), naive.Erase(key)) << "operation " << op;
    } else if (kind < 99) {
      clock.AdvanceMs(below(300));
    } else if (below(20) == 0) {
      store.Clear();
      naive.Clear();
    } else {
      store.RemoveExpired();
      naive.RemoveExpired(clock.UnixMs());
    }
    const StoreStats stats = store.stats();
    ASSERT_EQ(stats.entries, static_cast<int64_t>(naive.size())) << "operation " << op;
    ASSERT_EQ(stats.bytes, static_cast<int64_t>(naive.Bytes())) << "operation " << op;
    ASSERT_LE(stats.bytes, static_cast<int64_t>(kBytesMax));
    if (op % 500 == 0) {
      const Status ok = store.CheckIntegrity();
      ASSERT_TRUE(ok.has_value()) << ok.error().message;
    }
  }
  EXPECT_GT(hits, 1000);
  EXPECT_GT(evictions_seen, 1000);
  EXPECT_GT(store.stats().evictions, 1000);
  EXPECT_GT(store.stats().expirations, 100);
  EXPECT_GT(store.stats().rejections, 10);
}

TEST(MemoryStore, NeverReturnsAnEntryAtOrPastItsInstant) {
  ManualClock clock(1000);
  MemoryStore store({.bytes_max = 1 << 20}, clock);
  ASSERT_TRUE(store.Put(HashOf(1), Entry("a", 10, 1500)));
  clock.AdvanceMs(499);
  EXPECT_NE(store.Get(HashOf(1)), nullptr);
  clock.AdvanceMs(1);
  EXPECT_EQ(store.Get(HashOf(1)), nullptr);
  EXPECT_EQ(store.stats().entries, 0);
  EXPECT_FALSE(store.Put(HashOf(1), Entry("a", 10, 1500)));
}

TEST(MemoryStore, AnEntryOutlivesItsEvictionWhileHeld) {
  MemoryStore store({.bytes_max = 1 << 20});
  ASSERT_TRUE(store.Put(HashOf(1), Entry("a", 10, INT64_MAX)));
  const auto held = store.Get(HashOf(1));
  store.Clear();
  EXPECT_EQ(store.Get(HashOf(1)), nullptr);
  EXPECT_EQ(held->material, "a");
  EXPECT_EQ(held->answer->ChoiceText(0), "tttttttttt");
}

TEST(MemoryStore, AnEntryTooLargeEvictsNobody) {
  MemoryStore store({.bytes_max = 10'000, .num_shards = 1});
  ASSERT_TRUE(store.Put(HashOf(1), Entry("a", 100, INT64_MAX)));
  EXPECT_FALSE(store.Put(HashOf(2), Entry("b", 20'000, INT64_MAX)));
  EXPECT_NE(store.Get(HashOf(1)), nullptr);
  EXPECT_EQ(store.stats().evictions, 0);
  EXPECT_EQ(store.stats().rejections, 1);
  // But it takes the place of what it would have replaced: that answer is no longer the last one.
  EXPECT_FALSE(store.Put(HashOf(1), Entry("c", 20'000, INT64_MAX)));
  EXPECT_EQ(store.Get(HashOf(1)), nullptr);
}

TEST(MemoryStore, AnEntryAboveItsOwnBoundIsNotStored) {
  MemoryStore store({.bytes_max = 100'000, .num_shards = 1, .entry_bytes_max = 2'000});
  EXPECT_TRUE(store.Put(HashOf(1), Entry("a", 1'000, INT64_MAX)));
  EXPECT_FALSE(store.Put(HashOf(2), Entry("b", 2'000, INT64_MAX)));
  EXPECT_EQ(store.stats().entries, 1);
}

TEST(MemoryStore, ShardsShareTheBytesAndSpreadTheKeys) {
  EXPECT_EQ(MemoryStore({.bytes_max = 1 << 20}).num_shards(), 1u);
  EXPECT_EQ(MemoryStore({.bytes_max = size_t{256} << 20}).num_shards(), 64u);
  EXPECT_EQ(MemoryStore({.bytes_max = size_t{25} << 20}).num_shards(), 4u);
  MemoryStore store({.bytes_max = 1 << 20, .num_shards = 8});
  for (int key = 0; key < 5000; ++key) store.Put(HashOf(key), Entry("m", 1000, INT64_MAX));
  const StoreStats stats = store.stats();
  EXPECT_LE(stats.bytes, 1 << 20);
  // If keys fell into few shards, most of the room would stay empty.
  EXPECT_GT(stats.bytes, (1 << 20) * 9 / 10);
  EXPECT_TRUE(store.CheckIntegrity().has_value());
}

TEST(MemoryStore, HoldsItsInvariantsUnderManyThreads) {
  constexpr size_t kBytesMax = 200'000;
  ManualClock clock;
  MemoryStore store({.bytes_max = kBytesMax, .num_shards = 4}, clock);
  std::atomic<bool> stop = false;
  std::atomic<int> wrong = 0, hits = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int op = 0; op < 4000; ++op) {
        const int key = static_cast<int>(random() % 300);
        const std::string material = std::to_string(key);
        switch (random() % 8) {
          case 0:
          case 1:
          case 2:
            store.Put(HashOf(key), Entry(material, random() % 3000,
                                         clock.UnixMs() + static_cast<int64_t>(random() % 50)));
            break;
          case 3:
            store.Erase(HashOf(key));
            break;
          case 4:
            clock.AdvanceMs(1);
            break;
          default:
            if (const auto got = store.Get(HashOf(key))) {
              ++hits;
              if (got->material != material || got->answer->num_deltas() != 1) ++wrong;
            }
        }
      }
    });
  std::thread watcher([&] {
    while (!stop) {
      if (store.stats().bytes > static_cast<int64_t>(kBytesMax)) ++wrong;
      if (!store.CheckIntegrity()) ++wrong;
      store.RemoveExpired();
    }
  });
  for (auto& thread : threads) thread.join();
  stop = true;
  watcher.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(hits, 100);
  EXPECT_TRUE(store.CheckIntegrity().has_value());
}

}  // namespace
}  // namespace nextgate::cache
