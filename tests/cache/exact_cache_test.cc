#include "cache/exact_cache.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "cache/memory_store.h"
#include "cache/stats.h"
#include "cache/writer.h"

namespace nextgate::cache {
namespace {

std::shared_ptr<const Answer> AnswerOf(const std::string& text) {
  AnswerBuilder builder;
  builder.Append({.text = text});
  return builder.Finish({.choices = {{.finish_reason = "stop"}}});
}

CachePlan ReadWrite(int64_t ttl_ms = 60'000) {
  return {.read = true, .write = true, .ttl_ms = ttl_ms};
}

class ExactCacheTest : public testing::Test {
 protected:
  std::string Lookup(const CacheKey& key, const CachePlan& plan = ReadWrite()) {
    const auto hit = cache_.Lookup(key, plan);
    return hit ? hit->answer->ChoiceText(0) : "(miss)";
  }

  ManualClock clock_;
  MemoryStore store_{{.bytes_max = 1 << 20, .num_shards = 1}, clock_};
  ExactCache cache_{store_, nullptr, clock_};
};

TEST_F(ExactCacheTest, FindsExactlyWhatWasInserted) {
  const CacheKey key = MakeKey("p", "question");
  EXPECT_EQ(Lookup(key), "(miss)");
  EXPECT_EQ(cache_.Insert(key, AnswerOf("answer"), ReadWrite()), Reason::kNone);
  EXPECT_EQ(Lookup(key), "answer");
  EXPECT_EQ(Lookup(MakeKey("p", "question?")), "(miss)");
  EXPECT_EQ(Lookup(MakeKey("q", "question")), "(miss)");
  EXPECT_EQ(cache_.Insert(key, AnswerOf("newer"), ReadWrite()), Reason::kNone);
  EXPECT_EQ(Lookup(key), "newer");
  EXPECT_EQ(cache_.collisions(), 0);
}

TEST_F(ExactCacheTest, AgeMaxAgeAndTtlAreKept) {
  const CacheKey key = MakeKey("p", "question");
  ASSERT_EQ(cache_.Insert(key, AnswerOf("answer"), ReadWrite(10'000)), Reason::kNone);
  clock_.AdvanceMs(2999);
  EXPECT_EQ(cache_.Lookup(key, ReadWrite())->age_s, 2);
  clock_.AdvanceMs(1);
  EXPECT_EQ(cache_.Lookup(key, ReadWrite())->age_s, 3);
  CachePlan young = ReadWrite();
  young.max_age_ms = 3000;
  EXPECT_EQ(Lookup(key, young), "answer");
  clock_.AdvanceMs(1);
  EXPECT_EQ(Lookup(key, young), "(miss)");
  EXPECT_EQ(Lookup(key), "answer");  // too old for that client only
  clock_.AdvanceMs(6998);
  EXPECT_EQ(Lookup(key), "answer");
  clock_.AdvanceMs(1);
  EXPECT_EQ(Lookup(key), "(miss)");
}

TEST_F(ExactCacheTest, SaysWhyItDidNotStore) {
  EXPECT_EQ(cache_.Insert(MakeKey("p", "q"), AnswerOf("a"), ReadWrite(0)), Reason::kZeroTtl);
  EXPECT_EQ(cache_.Insert(MakeKey("p", "q"), AnswerOf(std::string(2 << 20, 'x')), ReadWrite()),
            Reason::kAnswerTooLarge);
}

// A hash of three values: nearly everything collides, and still nobody gets another's answer.
Hash128 BadHash(std::string_view bytes) { return {.high = 0, .low = bytes.size() % 3}; }

TEST_F(ExactCacheTest, CollidingHashesNeverServeAWrongAnswer) {
  int hits = 0;
  for (int i = 0; i < 2000; ++i) {
    const std::string question(1 + (i * 7919) % 97, 'q');
    const CacheKey key = MakeKey("p", question, BadHash);
    const std::string expected = "answer to " + question;
    const std::string got = Lookup(key);
    ASSERT_TRUE(got == "(miss)" || got == expected);
    hits += got == expected;
    cache_.Insert(key, AnswerOf(expected), ReadWrite());
    ASSERT_EQ(Lookup(key), expected);
  }
  EXPECT_LE(store_.stats().entries, 3);
  EXPECT_GT(cache_.collisions(), 1500);
}

TEST_F(ExactCacheTest, AForeignEntryUnderMyHashIsAMiss) {
  const CacheKey mine = MakeKey("tenant-a", "question");
  CacheKey forged = MakeKey("tenant-b", "question");
  forged.hash = mine.hash;
  cache_.Insert(forged, AnswerOf("b's answer"), ReadWrite());
  EXPECT_EQ(Lookup(mine), "(miss)");
  EXPECT_EQ(Lookup(forged), "b's answer");
}

TEST_F(ExactCacheTest, TheWriterStoresEverythingItAccepted) {
  int accepted = 0;
  {
    Writer writer(cache_, 64);
    std::vector<std::thread> producers;
    std::atomic<int> taken = 0;
    for (int t = 0; t < 3; ++t)
      producers.emplace_back([&, t] {
        for (int i = 0; i < 100; ++i) {
          const std::string question = std::to_string(t) + "/" + std::to_string(i);
          taken += writer.Enqueue({.key = MakeKey("p", question),
                                   .plan = ReadWrite(),
                                   .answer = AnswerOf("a " + question)}) == Reason::kNone;
        }
      });
    for (auto& producer : producers) producer.join();
    EXPECT_TRUE(writer.Flush(std::chrono::seconds(60)));
    accepted = taken;
    EXPECT_EQ(writer.stats().stored, accepted);
    EXPECT_EQ(writer.stats().dropped, 300 - accepted);
    EXPECT_EQ(writer.stats().queued, 0);
    EXPECT_EQ(store_.stats().entries, accepted);
    writer.Enqueue({.key = MakeKey("p", "last"), .plan = ReadWrite(), .answer = AnswerOf("last")});
  }  // the destructor stores what is queued
  EXPECT_EQ(Lookup(MakeKey("p", "last")), "last");
}

// A store that stands still until it is let go.
class BlockedStore final : public AnswerStore {
 public:
  std::shared_ptr<const StoredAnswer> Get(const Hash128&) override { return nullptr; }
  std::shared_ptr<const StoredAnswer> Peek(const Hash128&) const override { return nullptr; }
  void ForEach(const Visitor&) const override {}
  bool Put(const Hash128&, std::shared_ptr<const StoredAnswer>) override {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_; });
    return true;
  }
  bool Erase(const Hash128&) override { return false; }
  void Clear() override {}
  void RemoveExpired() override {}
  StoreStats stats() const override { return {}; }
  Status CheckIntegrity() const override { return {}; }

  void WaitUntilEntered() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_ > 0; });
  }
  void Open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int waiting_ = 0;
  bool open_ = false;
};

TEST(Writer, DropsAndCountsWhenItsQueueIsFullAndNeverBlocks) {
  BlockedStore store;
  ExactCache cache(store);
  Writer writer(cache, 2);
  const auto enqueue = [&] {
    return writer.Enqueue({.key = MakeKey("p", "q"), .plan = ReadWrite(), .answer = AnswerOf("a")});
  };
  EXPECT_EQ(enqueue(), Reason::kNone);
  store.WaitUntilEntered();  // the thread holds the first, the queue is empty
  EXPECT_EQ(enqueue(), Reason::kNone);
  EXPECT_EQ(enqueue(), Reason::kNone);
  EXPECT_EQ(enqueue(), Reason::kWriterFull);
  EXPECT_EQ(writer.stats().dropped, 1);
  EXPECT_EQ(writer.stats().queued, 2);
  EXPECT_FALSE(writer.Flush(std::chrono::milliseconds(1)));
  store.Open();
  EXPECT_TRUE(writer.Flush(std::chrono::seconds(60)));
  EXPECT_EQ(writer.stats().stored, 3);
}

TEST(CacheStats, EveryRequestIsInExactlyOneClass) {
  CacheStats stats;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) {
        switch (i % 10) {
          case 0:
            stats.CountMiss();
            break;
          case 1:
            stats.CountBypass(Reason::kSampled);
            break;
          case 2:
            stats.CountBypass(Reason::kNoCache);
            break;
          case 3:
            stats.CountHit(Tier::kCoalesced);
            break;
          default:
            stats.CountHit(Tier::kExact);
            stats.CountSaved({.prompt_tokens = 2, .completion_tokens = 3});
        }
        if (i % 100 == 0) stats.CountNotStored(Reason::kNotComplete);
      }
    });
  for (auto& thread : threads) thread.join();
  const StatsSnapshot counts = stats.Snapshot();
  EXPECT_EQ(counts.Requests(), 4000);
  EXPECT_EQ(counts.Eligible(), 3200);

  const auto json = nlohmann::json::parse(CountsJson(counts));
  EXPECT_EQ(json["requests"], 4000);
  EXPECT_EQ(json["eligible"], 3200);
  EXPECT_EQ(json["misses"], 400);
  EXPECT_EQ(json["hits"]["exact"], 2400);
  EXPECT_EQ(json["hits"]["coalesced"], 400);
  EXPECT_EQ(json["bypass"], (nlohmann::json{{"sampled", 400}, {"no_cache", 400}}));
  EXPECT_DOUBLE_EQ(json["hit_rate"].get<double>(), 2800.0 / 3200);
  EXPECT_DOUBLE_EQ(json["hit_rate_of_requests"].get<double>(), 0.7);
  EXPECT_EQ(json["tokens_saved"]["completion"], 7200);
  EXPECT_EQ(json["not_stored"], (nlohmann::json{{"not_complete", 40}}));
  const auto process =
      nlohmann::json::parse(ProcessStatsJson({.entries = 5, .bytes = 7}, {}, 1, {}));
  EXPECT_EQ(process["entries"], 5);
  EXPECT_EQ(process["bytes"], 7);
}

TEST(CacheStats, HasNoRateBeforeThereWasARequest) {
  const auto json = nlohmann::json::parse(CountsJson(CacheStats().Snapshot()));
  EXPECT_TRUE(json["hit_rate"].is_null());
  EXPECT_EQ(json["requests"], 0);
}

TEST(Reason, EveryCodeIsDistinct) {
  std::set<std::string_view> codes;
  for (size_t i = 0; i < kNumReasons; ++i)
    EXPECT_TRUE(codes.insert(ReasonCode(static_cast<Reason>(i))).second) << i;
}

}  // namespace
}  // namespace nextgate::cache
