#include "cache/redis/store.h"

#include <gtest/gtest.h>

#include <random>

#include "cache/exact_cache.h"
#include "cache/memory_store.h"
#include "tests/support/redis_server.h"

namespace nextgate::cache {
namespace {

using std::chrono::milliseconds;
using test::RedisServer;

constexpr Hash128 kHash{.high = 1, .low = 2};

std::shared_ptr<const Answer> AnswerOf(const std::string& text) {
  AnswerBuilder builder;
  builder.Append({.text = text});
  return builder.Finish({.choices = {{.finish_reason = "stop"}}});
}

StoredAnswer EntryOf(const std::string& text, const Clock& clock, int64_t ttl_ms = 60'000) {
  return {.material = "material",
          .answer = AnswerOf(text),
          .created_unix_ms = clock.UnixMs(),
          .expires_unix_ms = clock.UnixMs() + ttl_ms};
}

// What one process of several has.
struct Instance {
  explicit Instance(int port, const std::string& secret = "shared secret",
                    const std::string& name_space = "test")
      : client({.endpoint = {.host = "127.0.0.1", .port = port},
                .retry_first = milliseconds(5),
                .retry_max = milliseconds(20),
                .probe_timeout = milliseconds(2000)}),
        codec(secret),
        shared({.name_space = name_space, .read_budget = milliseconds(5000)}, client, codec,
               clock) {
    client.WaitAvailable(milliseconds(20'000));
  }
  ManualClock clock;
  RedisClient client;
  EntryCodec codec;
  RedisStore shared;
  MemoryStore memory{{.bytes_max = 1 << 20, .num_shards = 1}, clock};
  ExactCache exact{memory, &shared, clock};

  std::string Ask(const std::string& question, CachePlan plan = {.read = true}) {
    const auto hit = exact.Lookup(MakeKey("p", question), plan);
    return hit ? hit->answer->ChoiceText(0) : "(miss)";
  }
  Reason Tell(const std::string& question, const std::string& answer, int64_t ttl_ms = 60'000) {
    return exact.Insert(MakeKey("p", question), AnswerOf(answer),
                        {.write = true, .ttl_ms = ttl_ms});
  }
  RedisReply Run(RedisCommand command) {
    const RedisCommand commands[] = {std::move(command)};
    auto replies = client.Run(commands, std::chrono::steady_clock::now() + milliseconds(20'000));
    return replies ? replies->front() : RedisReply{.type = RedisReply::Type::kError};
  }
};

TEST(RedisStore, KeepsAnEntryForItsTimeUnderItsKey) {
  RedisServer server;
  Instance a(server.port());
  EXPECT_EQ(a.shared.Get(kHash), nullptr);
  ASSERT_TRUE(a.shared.Put(kHash, EntryOf("answer", a.clock, 50'000)));
  const auto entry = a.shared.Get(kHash);
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(entry->answer->ChoiceText(0), "answer");
  const std::string key = "{test}:e:" + kHash.Hex();
  const int64_t ttl_ms = a.Run({"PTTL", key}).integer;
  EXPECT_GT(ttl_ms, 0);
  EXPECT_LE(ttl_ms, 50'000);
  a.clock.AdvanceMs(50'000);  // Redis still has it: its clock is another
  EXPECT_EQ(a.shared.Get(kHash), nullptr);
  EXPECT_FALSE(a.shared.Put(kHash, EntryOf("too late", a.clock, 0)));
  const RedisStoreStats stats = a.shared.stats();
  EXPECT_EQ(stats.hits, 1);
  EXPECT_EQ(stats.misses, 2);
  EXPECT_EQ(stats.stored, 1);
  EXPECT_EQ(stats.not_stored, 1);
}

TEST(RedisStore, ReadsOnlyWhatAnInstanceWithTheSecretWroteThere) {
  RedisServer server;
  Instance a(server.port()), stranger(server.port(), "another secret"),
      elsewhere(server.port(), "shared secret", "other");
  ASSERT_TRUE(a.shared.Put(kHash, EntryOf("answer", a.clock)));
  EXPECT_EQ(stranger.shared.Get(kHash), nullptr);
  EXPECT_EQ(stranger.shared.stats().corrupt, 1);
  EXPECT_EQ(elsewhere.shared.Get(kHash), nullptr);
  EXPECT_EQ(elsewhere.shared.stats().misses, 1);
  a.Run({"SETRANGE", "{test}:e:" + kHash.Hex(), "9", "damage"});
  EXPECT_EQ(a.shared.Get(kHash), nullptr);
  EXPECT_EQ(a.shared.stats().corrupt, 1);
  a.Run({"DEL", "{test}:e:" + kHash.Hex()});
  a.Run({"LPUSH", "{test}:e:" + kHash.Hex(), "a list"});
  EXPECT_EQ(a.shared.Get(kHash), nullptr);
  EXPECT_EQ(a.shared.stats().errors, 1);
}

TEST(RedisStore, AFullRedisIsAnAnswerNotKept) {
  RedisServer server;
  Instance a(server.port());
  a.Run({"CONFIG", "SET", "maxmemory-policy", "noeviction"});
  a.Run({"CONFIG", "SET", "maxmemory", "1"});
  EXPECT_FALSE(a.shared.Put(kHash, EntryOf("answer", a.clock)));
  EXPECT_EQ(a.shared.Get(kHash), nullptr);
  EXPECT_EQ(a.shared.stats().not_stored, 1);
  EXPECT_TRUE(a.client.stats().available) << "it can still be read from";
  EXPECT_EQ(a.Tell("q", "kept here"), Reason::kNone);
  EXPECT_EQ(a.Ask("q"), "kept here");
}

TEST(RedisStore, AFullRedisThatMayEvictGivesUpAnswersAndNothingWithoutATimeToLive) {
  RedisServer server;
  Instance a(server.port());
  const std::string large(64 << 10, 'x');
  a.Run({"XADD", "{test}:invalidations", "*", "r", large});
  a.Run({"SET", "{test}:generation", large});
  a.Run({"CONFIG", "SET", "maxmemory-policy", "volatile-lru"});
  a.Run({"CONFIG", "SET", "maxmemory", "4mb"});
  constexpr int64_t kEntries = 2000;
  std::string text;  // does not compress
  std::mt19937 draw(7);
  for (int i = 0; i < 8000; ++i) text.push_back(static_cast<char>('!' + draw() % 90));
  for (int64_t i = 0; i < kEntries; ++i)
    EXPECT_TRUE(a.shared.Put({.high = 7, .low = static_cast<uint64_t>(i)}, EntryOf(text, a.clock)));
  EXPECT_EQ(a.shared.stats().stored, kEntries);
  EXPECT_LT(a.Run({"DBSIZE"}).integer, kEntries) << "so some were given up";
  EXPECT_EQ(a.Run({"XLEN", "{test}:invalidations"}).integer, 1);
  EXPECT_EQ(a.Run({"STRLEN", "{test}:generation"}).integer, int64_t{64} << 10);
}

TEST(ExactCacheShared, WhatOneInstanceLearnedTheOtherKnows) {
  RedisServer server;
  Instance a(server.port()), b(server.port());
  EXPECT_EQ(b.Ask("q"), "(miss)");
  ASSERT_EQ(a.Tell("q", "answer"), Reason::kNone);
  EXPECT_EQ(b.Ask("q"), "answer");
  EXPECT_EQ(b.memory.stats().entries, 1) << "kept for the next time";
  EXPECT_EQ(b.Ask("q"), "answer");
  EXPECT_EQ(b.shared.stats().hits, 1) << "the second time was not asked for";
  EXPECT_EQ(b.Ask("q?"), "(miss)");
}

TEST(ExactCacheShared, AnAnswerTooOldHereIsLookedForThere) {
  RedisServer server;
  Instance a(server.port()), b(server.port());
  ASSERT_EQ(b.Tell("q", "old"), Reason::kNone);
  b.clock.AdvanceMs(10'000);
  a.clock.AdvanceMs(10'000);
  ASSERT_EQ(a.Tell("q", "fresh"), Reason::kNone);
  EXPECT_EQ(b.Ask("q"), "old");
  EXPECT_EQ(b.Ask("q", {.read = true, .max_age_ms = 5000}), "fresh");
  EXPECT_EQ(b.Ask("q"), "fresh") << "the younger one took the place";
  EXPECT_EQ(b.exact.Lookup(MakeKey("p", "q"), {.read = true})->age_s, 0);
}

TEST(ExactCacheShared, AnotherQuestionUnderTheSameHashIsAMiss) {
  RedisServer server;
  Instance a(server.port()), b(server.port());
  const auto colliding = [](std::string_view) { return kHash; };
  a.exact.Insert(MakeKey("p", "one", colliding), AnswerOf("one"), {.write = true, .ttl_ms = 9999});
  EXPECT_FALSE(b.exact.Lookup(MakeKey("p", "two", colliding), {.read = true}));
  EXPECT_EQ(b.exact.collisions(), 1);
  EXPECT_EQ(b.memory.stats().entries, 0);
}

TEST(ExactCacheShared, WithoutRedisEachGoesOnAlone) {
  RedisServer server;
  Instance a(server.port()), b(server.port());
  ASSERT_EQ(a.Tell("before", "answer"), Reason::kNone);
  EXPECT_EQ(a.Ask("before"), "answer");
  server.Kill();
  EXPECT_EQ(a.Tell("during", "answer"), Reason::kNone);
  EXPECT_EQ(a.Ask("during"), "answer");
  EXPECT_EQ(a.Ask("before"), "answer");
  EXPECT_EQ(b.Ask("before"), "(miss)");
  EXPECT_GE(b.shared.stats().errors, 1);
  EXPECT_EQ(a.shared.stats().not_stored, 1);
}

}  // namespace
}  // namespace nextgate::cache
