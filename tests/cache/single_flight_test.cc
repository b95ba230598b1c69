// Two SingleFlights over one real redis-server are two instances.
#include "cache/single_flight.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/support/redis_instance.h"
#include "tests/support/redis_server.h"

namespace nextgate::cache {
namespace {

using std::chrono::milliseconds;
using test::PatientFlight;
using test::RedisInstance;
using test::RedisServer;
using Word = Follower::Word;

const CacheKey kKey = MakeKey("partition", "question");

std::shared_ptr<const Answer> AnswerOf(const std::string& text) {
  AnswerBuilder builder;
  builder.Append({.text = text});
  return builder.Finish({.choices = {{.finish_reason = "stop"}}});
}

StoredAnswer EntryOf(const std::string& text) {
  const int64_t now = Clock::System().UnixMs();
  return {.material = kKey.material,
          .answer = AnswerOf(text),
          .created_unix_ms = now,
          .expires_unix_ms = now + 60'000};
}

void Say(Lead& lead, const std::string& text) {
  LiveBatch batch;
  batch.Delta({.text = text});
  lead.Publish(batch);
}

void EndOf(Lead& lead) {
  lead.End({.choices = {{.finish_reason = "stop"}}, .usage = {.completion_tokens = 5}});
}

// Hears until there is no more, and returns what it was.
Word HearOut(Follower& follower, std::string* text) {
  Word word = Word::kNothing;
  for (int i = 0; i < 5000 && (word == Word::kNothing || word == Word::kNews); ++i)
    word = follower.Hear(milliseconds(10),
                         {.delta = [&](const AnswerDelta& delta) { *text += delta.text; }});
  return word;
}

bool HearUntil(Follower& follower, const std::string& expected, std::string* text) {
  for (int i = 0; i < 5000 && *text != expected; ++i)
    follower.Hear(milliseconds(10),
                  {.delta = [&](const AnswerDelta& delta) { *text += delta.text; }});
  return *text == expected;
}

void Until(const std::function<bool()>& condition) {
  for (int i = 0; i < 20'000 && !condition(); ++i) std::this_thread::sleep_for(milliseconds(1));
  ASSERT_TRUE(condition());
}

std::string LockKey() { return "{test}:lock:" + kKey.hash.Hex(); }

SingleFlight::Options Short(int lease_ms) {
  SingleFlight::Options options = PatientFlight();
  options.lease = milliseconds(lease_ms);
  options.renew = milliseconds(lease_ms / 4);
  return options;
}

// Never renews and never publishes in time: as an instance that was stopped.
SingleFlight::Options Asleep(int lease_ms) {
  SingleFlight::Options options = PatientFlight();
  options.lease = milliseconds(lease_ms);
  options.renew = milliseconds(3'600'000);
  return options;
}

TEST(SingleFlight, OneLeadsAndTheOtherHearsItAllAndThenItIsStored) {
  RedisServer server;
  RedisInstance a(server.port()), b(server.port());
  auto led = a.flight.Take(kKey);
  ASSERT_NE(led.lead, nullptr);
  auto followed = b.flight.Take(kKey);
  ASSERT_NE(followed.follower, nullptr);
  EXPECT_EQ(followed.lead, nullptr);
  EXPECT_FALSE(followed.follower->begun());
  led.lead->Hello(1);
  Say(*led.lead, "A place ");
  std::string text;
  EXPECT_TRUE(HearUntil(*followed.follower, "A place ", &text)) << "while it is being said";
  EXPECT_EQ(followed.follower->num_choices(), 1);
  Say(*led.lead, "for ships.");
  EndOf(*led.lead);
  EXPECT_EQ(HearOut(*followed.follower, &text), Word::kEnded);
  EXPECT_EQ(text, "A place for ships.");
  EXPECT_EQ(followed.follower->ending().usage.completion_tokens, 5);
  led.lead->Store(EntryOf("A place for ships."));
  Until([&] { return a.store.stats().stored == 1; });
  const auto found = b.flight.Take(kKey);
  ASSERT_NE(found.entry, nullptr);
  EXPECT_EQ(found.entry->answer->ChoiceText(0), "A place for ships.");
  EXPECT_EQ(a.Run({"EXISTS", LockKey()}).integer, 0);
  EXPECT_GT(a.Run({"PTTL", "{test}:live:" + kKey.hash.Hex() + ":1"}).integer, 0);
  const SingleFlightStats stats_a = a.flight.stats(), stats_b = b.flight.stats();
  EXPECT_EQ(stats_a.leads, 1);
  EXPECT_EQ(stats_a.leading, 0);
  EXPECT_EQ(stats_a.leases_lost, 0);
  EXPECT_EQ(stats_b.follows, 1);
  EXPECT_EQ(stats_b.leads + stats_b.alone, 0);
}

// At every instant the answer is in the making or found: nobody else ever gets the turn.
TEST(SingleFlight, ThereIsNoGapBetweenLeadingAndBeingStored) {
  RedisServer server;
  RedisInstance a(server.port()), b(server.port());
  for (int round = 0; round < 50; ++round) {
    const CacheKey key = MakeKey("partition", std::to_string(round));
    auto lead = a.flight.Take(key).lead;
    ASSERT_NE(lead, nullptr);
    std::thread writer([&] {
      lead->Hello(1);
      lead->End({.choices = {{.finish_reason = "stop"}}});
      StoredAnswer entry = EntryOf("x");
      entry.material = key.material;
      lead->Store(entry);
      lead.reset();
    });
    SingleFlight::Turn turn;
    while ((turn = b.flight.Take(key)).entry == nullptr) ASSERT_NE(turn.follower, nullptr);
    writer.join();
  }
}

TEST(SingleFlight, OfManyWhoAskAtOnceOneLeads) {
  RedisServer server;
  RedisInstance a(server.port()), b(server.port()), c(server.port());
  std::atomic<int> leads = 0, follows = 0;
  std::vector<std::shared_ptr<Lead>> held(30);
  std::vector<std::thread> threads;
  for (int i = 0; i < 30; ++i)
    threads.emplace_back([&, i] {
      RedisInstance& one = i % 3 == 0 ? a : i % 3 == 1 ? b : c;
      auto turn = one.flight.Take(kKey);
      if (turn.lead != nullptr) ++leads;
      if (turn.follower != nullptr) ++follows;
      held[i] = turn.lead;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(leads, 1);
  EXPECT_EQ(follows, 29);
}

TEST(SingleFlight, WhoGivesUpLetsAnotherGoOnAtOnce) {
  RedisServer server;
  RedisInstance a(server.port()), b(server.port());
  auto lead = a.flight.Take(kKey).lead;
  auto follower = b.flight.Take(kKey).follower;
  lead->Hello(1);
  Say(*lead, "A place");
  lead.reset();
  std::string text;
  EXPECT_EQ(HearOut(*follower, &text), Word::kGone);
  Until([&] { return a.flight.stats().leading == 0; });
  auto next = b.flight.Take(kKey, /*goes_on=*/true).lead;
  ASSERT_NE(next, nullptr);
  follower->ReadRest();
  EXPECT_EQ(HearOut(*follower, &text), Word::kGone);
  EXPECT_EQ(text, "A place");
  EXPECT_EQ(b.flight.stats().takeovers, 1);
  EXPECT_EQ(a.flight.stats().leases_lost, 0);
}

TEST(SingleFlight, ALeaseIsRenewedAsLongAsItIsHeld) {
  RedisServer server;
  RedisInstance a(server.port(), Short(300)), b(server.port());
  auto lead = a.flight.Take(kKey).lead;
  auto follower = b.flight.Take(kKey).follower;
  std::this_thread::sleep_for(milliseconds(1000));
  EXPECT_FALSE(lead->lost());
  EXPECT_EQ(follower->Hear(milliseconds(0), {}), Word::kNothing);
  EXPECT_EQ(b.flight.Take(kKey).lead, nullptr);
}

// The leader sleeps past its lease, as after SIGSTOP; another takes the turn; the leader wakes up.
TEST(SingleFlight, AStaleLeaderCanNeitherPublishNorRenewNorStoreNorRelease) {
  RedisServer server;
  RedisInstance a(server.port(), Asleep(200)), b(server.port()), c(server.port());
  auto stale = a.flight.Take(kKey).lead;
  auto follower = b.flight.Take(kKey).follower;
  stale->Hello(1);
  Say(*stale, "old ");
  std::string text;
  ASSERT_TRUE(HearUntil(*follower, "old ", &text));
  EXPECT_EQ(HearOut(*follower, &text), Word::kGone) << "its lease has run out";
  auto lead = b.flight.Take(kKey, true).lead;
  ASSERT_NE(lead, nullptr);
  lead->Hello(1);
  Say(*lead, "new ");
  auto third = c.flight.Take(kKey).follower;
  ASSERT_NE(third, nullptr);

  const auto published = [&] {
    return b.Run({"XLEN", "{test}:live:" + kKey.hash.Hex() + ":1"}).integer;
  };
  const int64_t before = published();
  EXPECT_GT(before, 0);
  Say(*stale, "words from the grave");
  Until([&] { return stale->lost(); });
  EndOf(*stale);
  stale->Store(EntryOf("old"));
  stale.reset();
  EXPECT_EQ(a.store.stats().stored, 0);
  EXPECT_EQ(a.store.stats().not_stored, 1);
  EXPECT_EQ(a.flight.stats().leases_lost, 1);
  EXPECT_EQ(published(), before);

  Say(*lead, "words");
  EndOf(*lead);
  std::string heard;
  EXPECT_EQ(HearOut(*third, &heard), Word::kEnded);
  EXPECT_EQ(heard, "new words");
  lead->Store(EntryOf("new words"));
  Until([&] { return b.store.stats().stored == 1; });
  EXPECT_EQ(c.flight.Take(kKey).entry->answer->ChoiceText(0), "new words");
}

TEST(SingleFlight, WhoTookOverReadsWhatTheDeadLeaderPublishedLast) {
  RedisServer server;
  RedisInstance a(server.port(), Asleep(300)), b(server.port());
  auto lead = a.flight.Take(kKey).lead;
  auto follower = b.flight.Take(kKey).follower;
  lead->Hello(1);
  Say(*lead, "A place ");
  std::string text;
  ASSERT_TRUE(HearUntil(*follower, "A place ", &text));
  // A tail that hears nothing of the last record: here because it lies in another place.
  Say(*lead, "for ships.");
  Until([&] { return b.Run({"EXISTS", LockKey()}).integer == 0; });
  ASSERT_NE(b.flight.Take(kKey, true).lead, nullptr);
  follower->ReadRest();
  Word word = Word::kNews;
  while (word == Word::kNews || text == "A place ")
    word = follower->Hear(milliseconds(0),
                          {.delta = [&](const AnswerDelta& delta) { text += delta.text; }});
  EXPECT_EQ(text, "A place for ships.");
}

TEST(SingleFlight, AnotherQuestionUnderTheSameHashIsNotFollowed) {
  RedisServer server;
  RedisInstance a(server.port()), b(server.port());
  const auto colliding = [](std::string_view) { return Hash128{.high = 1, .low = 2}; };
  auto lead = a.flight.Take(MakeKey("p", "one", colliding)).lead;
  auto follower = b.flight.Take(MakeKey("p", "two", colliding)).follower;
  lead->Hello(1);
  Say(*lead, "secret of one");
  std::string text;
  EXPECT_EQ(HearOut(*follower, &text), Word::kForeign);
  EXPECT_EQ(text, "");
}

TEST(SingleFlight, WordsOfWhoDoesNotKnowTheSecretAreNotHeard) {
  RedisServer server;
  RedisInstance a(server.port()), b(server.port());
  auto lead = a.flight.Take(kKey).lead;
  auto follower = b.flight.Take(kKey).follower;
  lead->Hello(1);
  Say(*lead, "A place");
  std::string text;
  ASSERT_TRUE(HearUntil(*follower, "A place", &text));
  const std::string stream = "{test}:live:" + kKey.hash.Hex() + ":1";
  const uint64_t next = static_cast<uint64_t>(b.Run({"XLEN", stream}).integer) + 1;
  LiveBatch forged;
  forged.Delta({.text = " to phish"});
  const std::string holder = b.Run({"GET", LockKey()}).text;
  b.Run({"XADD", stream, std::to_string(next) + "-0", "r",
         LiveCodec("a guess").Seal({stream, holder, next}, forged.bytes())});
  EXPECT_EQ(HearOut(*follower, &text), Word::kForeign);
  EXPECT_EQ(text, "A place");
}

TEST(SingleFlight, InstancesWithAnotherSecretGenerateEachForItself) {
  RedisServer server;
  RedisInstance a(server.port()), b(server.port(), PatientFlight(), "another secret");
  auto lead = a.flight.Take(kKey).lead;
  lead->Hello(1);
  auto follower = b.flight.Take(kKey).follower;
  std::string text;
  EXPECT_EQ(HearOut(*follower, &text), Word::kForeign);
}

TEST(SingleFlight, WithoutRedisEachIsAlone) {
  RedisServer server;
  RedisInstance a(server.port()), b(server.port());
  auto lead = a.flight.Take(kKey).lead;
  auto follower = b.flight.Take(kKey).follower;
  lead->Hello(1);
  Say(*lead, "A place");
  std::string text;
  ASSERT_TRUE(HearUntil(*follower, "A place", &text));
  server.Kill();
  EXPECT_EQ(HearOut(*follower, &text), Word::kBroken);
  const auto turn = b.flight.Take(kKey, true);
  EXPECT_EQ(turn.entry, nullptr);
  EXPECT_EQ(turn.lead, nullptr);
  EXPECT_EQ(turn.follower, nullptr);
  EXPECT_EQ(b.flight.stats().alone, 1);
  Say(*lead, " for ships");  // into the void
  EndOf(*lead);
  lead->Store(EntryOf("A place for ships"));
  lead.reset();
  Until([&] { return a.flight.stats().leading == 0; });
  EXPECT_EQ(a.store.stats().not_stored, 1);
}

TEST(SingleFlight, AHungRedisIsNoticedAndTheWordsOfTheLeaderComeThroughWhenItGoesOn) {
  RedisServer server;
  SingleFlight::Options options = PatientFlight();
  options.lease = milliseconds(20'000);
  options.publish_budget = milliseconds(100);
  RedisInstance a(server.port(), options), b(server.port(), PatientFlight(), "shared secret", 8),
      c(server.port());
  auto lead = a.flight.Take(kKey).lead;
  auto follower = b.flight.Take(kKey).follower;
  lead->Hello(1);
  Say(*lead, "A place");
  std::string text;
  ASSERT_TRUE(HearUntil(*follower, "A place", &text));
  server.Pause();
  Say(*lead, " for");
  EXPECT_EQ(HearOut(*follower, &text), Word::kSilent);
  Until([&] { return a.flight.stats().publish_errors > 0; });
  server.Resume();
  Until([&] { return a.client.stats().available; });
  Say(*lead, " ships.");
  EndOf(*lead);
  auto late = c.flight.Take(kKey).follower;
  ASSERT_NE(late, nullptr);
  std::string heard;
  EXPECT_EQ(HearOut(*late, &heard), Word::kEnded);
  EXPECT_EQ(heard, "A place for ships.") << "nothing lost, nothing twice";
}

TEST(SingleFlight, ATurnThatWasGivenTooLateToBeHeardOfIsGivenBack) {
  RedisServer server;
  SingleFlight::Options options = PatientFlight();
  options.lease = milliseconds(600'000);
  options.turn_budget = milliseconds(50);
  RedisInstance a(server.port(), options), b(server.port());
  server.Pause();
  const auto alone = a.flight.Take(kKey);
  EXPECT_EQ(alone.lead, nullptr);
  EXPECT_EQ(alone.follower, nullptr);
  server.Resume();
  // What was asked is still done, and nobody knows that he leads.
  Until([&] { return b.Run({"GET", "{test}:term"}).text == "1"; });
  Until([&] { return b.Run({"EXISTS", "{test}:lock:" + kKey.hash.Hex()}).integer == 0; });
  EXPECT_NE(b.flight.Take(kKey).lead, nullptr);
}

TEST(SingleFlight, AFullRedisMeansAloneButWhatIsStoredIsFound) {
  RedisServer server;
  RedisInstance a(server.port());
  ASSERT_TRUE(a.store.Put(kKey.hash, EntryOf("known")));
  a.Run({"CONFIG", "SET", "maxmemory-policy", "noeviction"});
  a.Run({"CONFIG", "SET", "maxmemory", "1"});
  EXPECT_NE(a.flight.Take(kKey).entry, nullptr);
  const auto turn = a.flight.Take(MakeKey("p", "unknown"));
  EXPECT_EQ(turn.lead, nullptr);
  EXPECT_EQ(turn.follower, nullptr);
  EXPECT_TRUE(a.client.stats().available);
}

TEST(SingleFlight, ALeaderWhoseWordsRedisDoesNotTakeLetsGo) {
  RedisServer server;
  RedisInstance a(server.port()), b(server.port());
  auto lead = a.flight.Take(kKey).lead;
  auto follower = b.flight.Take(kKey).follower;
  a.Run({"CONFIG", "SET", "maxmemory-policy", "noeviction"});
  a.Run({"CONFIG", "SET", "maxmemory", "1"});
  lead->Hello(1);
  std::string text;
  EXPECT_EQ(HearOut(*follower, &text), Word::kGone);
  EXPECT_TRUE(lead->lost());
  EXPECT_EQ(b.Run({"EXISTS", LockKey()}).integer, 0);
}

TEST(SingleFlight, AnAnswerTooLargeToPublishIsLetGo) {
  RedisServer server;
  SingleFlight::Options options = PatientFlight();
  options.live_bytes_max = 1000;
  RedisInstance a(server.port(), options), b(server.port());
  auto lead = a.flight.Take(kKey).lead;
  auto follower = b.flight.Take(kKey).follower;
  lead->Hello(1);
  for (int i = 0; i < 30; ++i) Say(*lead, std::string(100, 'x'));
  std::string text;
  EXPECT_EQ(HearOut(*follower, &text), Word::kGone);
  EXPECT_LE(text.size(), 1000u);
  EXPECT_TRUE(lead->lost());
  ASSERT_NE(b.flight.Take(kKey, true).lead, nullptr);
}

TEST(SingleFlight, ARedisThatRestartsEmptyEndsEveryTurnAndBeginsNewOnes) {
  RedisServer server;
  RedisInstance a(server.port()), b(server.port());
  auto lead = a.flight.Take(kKey).lead;
  lead->Hello(1);
  a.Run({"FLUSHALL"});
  Say(*lead, "words for nobody");
  Until([&] { return lead->lost(); });
  auto next = b.flight.Take(kKey).lead;  // term 1 again
  ASSERT_NE(next, nullptr);
  next->Hello(1);
  Say(*next, "answer");
  EndOf(*next);
  RedisInstance c(server.port());
  std::string text;
  EXPECT_EQ(HearOut(*c.flight.Take(kKey).follower, &text), Word::kEnded);
  EXPECT_EQ(text, "answer");
}

TEST(SingleFlight, WhatWasStoredBeforeTheEndIsWritten) {
  RedisServer server;
  RedisInstance b(server.port());
  {
    RedisInstance a(server.port());
    auto lead = a.flight.Take(kKey).lead;
    lead->Hello(1);
    EndOf(*lead);
    lead->Store(EntryOf("in the last moment"));
  }
  EXPECT_EQ(b.flight.Take(kKey).entry->answer->ChoiceText(0), "in the last moment");
}

}  // namespace
}  // namespace nextgate::cache
