// The semantic tier as a whole: what it serves, what it never serves, and what it learns, alone and with
// a real Redis between two instances.
#include "cache/semantic/semantic_cache.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "cache/memory_store.h"
#include "cache/semantic/reembed.h"
#include "tests/support/redis_instance.h"
#include "tests/support/redis_server.h"
#include "tests/support/until.h"

namespace nextgate::cache {
namespace {

using test::Until;

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Vectors that a test chooses: a text's first word says its direction, so that "harbour one" and
// "harbour two" are near each other and far from "rope".
class WordEmbedder final : public Embedder {
 public:
  explicit WordEmbedder(std::string revision = "1")
      : info_{.id = "words", .revision = std::move(revision), .dimension = kDimension} {}
  static constexpr int64_t kDimension = 64;
  const EmbedderInfo& info() const override { return info_; }
  Result<std::vector<Embedding>> Embed(std::span<const std::string> texts,
                                       Deadline deadline) override {
    if (failing) return MakeError(ErrorCode::kUnavailable, "nobody there");
    if (slow) {
      std::this_thread::sleep_until(deadline);
      return MakeError(ErrorCode::kDeadlineExceeded, "too slow");
    }
    std::vector<Embedding> out;
    for (const std::string& text : texts) {
      Embedding embedding{.values = std::vector<float>(kDimension)};
      const Hash128 topic = HashBytes(text.substr(0, text.find(' ')));
      const Hash128 words = HashBytes(text);
      embedding.values[topic.low % kDimension] = std::sqrt(0.96F);
      embedding.values[words.low % kDimension] += 0.2F;
      float length = 0;
      for (const float value : embedding.values) length += value * value;
      for (float& value : embedding.values) value /= std::sqrt(length);
      out.push_back(std::move(embedding));
    }
    return out;
  }
  std::atomic<bool> failing = false, slow = false;

 private:
  EmbedderInfo info_;
};

std::shared_ptr<const Answer> AnswerOf(const std::string& text) {
  AnswerBuilder builder;
  builder.Append({.text = text});
  return builder.Finish({.choices = {{.finish_reason = "stop"}}});
}

// One process: its own memory, its own index; of Redis what `port` says (0: none).
struct Instance {
  explicit Instance(int port = 0, float threshold = 0.9F, double observe = 0,
                    const std::string& revision = "1")
      : embedder(revision), verifier({.threshold = threshold, .observe_served = observe}) {
    if (port != 0) {
      redis = std::make_unique<test::RedisInstance>(port);
      exact = std::make_unique<ExactCache>(memory, &redis->store);
    } else {
      exact = std::make_unique<ExactCache>(memory);
    }
    Open();
  }
  void Open() {
    semantic = std::make_unique<SemanticCache>(
        SemanticCache::Options{.name_space = "test",
                               .secret = "shared secret",
                               .comparator = comparator_id,
                               .embed_budget = milliseconds(100),
                               .fetch_budget = milliseconds(5000),
                               .gates = GateSet::none(),
                               .snapshot_dir = snapshot_dir},
        SemanticCache::Services{.embedder = embedder,
                                .exact = *exact,
                                .verifier = verifier,
                                .comparator = *compares,
                                .client = redis ? &redis->client : nullptr,
                                .tail = redis ? &redis->tail : nullptr});
    EXPECT_TRUE(semantic->WaitCaughtUp(milliseconds(20'000)));
  }

  static CacheKey Key(const std::string& text, const std::string& system = "You are kind.",
                      const std::string& tenant = "") {
    static const Partitioner partitioner("secret");
    const json request = {
        {"endpoint", "/v1/chat/completions"},
        {"messages",
         {{{"role", "system"}, {"content", system}}, {{"role", "user"}, {"content", text}}}}};
    return MakeKey(partitioner.Partition({.tenant = tenant}, "fp"), *Canonicalise(request));
  }
  static CachePlan Plan(SemanticMode mode = SemanticMode::kServe) {
    return {.read = true, .write = true, .ttl_ms = 3'600'000, .semantic = mode};
  }

  // The request is generated, and its answer stored, as ChatPipeline does it.
  void Generate(const CacheKey& key, const std::string& answer,
                std::optional<SemanticMatch> match = std::nullopt,
                SemanticMode mode = SemanticMode::kServe) {
    const auto made = AnswerOf(answer);
    ASSERT_EQ(exact->Insert(key, made, Plan()), Reason::kNone);
    ASSERT_TRUE(semantic->Finish({.key = key,
                                  .plan = Plan(mode),
                                  .answer = made,
                                  .generated = true,
                                  .stored = true,
                                  .match = std::move(match),
                                  .counts = &counts.For({})}));
    ASSERT_TRUE(semantic->Flush(milliseconds(20'000)));
  }
  std::string Served(const CacheKey& key, CachePlan plan = Plan()) {
    const SemanticMatch match = semantic->Lookup(key, plan);
    return match.hit ? match.hit->answer->ChoiceText(0)
                     : std::string(SemanticOutcomeCode(match.outcome));
  }

  WordEmbedder embedder;
  MemoryStore memory{{.bytes_max = 1 << 20, .num_shards = 1}};
  std::unique_ptr<test::RedisInstance> redis;
  std::unique_ptr<ExactCache> exact;
  Verifier verifier;
  AnswerComparator comparator{{}, &embedder, nullptr};
  AnswerComparator* compares = &comparator;
  std::string comparator_id = "words";
  CacheStats counts;
  std::string snapshot_dir;
  std::unique_ptr<SemanticCache> semantic;
};

TEST(SemanticCache, AQuestionInOtherWordsGetsTheStoredAnswer) {
  Instance one;
  EXPECT_EQ(one.Served(one.Key("harbour what is it")), "no_candidate");
  one.Generate(one.Key("harbour what is it"), "a place for ships");
  EXPECT_EQ(one.Served(one.Key("harbour tell me")), "a place for ships");
  EXPECT_EQ(one.Served(one.Key("rope tell me")), "no_candidate");
  const SemanticMatch match = one.semantic->Lookup(one.Key("harbour tell me"), one.Plan());
  ASSERT_TRUE(match.hit);
  EXPECT_EQ(match.hit->tier, Tier::kSemantic);
  EXPECT_EQ(match.hit->id, one.Key("harbour what is it").hash);
  EXPECT_GT(match.candidate->cosine, 0.9F);
}

TEST(SemanticCache, OnlyTheLastQuestionMayDiffer) {
  Instance one;
  one.Generate(one.Key("harbour a"), "ships");
  EXPECT_EQ(one.Served(one.Key("harbour b")), "ships");
  EXPECT_EQ(one.Served(one.Key("harbour b", "You are a pirate.")), "no_candidate");
  EXPECT_EQ(one.Served(one.Key("harbour b", "You are kind.", "another tenant")), "no_candidate");
}

TEST(SemanticCache, BelowTheThresholdOfServerOrRequestNothingIsServed) {
  Instance strict(0, 0.999F);
  strict.Generate(strict.Key("harbour a"), "ships");
  EXPECT_EQ(strict.Served(strict.Key("harbour b")), "unproven");
  Instance one;
  one.Generate(one.Key("harbour a"), "ships");
  CachePlan plan = one.Plan();
  plan.threshold = 0.999F;
  EXPECT_EQ(one.Served(one.Key("harbour b"), plan), "unproven");
  plan.threshold = 0.1F;  // less than the server's is not heard
  EXPECT_EQ(one.Served(one.Key("harbour b"), plan), "ships");
}

TEST(SemanticCache, WhatIsGoneExpiredOrTooOldIsAMiss) {
  Instance one;
  one.Generate(one.Key("harbour a"), "ships");
  CachePlan plan = one.Plan();
  plan.max_age_ms = -1;
  EXPECT_EQ(one.Served(one.Key("harbour b"), plan), "gone");  // too old, and still there
  EXPECT_EQ(one.Served(one.Key("harbour b")), "ships");
  ASSERT_TRUE(one.memory.Erase(one.Key("harbour a").hash));
  EXPECT_EQ(one.Served(one.Key("harbour b")), "gone");
  EXPECT_EQ(one.Served(one.Key("harbour b")), "no_candidate");  // and out of the index
}

TEST(SemanticCache, AnEmbedderThatFailsOrIsSlowIsAMissInTime) {
  Instance one;
  one.Generate(one.Key("harbour a"), "ships");
  one.embedder.failing = true;
  EXPECT_EQ(one.Served(one.Key("harbour b")), "embedder_error");
  one.embedder.failing = false;
  one.embedder.slow = true;
  const auto began = steady_clock::now();
  EXPECT_EQ(one.Served(one.Key("harbour b")), "deadline");
  EXPECT_LT(steady_clock::now() - began, std::chrono::seconds(10));  // of 100 ms
}

TEST(SemanticCache, RequestsWithoutOneQuestionSayWhy) {
  Instance one;
  const Partitioner partitioner("secret");
  const auto key = [&](const json& request) {
    return MakeKey(partitioner.Partition({}, "fp"), *Canonicalise(request));
  };
  EXPECT_EQ(one.Served(key({{"endpoint", "/v1/completions"}, {"prompt", "harbour"}})), "not_chat");
  EXPECT_EQ(
      one.Served(key({{"messages", {{{"role", "user"}, {"content", "harbour"}}}}, {"echo", true}})),
      "prompt_matters");
  EXPECT_EQ(one.Served(one.Key(" ")), "empty");
}

TEST(SemanticCache, AnswersThatCannotBeComparedAreNotServed) {
  Instance one;
  AnswerBuilder cut;
  cut.Append({.text = "a place for"});
  const CacheKey key = one.Key("harbour a");
  const auto answer = cut.Finish({.choices = {{.finish_reason = "length"}}});
  ASSERT_EQ(one.exact->Insert(key, answer, one.Plan()), Reason::kNone);
  ASSERT_TRUE(one.semantic->Finish(
      {.key = key, .plan = one.Plan(), .answer = answer, .generated = true, .stored = true}));
  ASSERT_TRUE(one.semantic->Flush(milliseconds(20'000)));
  EXPECT_EQ(one.Served(one.Key("harbour b")), "no_candidate");
}

TEST(SemanticCache, AVeryLongQuestionIsNotLookedUp) {
  Instance one;
  one.Generate(one.Key("harbour a"), "ships");
  EXPECT_EQ(one.Served(one.Key("harbour " + std::string(10'000, 'b'))), "too_long");
}

TEST(SemanticCache, ShadowServesNothingAndCountsWhatItWouldHave) {
  Instance one;
  one.Generate(one.Key("harbour a"), "ships", std::nullopt, SemanticMode::kShadow);
  one.Generate(one.Key("harbour b"), "ships", std::nullopt, SemanticMode::kShadow);
  one.Generate(one.Key("harbour c"), "something else", std::nullopt, SemanticMode::kShadow);
  const StatsSnapshot counts = one.counts.Snapshot();
  const auto of = [&](SemanticOutcome outcome) {
    return counts.semantic[static_cast<size_t>(outcome)];
  };
  EXPECT_EQ(of(SemanticOutcome::kNoCandidate), 1);
  EXPECT_EQ(of(SemanticOutcome::kWouldServe), 2);
  EXPECT_EQ(of(SemanticOutcome::kServed), 0);
  EXPECT_EQ(counts.HitsTotal(), 0);
  const auto& labels = counts.labels[static_cast<size_t>(Labelled::kServed)];
  EXPECT_EQ(labels[1], 1);  // "ships" again
  EXPECT_EQ(labels[0], 1);  // and something else
}

TEST(SemanticCache, AnObservedHitIsGeneratedAndCompared) {
  Instance one(0, 0.9F, /*observe=*/1);
  one.Generate(one.Key("harbour a"), "ships");
  SemanticMatch match = one.semantic->Lookup(one.Key("harbour b"), one.Plan());
  EXPECT_EQ(match.outcome, SemanticOutcome::kObserved);
  EXPECT_FALSE(match.hit);
  one.Generate(one.Key("harbour b"), "ships", std::move(match));
  const auto counts = one.counts.Snapshot();
  EXPECT_EQ(counts.labels[static_cast<size_t>(Labelled::kServed)][1], 1);
}

// Says nothing until it is told to.
class WaitingJudge final : public AnswerJudge {
 public:
  Result<bool> Same(std::string_view, std::string_view, std::string_view, Deadline) override {
    ++asked;
    while (!go && !closed) std::this_thread::sleep_for(milliseconds(1));
    if (closed) return MakeError(ErrorCode::kUnavailable, "closed");
    return true;
  }
  void Close() override { closed = true; }
  std::atomic<int> asked = 0;
  std::atomic<bool> go = false, closed = false;
};

// An instance with that judge, which has one answer.
struct Judged {
  Judged() {
    one.compares = &comparator;
    one.Open();
    one.Generate(one.Key("harbour a"), "ships");
  }
  WaitingJudge judge;
  AnswerComparator comparator{{}, nullptr, &judge};
  Instance one;
};

TEST(SemanticCache, AJudgeThatTakesItsTimeKeepsNobodyFromBeingFound) {
  Judged judged;
  WaitingJudge& judge = judged.judge;
  Instance& one = judged.one;
  constexpr int kMore = 80;  // the queue of comparisons holds 64
  for (int i = 0; i < kMore; ++i) {
    const CacheKey key = one.Key("harbour number " + std::to_string(i));
    const auto made = AnswerOf("ships " + std::to_string(i));
    ASSERT_EQ(one.exact->Insert(key, made, one.Plan()), Reason::kNone);
    ASSERT_TRUE(one.semantic->Finish({.key = key,
                                      .plan = one.Plan(SemanticMode::kShadow),
                                      .answer = made,
                                      .generated = true,
                                      .stored = true}));
  }
  EXPECT_TRUE(Until([&] { return one.semantic->stats().index.entries == 1 + kMore; }));
  EXPECT_EQ(judge.asked, 1);
  EXPECT_EQ(one.semantic->stats().comparisons, 0);
  const int64_t uncompared = one.semantic->stats().uncompared;
  EXPECT_GE(uncompared, kMore - 66);
  judge.go = true;
  ASSERT_TRUE(one.semantic->Flush(milliseconds(20'000)));
  EXPECT_EQ(one.semantic->stats().comparisons + uncompared, kMore);
}

TEST(SemanticCache, AnEndDoesNotWaitForAJudge) {
  Judged judged;
  WaitingJudge& judge = judged.judge;
  Instance& one = judged.one;
  ASSERT_TRUE(one.semantic->Finish({.key = one.Key("harbour b"),
                                    .plan = one.Plan(SemanticMode::kShadow),
                                    .answer = AnswerOf("ships"),
                                    .generated = true}));
  EXPECT_TRUE(Until([&] { return judge.asked == 1; }));
  one.semantic.reset();  // or the test never ends
  EXPECT_TRUE(judge.closed);
}

TEST(SemanticCache, FeedbackForbidsThePairAndCountsAgainstTheEntry) {
  Instance one;
  one.Generate(one.Key("harbour a"), "ships");
  const Hash128 entry = one.Key("harbour a").hash;
  const auto cosine = one.semantic->Feedback(one.Key("harbour b"), one.Plan(), entry, false);
  ASSERT_TRUE(cosine && *cosine);
  EXPECT_GT(**cosine, 0.9F);
  EXPECT_EQ(one.Served(one.Key("harbour b")), "rejected");
  EXPECT_EQ(one.semantic->stats().rejections, 1);
  // An entry that could never have been served for it.
  const auto other =
      one.semantic->Feedback(one.Key("harbour b", "You are a pirate."), one.Plan(), entry, false);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().param, "entry");
}

TEST(SemanticCache, InstancesFindEachOthersQuestionsAndObeyEachOthersFeedback) {
  test::RedisServer server;
  Instance a(server.port()), b(server.port());
  a.Generate(a.Key("harbour a"), "ships");
  EXPECT_TRUE(Until([&] { return b.Served(b.Key("harbour b")) == "ships"; }));
  ASSERT_TRUE(b.semantic->Feedback(b.Key("harbour b"), b.Plan(), a.Key("harbour a").hash, false));
  EXPECT_TRUE(Until([&] { return a.Served(a.Key("harbour b")) == "rejected"; }));
  EXPECT_EQ(a.Served(a.Key("harbour c")), "ships");
  Instance late(server.port());
  EXPECT_EQ(late.Served(late.Key("harbour c")), "ships");
  EXPECT_EQ(late.Served(late.Key("harbour b")), "rejected");
}

TEST(SemanticCache, ARedisThatGoesAwayAndComesBackForgetsNothingSaid) {
  test::RedisServer server({"--appendonly", "yes", "--appendfsync", "always"});
  Instance a(server.port()), b(server.port());
  a.Generate(a.Key("harbour a"), "ships");
  ASSERT_TRUE(Until([&] { return b.Served(b.Key("harbour b")) == "ships"; }));
  server.Kill();
  ASSERT_TRUE(Until([&] {
    a.redis->Run({"PING"});
    return !a.redis->client.stats().available;
  }));
  a.Generate(a.Key("rope a"), "hemp");
  EXPECT_EQ(a.Served(a.Key("rope b")), "hemp");  // here, at once
  server.Start();
  EXPECT_TRUE(Until([&] { return b.Served(b.Key("harbour c")) == "ships"; }));
  EXPECT_TRUE(Until([&] { return b.semantic->stats().index.entries == 2; }));
}

TEST(SemanticCache, AnIndexFileSavesReadingTheLogAndADamagedOneCostsNothing) {
  test::RedisServer server;
  Instance a(server.port());
  a.redis->Run({"SET", "{test}:generation", "g"});
  a.snapshot_dir = server.dir();
  const auto heard = [&] { return a.semantic->stats().questions.heard; };
  const auto again = [&] { a.semantic.reset(), a.Open(); };
  again();
  a.Generate(a.Key("harbour a"), "ships");
  ASSERT_TRUE(Until([&] { return heard() == 1 && a.semantic->stats().index.entries == 1; }));
  ASSERT_TRUE(Until([&] { return !a.semantic->place().generation.empty(); }));
  again();  // writes it, and reads it
  EXPECT_EQ(heard(), 0);
  EXPECT_EQ(a.Served(a.Key("harbour b")), "ships");
  a.Generate(a.Key("rope a"), "hemp");
  EXPECT_TRUE(Until([&] { return a.Served(a.Key("rope b")) == "hemp"; }));

  std::vector<std::filesystem::path> files;
  for (const auto& file : std::filesystem::directory_iterator(server.dir()))
    if (file.path().extension() == ".index") files.push_back(file.path());
  ASSERT_EQ(files.size(), 1U);
  a.semantic.reset();
  std::filesystem::resize_file(files[0], std::filesystem::file_size(files[0]) / 2);
  a.Open();
  EXPECT_EQ(heard(), 2);
  EXPECT_EQ(a.Served(a.Key("harbour b")), "ships");
  EXPECT_EQ(a.Served(a.Key("rope b")), "hemp");
}

TEST(SemanticCache, EvidenceThatIsReadAgainCountsOnce) {
  test::RedisServer server;
  Instance one(server.port());
  const SemanticCodec codec("shared secret");
  const std::string log = one.semantic->evidence_log();
  constexpr int kRecords = 6000;
  std::vector<RedisCommand> adds;
  for (uint64_t id = 1; id <= kRecords; ++id)
    adds.push_back({"XADD", "{test}:" + log, "*", "r",
                    codec.Seal(log, EvidenceRecord{.id = id,
                                                   .evidence = {.candidate = {.cosine = 0.95F},
                                                                .served = true,
                                                                .right = true}})});
  const auto replies = one.redis->client.Run(adds, steady_clock::now() + std::chrono::seconds(20));
  ASSERT_TRUE(replies);
  const auto observed = [&] { return one.verifier.ServedError().observed; };
  ASSERT_TRUE(Until([&] { return observed() == kRecords; }));
  one.redis->Run({"XDEL", "{test}:" + log, replies->back().text});  // a write that was lost
  ASSERT_TRUE(Until([&] { return one.semantic->stats().evidence.losses == 1; }));
  ASSERT_TRUE(Until([&] { return one.semantic->stats().evidence.heard == 2 * kRecords - 1; }));
  EXPECT_EQ(observed(), kRecords);
}

TEST(SemanticCache, WhatAnotherComparatorSaidIsNoEvidence) {
  test::RedisServer server;
  Instance one(server.port()), other(server.port()), judged(server.port());
  judged.semantic.reset();
  judged.comparator_id = "judge";
  judged.Open();
  one.Generate(one.Key("harbour a"), "ships");
  EXPECT_TRUE(Until([&] { return one.semantic->stats().index.entries == 1; }));
  one.Generate(one.Key("harbour b"), "ships", std::nullopt, SemanticMode::kShadow);
  EXPECT_TRUE(Until([&] { return other.semantic->stats().evidence.heard == 1; }));
  EXPECT_TRUE(Until([&] { return judged.semantic->stats().questions.heard == 2; }));
  EXPECT_EQ(judged.semantic->stats().evidence.heard, 0);
  EXPECT_EQ(other.verifier.size().entries, 1);
  EXPECT_EQ(judged.verifier.size().entries, 0);
}

TEST(SemanticCache, AnEmbedderThatIsAwayLeavesTheWalkUndone) {
  test::RedisServer server;
  Instance old(server.port());
  old.Generate(old.Key("harbour a"), "ships");
  Instance fresh(server.port(), 0.9F, 0, "2");
  fresh.embedder.failing = true;
  const EntryCodec codec("shared secret");
  RedisCatalogue catalogue("test", fresh.redis->client, codec);
  const Reembedder reembedder({.name_space = "test", .retry = milliseconds(10)}, *fresh.semantic,
                              catalogue, fresh.redis->client);
  ASSERT_TRUE(Until([&] { return fresh.semantic->stats().unembedded >= 1; }));
  EXPECT_FALSE(reembedder.done());
  fresh.embedder.failing = false;
  EXPECT_TRUE(Until([&] { return reembedder.done(); }));
  EXPECT_TRUE(Until([&] { return fresh.Served(fresh.Key("harbour b")) == "ships"; }));
}

TEST(SemanticCache, AnotherEmbedderFindsWhatWasStoredBeforeIt) {
  test::RedisServer server;
  Instance old(server.port());
  old.Generate(old.Key("harbour a"), "ships");
  Instance fresh(server.port(), 0.9F, 0, "2");
  EXPECT_EQ(fresh.Served(fresh.Key("harbour b")), "no_candidate");  // a partition of its own
  const Keyring no_keys;
  const EntryCodec codec("shared secret", no_keys);
  RedisCatalogue catalogue("test", fresh.redis->client, codec);
  {
    const Reembedder reembedder({.name_space = "test"}, *fresh.semantic, catalogue,
                                fresh.redis->client);
    EXPECT_TRUE(Until([&] { return reembedder.done(); }));
    EXPECT_EQ(reembedder.told(), 1);
  }
  EXPECT_TRUE(Until([&] { return fresh.Served(fresh.Key("harbour b")) == "ships"; }));
  EXPECT_EQ(old.Served(old.Key("harbour b")), "ships");  // which goes on
  const Reembedder again({.name_space = "test"}, *fresh.semantic, catalogue, fresh.redis->client);
  EXPECT_TRUE(Until([&] { return again.done(); }));
  EXPECT_EQ(again.told(), 0);
}

}  // namespace
}  // namespace nextgate::cache
