// Which answers an invalidation kills, whatever the order of things.
#include "cache/invalidation.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cache/exact_cache.h"
#include "cache/memory_store.h"

namespace nextgate::cache {
namespace {

constexpr int64_t kNow = 1'700'000'000'000;

std::shared_ptr<const Answer> AnAnswer() {
  AnswerBuilder builder;
  builder.Append({.text = "answer"});
  return builder.Finish({.choices = {{.finish_reason = "stop"}}});
}

struct Process {
  ManualClock clock{kNow};
  Invalidations invalidations;
  MemoryStore store{{.bytes_max = 1 << 20, .num_shards = 1}, clock};
  ExactCache exact{store, nullptr, clock, &invalidations};
  Partitioner partitioner{"secret"};

  CacheKey KeyOf(const nlohmann::json& request) const {
    return MakeKey(partitioner.Partition({}, "fp"), *Canonicalise(request));
  }
  CacheKey Chat(const std::string& text) const {
    return KeyOf({{"endpoint", "/v1/chat/completions"},
                  {"messages",
                   {{{"role", "user"}, {"content", "first question"}},
                    {{"role", "assistant"}, {"content", "first answer"}},
                    {{"role", "user"}, {"content", text}}}}});
  }
  EntryOrigin Origin() const {
    return {.model = "m",
            .route = "/v1/chat/completions",
            .scope = {.tenant = "acme", .name_space = "docs"},
            .position = exact.Position()};
  }
  void Put(const CacheKey& key, EntryOrigin origin) {
    exact.Insert(key, AnAnswer(), {.write = true, .ttl_ms = 3'600'000}, std::move(origin));
  }
  bool Served(const CacheKey& key) { return exact.Lookup(key, {.read = true}).has_value(); }
};

TEST(Invalidation, EachPartKillsWhatHasItAndNothingElse) {
  const Process some;
  const CacheKey key = some.Chat("What is a harbour?");
  const CacheKey other = some.Chat("What is a rope?");
  struct Case {
    const char* name;
    InvalidationPredicate matching, missing;
  };
  const Case cases[] = {
      {"model", {.model = "m"}, {.model = "m2"}},
      {"route", {.route = "/v1/chat/completions"}, {.route = "/v1/completions"}},
      {"namespace", {.name_space = "docs"}, {.name_space = "doc"}},
      {"tenant", {.tenant = "acme"}, {.tenant = ""}},
      {"prefix", {.prompt_prefix = "What is a h"}, {.prompt_prefix = "first question"}},
      {"id", {.id = key.hash}, {.id = other.hash}},
      {"age", {.created_before_unix_ms = kNow + 1}, {.created_before_unix_ms = kNow}},
      {"all", {}, {.model = "m", .prompt_prefix = "no"}},
      {"two parts",
       {.model = "m", .prompt_prefix = "What"},
       {.model = "x", .prompt_prefix = "What"}},
  };
  for (const Case& c : cases) {
    Process p;
    p.Put(key, p.Origin());
    p.invalidations.Issue(c.missing, kNow);
    EXPECT_TRUE(p.Served(key)) << c.name;
    p.invalidations.Issue(c.matching, kNow);
    EXPECT_FALSE(p.Served(key)) << c.name;
    EXPECT_EQ(p.invalidations.stats().refused, 1) << c.name;
    p.Put(key, p.Origin());  // generated anew
    EXPECT_EQ(p.Served(key), true) << c.name;
  }
}

TEST(Invalidation, APromptIsComparedInWhateverFormItWasSent) {
  Process p;
  const auto dies = [&](const nlohmann::json& request, const std::string& prefix) {
    const CacheKey key = p.KeyOf(request);
    const int64_t floor_before = p.exact.Floor(key, p.Origin());
    p.invalidations.Issue({.prompt_prefix = CanonicalPrefix(prefix)}, kNow);
    return p.exact.Floor(key, p.Origin()) > floor_before;
  };
  EXPECT_TRUE(dies({{"prompt", "Once upon"}}, "Once"));
  EXPECT_FALSE(dies({{"prompt", "Once upon"}}, "upon"));
  EXPECT_TRUE(dies({{"prompt", {"a", "Twice"}}}, "Twi"));
  EXPECT_FALSE(dies({{"prompt", {1, 2, 3}}}, "1"));
  const nlohmann::json parts = {{{"type", "text"}, {"text", "in "}},
                                {{"type", "text"}, {"text", "parts"}}};
  EXPECT_TRUE(dies({{"messages", {{{"role", "user"}, {"content", parts}}}}}, "in pa"));
  EXPECT_TRUE(
      dies({{"messages", {{{"role", "user"}, {"content", "caf\u00e9 noir"}}}}}, "cafe\u0301"));
  EXPECT_FALSE(dies({{"messages", {{{"role", "system"}, {"content", "sys"}}}}}, "sys"));
}

TEST(Invalidation, AGenerationThatBeganBeforeItIsNotStoredAfterIt) {
  Process p;
  const CacheKey key = p.Chat("q");
  const EntryOrigin begun = p.Origin();
  p.invalidations.Issue({.model = "m"}, kNow);
  EXPECT_EQ(p.exact.Insert(key, AnAnswer(), {.write = true, .ttl_ms = 1000}, begun),
            Reason::kInvalidated);
  EXPECT_FALSE(p.Served(key));
  EXPECT_EQ(p.exact.Insert(key, AnAnswer(), {.write = true, .ttl_ms = 1000}, p.Origin()),
            Reason::kNone);
  EXPECT_TRUE(p.Served(key));
}

TEST(Invalidation, WhatAnotherInstanceBeganCountsFromWhatThatOneKnew) {
  Process p;
  p.invalidations.Issue({.model = "m"}, kNow);
  const CacheKey key = p.Chat("q");
  EXPECT_EQ(p.exact.Insert(key, AnAnswer(), {.write = true, .ttl_ms = 1000}, p.Origin(),
                           {.here_only = true, .position = 0}),
            Reason::kInvalidated);
}

TEST(Invalidation, PositionsOrderStreamIdsAndLeaveRoomForOnesOwn) {
  EXPECT_LT(PositionOf("1700000000000-0"), PositionOf("1700000000000-1"));
  EXPECT_LT(PositionOf("1700000000000-1"), PositionOf("1700000000001-0"));
  EXPECT_EQ(PositionMs(PositionOf("1700000000000-7")), 1'700'000'000'000);
  for (const char* none : {"", "-", "x-1", "99999999999999999999-0"})
    EXPECT_EQ(PositionOf(none), 0);
  Invalidations all;
  all.Add({.id = "a", .predicate = {.model = "x"}, .position = PositionOf("5-0")});
  const auto own = all.Issue({.model = "y"}, kNow);
  EXPECT_GT(own.position, PositionOf("5-0"));
  EXPECT_LT(own.position, PositionOf("5-1"));
  EXPECT_EQ(SharedPosition(all.position()), PositionOf("5-0"));
}

TEST(Invalidation, ARecordIsTheSameAfterItsWayThroughRedis) {
  const InvalidationRecord record{.id = "0123456789abcdef01234567",
                                  .predicate = {.tenant = "t",
                                                .team = "",
                                                .user = "u",
                                                .name_space = "n",
                                                .model = "m",
                                                .route = "r",
                                                .prompt_prefix = "say \"hi\"\n{}",
                                                .id = Hash128{1, 2},
                                                .created_before_unix_ms = 7},
                                  .instant_unix_ms = kNow};
  const auto read = InvalidationRecord::Unpack(record.Pack());
  EXPECT_EQ(read.id, record.id);
  EXPECT_EQ(read.predicate, record.predicate);
  EXPECT_EQ(read.instant_unix_ms, kNow);
}

TEST(Invalidation, WhatCannotBeReadIsTakenForEverything) {
  for (const char* text :
       {"", "nonsense", "[]", "{}", R"({"v":2,"id":"a","instant":1,"model":"m"})",
        R"({"v":1,"id":"a","instant":1,"model":7})",
        R"({"v":1,"id":"a","instant":1,"entry":"xyz"})", R"({"v":1,"instant":1})"})
    EXPECT_TRUE(InvalidationRecord::Unpack(text).predicate.everything()) << text;
}

TEST(Invalidation, OfEqualPredicatesOnlyTheLastIsKeptAndAnOldOneComingLateChangesNothing) {
  Invalidations all;
  for (int i = 1; i <= 100; ++i)
    all.Add({.id = std::to_string(i),
             .predicate = {.model = "m"},
             .position = PositionOf(std::to_string(1000 + i) + "-0")});
  EXPECT_EQ(all.List().size(), 1u);
  const int64_t last = all.position();
  all.Add({.id = "100", .predicate = {.model = "m"}, .position = PositionOf("1001-0")});
  EXPECT_EQ(all.position(), last);
  const EntryOrigin origin{.model = "m"};
  EXPECT_EQ(all.Floor({.id = {}, .origin = origin, .material = {}, .created_unix_ms = {}}), last);
}

TEST(Invalidation, TheSweepErasesTheDeadAndOnlyThem) {
  Process p;
  p.Put(p.Chat("dead 1"), p.Origin());
  p.Put(p.Chat("dead 2"), p.Origin());
  p.Put(p.Chat("alive"), p.Origin());
  p.invalidations.Issue({.prompt_prefix = "dead"}, kNow);
  EXPECT_EQ(p.invalidations.Sweep(p.store), 2);
  EXPECT_EQ(p.store.stats().entries, 1);
  EXPECT_TRUE(p.Served(p.Chat("alive")));
  EXPECT_TRUE(p.store.CheckIntegrity());
}

TEST(Invalidation, ARecordIsForgottenAfterItsTimeOnly) {
  Invalidations all;
  all.Issue({.model = "old"}, 1000);
  all.Add({.id = "n",
           .predicate = {.model = "new"},
           .instant_unix_ms = 1,
           .position = PositionOf("5000-0")});
  all.Forget(1000);
  EXPECT_EQ(all.List().size(), 2u);
  all.Forget(5000);
  ASSERT_EQ(all.List().size(), 1u);
  EXPECT_EQ(all.List()[0].id, "n");
}

}  // namespace
}  // namespace nextgate::cache
