// RedisCatalogue and the cluster's figures, against a real Redis.
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "cache/exact_cache.h"
#include "cache/memory_store.h"
#include "cache/redis/catalogue.h"
#include "cache/stats_keeper.h"
#include "tests/support/redis_server.h"
#include "tests/support/until.h"

namespace nextgate::cache {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using test::RedisServer;
using test::Until;

std::shared_ptr<const Answer> AnswerOf(const std::string& text) {
  AnswerBuilder builder;
  builder.Append({.text = text});
  return builder.Finish({.choices = {{.finish_reason = "stop"}, {.finish_reason = "length"}},
                         .usage = {.prompt_tokens = 7, .completion_tokens = 3}});
}

// What one process of several has. The clock is the machine's, as Redis' is.
struct Instance {
  explicit Instance(int port, const std::string& secret = "shared secret")
      : client({.endpoint = {.host = "127.0.0.1", .port = port},
                .retry_first = milliseconds(5),
                .retry_max = milliseconds(20),
                .probe_timeout = milliseconds(2000)}),
        codec(secret),
        shared({.name_space = "test", .read_budget = milliseconds(5000)}, client, codec),
        catalogue("test", client, codec) {
    client.WaitAvailable(milliseconds(20'000));
  }
  RedisReply Run(RedisCommand command) {
    const auto replies =
        client.Run(std::span(&command, 1), steady_clock::now() + milliseconds(1000));
    return replies ? replies->front() : RedisReply{.type = RedisReply::Type::kError};
  }
  RedisClient client;
  EntryCodec codec;
  RedisStore shared;
  RedisCatalogue catalogue;
  MemoryStore memory{{.bytes_max = 1 << 20, .num_shards = 1}};
  ExactCache exact{memory, &shared};
  Partitioner partitioner{"shared secret"};

  CacheKey Tell(const std::string& question, const std::string& name_space = "") {
    const CacheKey key = KeyOf(question, name_space);
    EXPECT_EQ(
        exact.Insert(key, AnswerOf("answer to " + question), {.write = true, .ttl_ms = 60'000},
                     {.model = "m", .route = "r", .scope = {.name_space = name_space}}),
        Reason::kNone);
    return key;
  }
  CacheKey KeyOf(const std::string& question, const std::string& name_space = "") const {
    return MakeKey(partitioner.Partition({.name_space = name_space}, "fp"), question);
  }
};

TEST(RedisCatalogue, ListsEveryEntryOnceOrMoreWithWhatItsHeaderSays) {
  RedisServer server;
  Instance a(server.port()), b(server.port());
  std::set<std::string> told;
  for (int i = 0; i < 700; ++i) told.insert(a.Tell("q" + std::to_string(i), "ns").hash.Hex());
  std::set<std::string> listed;
  ASSERT_TRUE(b.catalogue.ForEach([&](const EntrySummary& entry) {
    listed.insert(entry.id.Hex());
    EXPECT_EQ(entry.origin.model, "m");
    EXPECT_EQ(entry.origin.route, "r");
    EXPECT_EQ(entry.origin.scope.name_space, "ns");
    EXPECT_EQ(entry.fingerprint, "fp");
    EXPECT_EQ(entry.scope_id.size(), 64u);
    EXPECT_EQ(entry.prompt_tokens, 7);
    EXPECT_EQ(entry.completion_tokens, 3);
    EXPECT_EQ(entry.finish_reasons, (std::vector<std::string>{"stop", "length"}));
    EXPECT_GT(entry.bytes, 100);
    EXPECT_EQ(entry.hits, 0);
  }));
  EXPECT_EQ(listed, told);

  size_t walked = 0;
  ASSERT_TRUE(b.catalogue.ForEachEntry([&](const Hash128& id, const auto& entry) {
    EXPECT_EQ(HashBytes(entry->material), id);
    return ++walked < 20;
  }));
  EXPECT_EQ(walked, 20u);
}

TEST(RedisCatalogue, WhatAnotherSecretSignedIsNotListedNorShown) {
  RedisServer server;
  Instance a(server.port()), stranger(server.port(), "another secret");
  const CacheKey key = a.Tell("q");
  int listed = 0;
  EXPECT_TRUE(stranger.catalogue.ForEach([&](const EntrySummary&) { ++listed; }));
  EXPECT_EQ(listed, 0);
  const auto shown = stranger.catalogue.Peek(key.hash);
  ASSERT_FALSE(shown);
  EXPECT_EQ(shown.error().code, ErrorCode::kDataLoss);
}

TEST(RedisCatalogue, ErasesAndPutsOnlyWhatIsNewer) {
  RedisServer server;
  Instance a(server.port());
  const CacheKey key = a.Tell("q");
  const auto entry = *a.catalogue.Peek(key.hash);
  ASSERT_NE(entry, nullptr);
  const int64_t now = Clock::System().UnixMs();
  EXPECT_FALSE(*a.catalogue.PutIfNewer(key.hash, *entry, now)) << "the same is there";
  EXPECT_TRUE(*a.catalogue.Erase(key.hash));
  EXPECT_FALSE(*a.catalogue.Erase(key.hash));
  EXPECT_EQ(*a.catalogue.Peek(key.hash), nullptr);
  EXPECT_TRUE(*a.catalogue.PutIfNewer(key.hash, *entry, now));
  EXPECT_EQ((*a.catalogue.Peek(key.hash))->answer->ChoiceText(0), "answer to q");
}

TEST(RedisCatalogue, SaysSoWhenRedisIsAway) {
  RedisServer server;
  Instance a(server.port());
  server.Kill();
  const auto erased = a.catalogue.Erase({.high = 1, .low = 2});
  ASSERT_FALSE(erased);
  EXPECT_EQ(erased.error().code, ErrorCode::kUnavailable);
}

TEST(StatsKeeper, TheClusterIsTheSumOfItsInstancesAndOutlivesThem) {
  RedisServer server;
  Instance a(server.port()), b(server.port());
  CacheStats stats_a, stats_b;
  stats_a.For({.model = "m", .route = "chat"}).CountMiss();
  stats_b.For({.model = "m", .route = "chat"}).CountHit(Tier::kExact);
  stats_b.For({.model = "m", .route = "chat"}).CountLatency(Served::kStored, 1000);
  stats_b.For({.model = "m", .name_space = "odd \"{}\n\x01 é"}).CountBypass(Reason::kSampled);
  {
    StatsKeeper keeper_a(stats_a, a.memory, &a.client, "test");
    StatsKeeper keeper_b(stats_b, b.memory, &b.client, "test");
    keeper_b.Start("host:1", [] { return 7; });
    a.Tell("q");
    for (const StatsWindow window : {StatsWindow::k1m, StatsWindow::kTotal}) {
      ASSERT_TRUE(keeper_a.Cluster(window));
      StatsSnapshot total;
      const auto figures = *keeper_b.Cluster(window);
      for (const auto& [labels, counts] : figures.counts) total.Add(counts);
      EXPECT_EQ(total.Requests(), 3);
      EXPECT_EQ(total.misses, 1);
      EXPECT_EQ(total.HitsTotal(), 1);
      EXPECT_EQ(figures.counts.at({.model = "m", .name_space = "odd \"{}\n\x01 é"}).BypassesTotal(),
                1);
      StatsSnapshot in_steps;
      for (const auto& [begins_s, counts] : figures.steps) in_steps.Add(counts);
      EXPECT_EQ(in_steps.Requests(), window == StatsWindow::kTotal ? 0 : 3);
      ASSERT_EQ(figures.instances.size(), 2u);
      EXPECT_EQ(figures.instances[0].live_requests + figures.instances[1].live_requests, 7);
      EXPECT_EQ(figures.instances[0].entries + figures.instances[1].entries, 1);
    }
    stats_a.For({.model = "m"}).CountMiss();  // added at the end
    EXPECT_EQ(keeper_a.Instance(StatsWindow::kTotal).size(), 4u);
  }
  CacheStats fresh;
  StatsKeeper keeper(fresh, a.memory, &a.client, "test");
  StatsSnapshot total;
  const auto figures = keeper.Cluster(StatsWindow::k1h);
  ASSERT_TRUE(figures);
  for (const auto& [labels, counts] : figures->counts) total.Add(counts);
  EXPECT_EQ(total.Requests(), 4);
  EXPECT_EQ(figures->instances.size(), 1u) << "who stops leaves";
}

TEST(StatsKeeper, WhatIsCountedWhileRedisIsAwayOrSilentIsAddedOnce) {
  RedisServer server({"--save", "", "--appendonly", "yes"});
  Instance a(server.port());
  CacheStats stats;
  StatsKeeper keeper(stats, a.memory, &a.client, "test");
  StatsSeries& series = stats.For({.model = "m"});
  const auto total = [&]() -> int64_t {
    const auto figures = keeper.Cluster(StatsWindow::kTotal);
    if (!figures) return -1;
    return figures->counts.empty() ? 0 : figures->counts.begin()->second.Requests();
  };
  series.CountMiss();
  ASSERT_EQ(total(), 1);
  // A silent server takes the batch out of the socket once it goes on: its reply came too late, so it
  // is sent again.
  server.Pause();
  series.CountMiss();
  EXPECT_EQ(total(), -1);
  series.CountMiss();
  EXPECT_EQ(total(), -1);
  server.Resume();
  const auto deadline = steady_clock::now() + std::chrono::seconds(20);
  while (total() < 0 && steady_clock::now() < deadline) {
  }
  EXPECT_EQ(total(), 3);
  EXPECT_EQ(total(), 3);
}

int64_t TotalOf(StatsKeeper& keeper) {
  const auto figures = keeper.Cluster(StatsWindow::kTotal);
  if (!figures) return -1;
  int64_t total = 0;
  for (const auto& [labels, counts] : figures->counts) total += counts.Requests();
  return total;
}

TEST(StatsKeeper, ARedisThatCameBackEmptyGetsWhatEveryInstanceHasCounted) {
  RedisServer server;
  Instance a(server.port()), b(server.port());
  CacheStats stats_a, stats_b;
  StatsKeeper keeper_a(stats_a, a.memory, &a.client, "test");
  StatsKeeper keeper_b(stats_b, b.memory, &b.client, "test");
  a.Run({"SET", "{test}:generation", "first"});
  for (int i = 0; i < 3; ++i) {
    stats_a.For({.model = "m"}).CountMiss();
    stats_b.For({.model = "m", .route = "r"}).CountMiss();
    ASSERT_GE(TotalOf(keeper_a), 0);
    ASSERT_GE(TotalOf(keeper_b), 0);
  }
  ASSERT_EQ(TotalOf(keeper_a), 6);
  int64_t wanted = 6;
  for (const char* generation : {"second", "third"}) {
    server.Kill();
    server.Start();
    ASSERT_TRUE(Until([&] { return !a.Run({"SET", "{test}:generation", generation}).is_error(); }));
    stats_a.For({.model = "m"}).CountMiss();
    ++wanted;
    EXPECT_TRUE(Until([&] { return TotalOf(keeper_b) > 0 && TotalOf(keeper_a) == wanted; }));
    EXPECT_EQ(TotalOf(keeper_b), wanted);
    EXPECT_EQ(TotalOf(keeper_a), wanted);
  }
}

TEST(StatsKeeper, WhatARedisForgotThatWentBackInTimeIsAddedAgainAndNothingTwice) {
  RedisServer server;
  Instance a(server.port());
  CacheStats stats;
  StatsKeeper keeper(stats, a.memory, &a.client, "test");
  a.Run({"SET", "{test}:generation", "only"});
  const auto count = [&](int times) {
    for (int i = 0; i < times; ++i) {
      stats.For({.model = "m"}).CountMiss();
      ASSERT_GE(TotalOf(keeper), 0);  // a batch of its own
    }
  };
  count(3);
  ASSERT_EQ(a.Run({"SAVE"}).text, "OK");
  count(4);
  ASSERT_EQ(TotalOf(keeper), 7);
  server.Kill();
  server.Start();  // as it was saved
  count(1);
  EXPECT_TRUE(Until([&] { return TotalOf(keeper) == 8; }));
  EXPECT_EQ(TotalOf(keeper), 8);
}

// As of a replica that is made the master before anything of this instance has come to it.
TEST(StatsKeeper, WhatARedisForgotFromTheFirstOnIsAddedAgainAndNothingTwice) {
  for (const int batches : {3, 310}) {  // all are kept, or some are not any more
    RedisServer server;
    Instance a(server.port());
    CacheStats stats;
    StatsKeeper keeper(stats, a.memory, &a.client, "test");
    a.Run({"SET", "{test}:generation", "only"});
    ASSERT_EQ(a.Run({"SAVE"}).text, "OK");
    for (int i = 0; i < batches; ++i) {
      stats.For({.model = "m"}).CountMiss();
      ASSERT_GE(TotalOf(keeper), 0);
    }
    ASSERT_EQ(TotalOf(keeper), batches);
    server.Kill();
    server.Start();  // as it was saved
    EXPECT_TRUE(Until([&] { return TotalOf(keeper) == batches; })) << TotalOf(keeper);
    stats.For({.model = "m"}).CountMiss();
    EXPECT_EQ(TotalOf(keeper), batches + 1);
    EXPECT_EQ(TotalOf(keeper), batches + 1);
  }
}

TEST(StatsKeeper, AnInstanceThatWasAwayForSoLongThatItsNumberEndedAddsNothingTwice) {
  RedisServer server;
  Instance a(server.port());
  CacheStats stats;
  ManualClock clock;
  StatsKeeper keeper(stats, a.memory, &a.client, "test", clock);
  a.Run({"SET", "{test}:generation", "only"});
  for (int i = 0; i < 3; ++i) {
    stats.For({.model = "m"}).CountMiss();
    ASSERT_GE(TotalOf(keeper), 0);
  }
  clock.AdvanceMs(90'000'000);
  ASSERT_EQ(a.Run({"DEL", "{test}:stats:seq:" + keeper.instance_id()}).integer, 1);
  EXPECT_EQ(TotalOf(keeper), 3);
  for (int i = 0; i < 3; ++i) {
    stats.For({.model = "m"}).CountMiss();
    EXPECT_EQ(TotalOf(keeper), 4 + i);
  }
}

TEST(StatsKeeper, HitsOfAnEntryAreAddedUpOverInstancesAndEndWithIt) {
  RedisServer server;
  Instance a(server.port()), b(server.port());
  CacheStats stats;
  const CacheKey key = a.Tell("q");
  {
    StatsKeeper keeper_a(stats, a.memory, &a.client, "test");
    StatsKeeper keeper_b(stats, b.memory, &b.client, "test");
    const auto entry = a.memory.Peek(key.hash);
    for (int i = 0; i < 3; ++i) keeper_a.CountEntryHit(key.hash, *entry);
    keeper_b.CountEntryHit(key.hash, *entry);
  }
  int64_t hits = 0;
  ASSERT_TRUE(a.catalogue.ForEach([&](const EntrySummary& entry) { hits += entry.hits; }));
  EXPECT_EQ(hits, 4);
}

}  // namespace
}  // namespace nextgate::cache
