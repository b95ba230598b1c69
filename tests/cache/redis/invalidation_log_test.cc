// Invalidations that several instances share, against a real Redis that is there, away, and another one.
#include "cache/redis/invalidation_log.h"

#include <gtest/gtest.h>

#include <thread>

#include "cache/exact_cache.h"
#include "cache/memory_store.h"
#include "tests/support/redis_server.h"
#include "tests/support/until.h"

namespace nextgate::cache {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using test::RedisServer;
using test::Until;

std::shared_ptr<const Answer> AnAnswer() {
  AnswerBuilder builder;
  builder.Append({.text = "answer"});
  return builder.Finish({.choices = {{.finish_reason = "stop"}}});
}

// What one process of several has; its clock may be wrong.
struct Instance {
  explicit Instance(int port, int64_t clock_error_ms = 0,
                    milliseconds max_stale = milliseconds(60'000))
      : clock(Clock::System().UnixMs() + clock_error_ms),
        client({.endpoint = {.host = "127.0.0.1", .port = port},
                .retry_first = milliseconds(5),
                .retry_max = milliseconds(20),
                .probe_timeout = milliseconds(2000)}),
        tail({.endpoint = {.host = "127.0.0.1", .port = port}}),
        shared({.name_space = "test", .read_budget = milliseconds(5000)}, client, codec, clock),
        log({.name_space = "test", .max_stale = max_stale, .pace = milliseconds(20)},
            {.invalidations = invalidations,
             .store = memory,
             .client = &client,
             .tail = &tail,
             .clock = clock}) {
    client.WaitAvailable(milliseconds(20'000));
    EXPECT_TRUE(log.WaitKnown(milliseconds(20'000)));
  }
  ManualClock clock;
  Invalidations invalidations;
  MemoryStore memory{{.bytes_max = 1 << 20, .num_shards = 1}, clock};
  RedisClient client;
  RedisTail tail;
  EntryCodec codec{"shared secret"};
  RedisStore shared;
  InvalidationLog log;
  ExactCache exact{memory, &shared, clock, &invalidations};

  static CacheKey KeyOf(const std::string& question) { return MakeKey("p", question); }
  EntryOrigin Origin() const { return {.model = "m", .route = "r", .position = exact.Position()}; }
  Reason Tell(const std::string& question, const EntryOrigin& origin) {
    return exact.Insert(KeyOf(question), AnAnswer(), {.write = true, .ttl_ms = 3'600'000}, origin);
  }
  bool Knows(const std::string& question) {
    return exact.Lookup(KeyOf(question), {.read = true}).has_value();
  }
};

TEST(InvalidationLog, OneThatOneInstanceIssuesIsInForceOnAllAndOnThoseThatStartLater) {
  RedisServer server;
  Instance a(server.port()), b(server.port());
  ASSERT_EQ(a.Tell("q", a.Origin()), Reason::kNone);
  ASSERT_EQ(a.Tell("other", {.model = "m2", .position = a.exact.Position()}), Reason::kNone);
  ASSERT_TRUE(b.Knows("q"));
  const auto record = a.log.Issue({.model = "m"});
  EXPECT_TRUE(record.shared);
  EXPECT_FALSE(a.Knows("q"));
  EXPECT_TRUE(Until([&] { return !b.Knows("q"); }));
  EXPECT_TRUE(b.Knows("other"));
  const Instance restarted(server.port());
  ASSERT_EQ(restarted.invalidations.List().size(), 1u);
  EXPECT_EQ(restarted.invalidations.List()[0].id, record.id);
  EXPECT_TRUE(Until([&] { return b.memory.stats().entries == 1; }));  // the dead one is swept out
}

TEST(InvalidationLog, ClocksThatAreHoursApartChangeNothing) {
  RedisServer server;
  constexpr int64_t kHours = 3 * 3'600'000;
  Instance fast(server.port(), kHours), slow(server.port(), -kHours);
  for (Instance* by : {&fast, &slow}) {
    Instance& other = by == &fast ? slow : fast;
    const std::string before = by == &fast ? "b1" : "b2", after = by == &fast ? "a1" : "a2";
    // Long expiries, so that only the invalidation decides.
    const auto put = [](Instance& instance, const std::string& question, EntryOrigin origin) {
      return instance.exact.Insert(Instance::KeyOf(question), AnAnswer(),
                                   {.write = true, .ttl_ms = 10 * kHours}, std::move(origin));
    };
    ASSERT_EQ(put(fast, before, fast.Origin()), Reason::kNone);
    ASSERT_EQ(put(slow, before + "s", slow.Origin()), Reason::kNone);
    const auto record = by->log.Issue({.model = "m"});
    ASSERT_TRUE(Until([&] { return other.exact.Position() >= by->exact.Position(); }));
    EXPECT_FALSE(fast.Knows(before) || slow.Knows(before));
    EXPECT_FALSE(fast.Knows(before + "s") || slow.Knows(before + "s"));
    ASSERT_EQ(put(fast, after, fast.Origin()), Reason::kNone);
    ASSERT_EQ(put(slow, after + "s", slow.Origin()), Reason::kNone);
    EXPECT_TRUE(fast.Knows(after) && slow.Knows(after));
    EXPECT_TRUE(fast.Knows(after + "s") && slow.Knows(after + "s"));
  }
}

TEST(InvalidationLog, ALateWriteOfAGenerationThatBeganBeforeItUndoesNothing) {
  RedisServer server;
  Instance a(server.port()), b(server.port());
  a.log.Issue({.model = "x"});  // so that positions are not all 0
  ASSERT_TRUE(Until([&] { return b.exact.Position() > 0; }));
  const EntryOrigin begun = b.Origin();
  a.log.Issue({.model = "m"});
  // b has not heard of it when it writes, or has: both must come to the same.
  b.Tell("q", begun);
  EXPECT_FALSE(a.Knows("q"));
  EXPECT_TRUE(Until([&] { return !b.Knows("q"); }));
  EXPECT_FALSE(Instance(server.port()).Knows("q"));
}

TEST(InvalidationLog, OneIssuedWhileRedisIsAwayIsInForceHereAtOnceAndOnTheOthersWhenItIsBack) {
  RedisServer server({"--appendonly", "yes", "--appendfsync", "always"});
  Instance a(server.port()), b(server.port());
  ASSERT_EQ(a.Tell("q", a.Origin()), Reason::kNone);
  ASSERT_TRUE(b.Knows("q"));
  server.Kill();
  const auto record = a.log.Issue({.model = "m"});
  EXPECT_FALSE(record.shared);
  EXPECT_EQ(a.log.pending(), 1);
  EXPECT_FALSE(a.Knows("q"));
  EXPECT_TRUE(b.Knows("q"));  // nobody could tell it
  server.Start();
  EXPECT_TRUE(Until([&] { return !b.Knows("q"); }));
  EXPECT_TRUE(Until([&] { return a.log.pending() == 0; }));
  EXPECT_FALSE(a.Knows("q"));
  EXPECT_TRUE(a.invalidations.List()[0].shared);
}

TEST(InvalidationLog, AnInstanceThatDoesNotHearFromRedisIsStaleUntilItHasReadOn) {
  RedisServer server;
  Instance a(server.port(), 0, milliseconds(300));
  ASSERT_EQ(a.Tell("q", a.Origin()), Reason::kNone);
  EXPECT_FALSE(a.log.Stale());
  server.Pause();
  EXPECT_TRUE(Until([&] { return a.log.Stale(); }));
  server.Resume();
  EXPECT_TRUE(Until([&] { return !a.log.Stale(); }));
  EXPECT_TRUE(a.Knows("q"));
}

TEST(InvalidationLog, ARedisThatCameBackEmptyIsToldWhatWasKnownAndNothingOlderIsServed) {
  RedisServer server;  // keeps nothing
  Instance a(server.port()), b(server.port());
  ASSERT_EQ(a.Tell("kept in memory", a.Origin()), Reason::kNone);
  a.log.Issue({.model = "dead"});
  ASSERT_TRUE(Until([&] { return b.invalidations.List().size() == 1; }));
  std::this_thread::sleep_for(milliseconds(500));  // both have seen the generation
  server.Kill();
  server.Start();
  EXPECT_TRUE(Until([&] { return a.memory.stats().entries == 0; }));
  EXPECT_TRUE(Until([&] { return a.invalidations.known() && a.log.pending() == 0; }));
  Instance later(server.port());
  EXPECT_TRUE(Until([&] { return later.invalidations.List().size() == 1; }));
  EXPECT_EQ(later.invalidations.List()[0].predicate.model, "dead");
}

TEST(InvalidationLog, ARedisThatForgotTheLatestIsToldAgainAndKeepsWhatItHas) {
  RedisServer server;
  Instance a(server.port());
  a.log.Issue({.model = "early"});
  const auto run = [&](RedisCommand command) {
    const auto replies =
        a.client.Run(std::span(&command, 1), steady_clock::now() + milliseconds(1000));
    return replies ? replies->front() : RedisReply{.type = RedisReply::Type::kError};
  };
  ASSERT_TRUE(Until([&] { return run({"EXISTS", "{test}:generation"}).integer == 1; }));
  ASSERT_EQ(run({"SAVE"}).text, "OK");
  ASSERT_TRUE(a.log.Issue({.model = "late"}).shared);
  ASSERT_EQ(a.Tell("kept in memory", a.Origin()), Reason::kNone);
  server.Kill();
  server.Start();  // as it was saved
  EXPECT_TRUE(Until([&] { return run({"XLEN", "{test}:invalidations"}).integer == 2; }));
  Instance later(server.port());
  EXPECT_TRUE(Until([&] { return later.invalidations.List().size() == 2; }));
  EXPECT_EQ(a.memory.stats().entries, 1) << "it is the same Redis";
}

TEST(InvalidationLog, WithoutARedisItIsThisProcessAlone) {
  Invalidations invalidations;
  MemoryStore memory({.bytes_max = 1 << 20});
  InvalidationLog log({}, {.invalidations = invalidations, .store = memory});
  ExactCache exact(memory, nullptr, Clock::System(), &invalidations);
  const CacheKey key = MakeKey("p", "q");
  exact.Insert(key, AnAnswer(), {.write = true, .ttl_ms = 60'000}, {.model = "m"});
  EXPECT_TRUE(log.WaitKnown(milliseconds(0)));
  EXPECT_FALSE(log.Stale());
  EXPECT_FALSE(log.Issue({.model = "m"}).shared);
  EXPECT_EQ(log.pending(), 0);
  EXPECT_FALSE(exact.Lookup(key, {.read = true}));
  EXPECT_TRUE(Until([&] { return memory.stats().entries == 0; }));
}

}  // namespace
}  // namespace nextgate::cache
