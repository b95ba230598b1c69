// The semantic tier in the admin API: figures, thresholds, feedback and explanations, in front of an
// engine and an embedder whose words the test decides.
#include "gateway/admin/semantic.h"

#include <gmock/gmock.h>

#include <atomic>
#include <chrono>

#include "gateway/admin/explain.h"
#include "gateway/admin/stats.h"
#include "gateway/semantic_tier.h"
#include "tests/gateway/admin/admin_context_fixture.h"

namespace nextgate::gateway::admin {
namespace {

using ::testing::HasSubstr;

// A text's last word says its direction: "what is a harbour" and "define harbour" are equal, "rope" is
// at right angles to both.
class LastWordEmbedder final : public cache::Embedder {
 public:
  const cache::EmbedderInfo& info() const override { return info_; }
  Result<std::vector<cache::Embedding>> Embed(std::span<const std::string> texts,
                                              Deadline /*deadline*/) override {
    std::vector<cache::Embedding> out;
    for (const std::string& text : texts) {
      const size_t space = text.rfind(' ');
      const Hash128 word = HashBytes(space == std::string::npos ? text : text.substr(space + 1));
      cache::Embedding embedding{.values = std::vector<float>(64)};
      embedding.values[word.low % 64] = 1;
      out.push_back(std::move(embedding));
    }
    return out;
  }

 private:
  cache::EmbedderInfo info_{.id = "last word", .revision = "r1", .dimension = 64};
};

class AdminSemanticTest : public AdminContextTest {
 protected:
  static ServeOptions Settings() {
    ServeOptions options;
    options.cache_semantic_verifier = "static";
    options.cache_semantic_threshold = 0.9;
    options.cache_semantic_observe = 0;
    options.cache_semantic_gates = {"negation"};
    options.embedding_timeout_ms = 10'000;
    return options;
  }
  ChatPipeline::Services WithTier(cache::SemanticMode mode) {
    ChatPipeline::Services services = ServicesOf(generator_);
    services.policy.has_embedder = true;
    services.policy.semantic = mode;
    services.semantic = &tier_.cache();
    return services;
  }
  AdminContext ContextOf(ChatPipeline& pipeline) {
    return {.keys = no_keys_,
            .pipeline = pipeline,
            .flights = flights_,
            .exact = exact_,
            .single_flight = nullptr,
            .writer = writer_,
            .keeper = keeper_,
            .live = live_,
            .catalogue = nullptr,
            .invalidations = invalidation_log_,
            .partitioner = partitioner_,
            .reader = reader_,
            .options = settings_,
            .recorder = recorder_,
            .engine = &engine_,
            .generator = &generator_,
            .semantic = &tier_};
  }

  // The request is answered, and the tier has learned what there is to learn.
  ServerReply AskAndLearn(ChatPipeline& pipeline, const std::string& question) {
    auto request = openai::ParseChatRequest(Body(question).dump(), {.vocab_size = 8192});
    EXPECT_TRUE(request);
    ServerReply reply;
    pipeline.Run(std::make_shared<const openai::ApiRequest>(std::move(*request)), NoHeaders(),
                 {.id = "r", .route = "/v1/chat/completions"}, reply);
    ServerReply said{.status = reply.status, .headers = reply.headers, .body = reply.body};
    Sent(reply);
    EXPECT_TRUE(tier_.cache().Flush(std::chrono::seconds(20)));
    return said;
  }
  static json Body(const std::string& question) {
    return {{"model", "m"},
            {"temperature", 0},
            {"messages", json::array({{{"role", "user"}, {"content", question}}})}};
  }
  static json Asked(const std::string& question) {
    return {{"endpoint", "/v1/chat/completions"}, {"request", Body(question)}};
  }

  // What `function` answers, or {"error": message, "param", "code"}.
  static json Call(AdminFunction function, const AdminContext& context, const json& body = {}) {
    ServerRequest http = NoHeaders();
    if (!body.is_null()) http.body = body.dump();
    ServerReply reply;
    const Status status = function(context, {.http = http, .caller = {.label = "ops"}}, reply);
    if (status) return json::parse(reply.body);
    return {{"error", status.error().message},
            {"param", status.error().param},
            {"code", static_cast<int>(status.error().code)}};
  }
  static json TierOf(const json& explained) {
    for (const json& tier : explained["tiers"])
      if (tier["tier"] == "semantic") return tier;
    return nullptr;
  }

  ServeOptions settings_ = Settings();
  LastWordEmbedder embedder_;
  SemanticTier tier_{settings_,
                     {.embedder = embedder_,
                      .exact = exact_,
                      .keys = cache::Keyring::None(),
                      .secret = "a secret of all"}};
  ChatPipeline serving_{WithTier(cache::SemanticMode::kServe)};
  ChatPipeline shadowing_{WithTier(cache::SemanticMode::kShadow)};
  AdminContext serve_ = ContextOf(serving_), shadow_ = ContextOf(shadowing_);
};

TEST_F(AdminSemanticTest, WithoutTheTierThereIsNothingToShow) {
  EXPECT_EQ(SemanticStatsJson(context_), Json::object());
  const json word = {
      {"entry", std::string(32, '0')}, {"verdict", "wrong"}, {"asked", Asked("harbour")}};
  for (const json& refused : {Call(ShowThresholds, context_), Call(TakeFeedback, context_, word)}) {
    EXPECT_EQ(refused["code"], static_cast<int>(ErrorCode::kNotFound));
    EXPECT_THAT(refused["error"].get<std::string>(), HasSubstr("--embedding-model"));
  }
  EXPECT_EQ(TierOf(Call(Explain, context_, Asked("harbour"))),
            (json{{"tier", "semantic"}, {"verdict", "disabled"}}));
}

TEST_F(AdminSemanticTest, StatsHaveTheCountsAndWhatTheTierKnows) {
  EXPECT_EQ(Header(AskAndLearn(serving_, "define harbour"), "X-Cache-Reason"), "no_candidate");
  EXPECT_EQ(Header(AskAndLearn(serving_, "explain harbour"), "X-Cache-Tier"), "semantic");
  EXPECT_EQ(Header(AskAndLearn(serving_, "do not explain harbour"), "X-Cache-Reason"), "gated");
  const json stats = Call(ShowStats, serve_)["semantic"];
  EXPECT_EQ(stats["lookups"], 3);
  EXPECT_EQ(stats["outcomes"], (json{{"served", 1}, {"gated", 1}, {"no_candidate", 1}}));
  EXPECT_EQ(stats["refused_by_gate"]["negation"], 1);
  EXPECT_EQ(stats["refused_by_gate"]["names"], 0) << "it is off";
  ASSERT_EQ(stats["cosines"].size(), 25u);
  EXPECT_EQ(stats["cosines"][24], 2) << "both that found a question found one at a cosine of 1";
  EXPECT_EQ(stats["embedder"], (json{{"id", "last word"}, {"revision", "r1"}, {"dimension", 64}}));
  EXPECT_EQ(stats["mode"], "shadow") << "the server's own, whatever this pipeline does";
  EXPECT_EQ(stats["index"]["entries"], 2);
  EXPECT_EQ(stats["index"]["groups"], 1);
  EXPECT_EQ(stats["reembedding"], nullptr) << "there is no Redis";
  EXPECT_EQ(stats["rejections"], 0);
}

TEST_F(AdminSemanticTest, WhatShadowComparedIsARateWithItsIntervalAndSupportsThresholds) {
  AskAndLearn(shadowing_, "define harbour");
  const json before = Call(ShowThresholds, shadow_);
  EXPECT_EQ(before["suggestions"], json::array());
  EXPECT_EQ(before["served"]["rate"], nullptr);
  for (int i = 0; i < 20; ++i)
    AskAndLearn(shadowing_, "question " + std::to_string(i) + " on harbour");
  const json stats = Call(ShowStats, shadow_)["semantic"];
  EXPECT_EQ(stats["outcomes"], (json{{"would_serve", 20}, {"no_candidate", 1}}));
  EXPECT_EQ(stats["comparisons"], 20);
  const json& served = stats["wrong_hits"]["served"];
  EXPECT_EQ(served["compared"], 20);
  EXPECT_EQ(served["wrong"], 0);
  EXPECT_EQ(served["rate"], 0.0);
  // Clopper-Pearson of none of 20: 1 - 0.025^(1/20).
  EXPECT_NEAR(served["high"].get<double>(), 0.16843, 1e-4);
  EXPECT_EQ(stats["served_error"]["compared"], 20);

  const json thresholds = Call(ShowThresholds, shadow_);
  EXPECT_EQ(thresholds["verifier"], "static");
  EXPECT_EQ(thresholds["threshold"], 0.9);
  EXPECT_EQ(thresholds["error_max"], nullptr);
  EXPECT_EQ(thresholds["served"]["compared"], 20);
  std::vector<double> rates;
  for (const json& one : thresholds["suggestions"]) {
    rates.push_back(one["error_max"].get<double>());
    EXPECT_EQ(one["threshold"], nullptr) << "20 answers say nothing of one in 20";
    EXPECT_EQ(one["partition"].get<std::string>().size(), 32u);
  }
  EXPECT_THAT(rates, ::testing::ElementsAre(0.005, 0.01, 0.02, 0.05));
}

// Knows the truth of all pairs, but for one that it calls the same.
class NearlyKnowingJudge final : public cache::AnswerJudge {
 public:
  Result<bool> Same(std::string_view question, std::string_view stored, std::string_view generated,
                    Deadline /*deadline*/) override {
    if (away) return MakeError(ErrorCode::kUnavailable, "away");
    if (stored == "The Rhine ends in the North Sea.") return true;
    for (const cache::LabelledAnswers& pair : cache::HandWrittenAnswers())
      if (pair.question == question && pair.first == stored && pair.second == generated)
        return pair.same;
    return MakeError(ErrorCode::kInternal, "no such pair");
  }
  std::atomic<bool> away = false;
};

TEST_F(AdminSemanticTest, TheJudgesErrorsAreCounted) {
  NearlyKnowingJudge judge;
  SemanticTier tier(settings_, {.embedder = embedder_,
                                .exact = exact_,
                                .judge = &judge,
                                .keys = cache::Keyring::None(),
                                .secret = "a secret of all"});
  AdminContext context = shadow_;
  context.semantic = &tier;
  const json counted = Call(CountComparatorErrors, context);
  EXPECT_EQ(counted["judge"], true);
  EXPECT_EQ(counted["false_same"]["of"], 204);
  EXPECT_EQ(counted["no_label"], json::object());
  EXPECT_EQ(counted["in_force"], "1/1,1/1");  // nothing is known until somebody says so
  const cache::ComparatorError error = {counted["false_same"]["count"], 204,
                                        counted["false_different"]["count"], 204};
  EXPECT_EQ(counted["flag"], "--cache-comparator-error " + error.Text());
  EXPECT_EQ(std::ssize(counted["mistakes"]), error.false_same + error.false_different);
  EXPECT_LE(error.false_same, 1);
  EXPECT_EQ(SemanticStatsJson(context)["comparator"]["verdicts"], json::object());  // of traffic

  judge.away = true;
  const json away = Call(CountComparatorErrors, context);
  EXPECT_EQ(away["code"], static_cast<int>(ErrorCode::kUnavailable));
  EXPECT_THAT(std::string(away["error"]), HasSubstr("not_judged"));
}

TEST_F(AdminSemanticTest, OfAnUnknownComparatorNothingIsServedByVerified) {
  ServeOptions options = settings_;
  options.cache_semantic_verifier = "verified";
  options.cache_semantic_observe = 0.02;
  const auto comparator_of = [&](const ServeOptions& o) {
    const SemanticTier tier(o, {.embedder = embedder_,
                                .exact = exact_,
                                .keys = cache::Keyring::None(),
                                .secret = "a secret of all"});
    return tier.verifier().options().comparator;
  };
  EXPECT_EQ(comparator_of(options), cache::ComparatorError::Unknown());
  options.cache_comparator_error = cache::ComparatorError{1, 100, 2, 100};
  EXPECT_EQ(comparator_of(options), (cache::ComparatorError{1, 100, 2, 100}));

  const auto serves_after_good_labels = [&](const cache::ComparatorError& error) {
    cache::Verifier verifier(
        {.mode = cache::Verifier::Mode::kVerified, .error_max = 0.05, .comparator = error});
    for (int i = 0; i < 2'000; ++i)
      verifier.Observe(
          {.candidate = {.entry = {0, static_cast<uint64_t>(i)}, .cosine = 0.9F}, .right = true});
    return verifier.Rule({.entry = {1, 1}, .cosine = 0.9F}).serve;
  };
  EXPECT_FALSE(serves_after_good_labels(cache::ComparatorError::Unknown()));
  EXPECT_TRUE(serves_after_good_labels({0, 204, 0, 204}));
}

TEST_F(AdminSemanticTest, ExplainSaysWhatIsNearAndWhatEveryGateSays) {
  AskAndLearn(serving_, "define harbour");
  json explained = Call(Explain, serve_, Asked("explain harbour"));
  json tier = TierOf(explained);
  EXPECT_EQ(explained["outcome"], "HIT");
  EXPECT_EQ(tier["verdict"], "served");
  EXPECT_EQ(tier["mode"], "serve");
  EXPECT_EQ(tier["cosine"], 1.0);
  EXPECT_EQ(tier["threshold"], 0.9);
  ASSERT_EQ(tier["neighbours"].size(), 1u);
  ASSERT_EQ(tier["neighbours"][0]["gates"].size(), cache::kNumGates);
  for (const json& gate : tier["neighbours"][0]["gates"])
    EXPECT_EQ(gate["on"], gate["gate"] == "negation") << gate;

  tier = TierOf(Call(Explain, serve_, Asked("do not explain harbour")));
  EXPECT_EQ(tier["verdict"], "gated");
  for (const json& gate : tier["neighbours"][0]["gates"]) {
    if (gate["gate"] == "negation") {
      EXPECT_EQ(gate["verdict"], "refuse");
    }
    EXPECT_EQ(gate.contains("detail"), gate["verdict"] == "refuse") << gate;
  }
  EXPECT_EQ(TierOf(Call(Explain, serve_, Asked("define rope"))),
            (json{{"tier", "semantic"}, {"verdict", "no_candidate"}, {"mode", "serve"}}));
  explained = Call(Explain, shadow_, Asked("explain harbour"));
  EXPECT_EQ(explained["outcome"], "MISS") << "shadow serves nothing";
  EXPECT_EQ(TierOf(explained)["verdict"], "would_serve");
  EXPECT_EQ(TierOf(Call(Explain, serve_, Asked("define harbour")))["verdict"], "not_asked");
  EXPECT_EQ(Call(ShowStats, serve_)["semantic"]["lookups"], 1) << "explaining counts nothing";
}

TEST_F(AdminSemanticTest, AnotherWordingOfTheSameQuestionIsNoReasonForTheMargin) {
  const auto margin = [&] {
    const json tier = TierOf(Call(Explain, serve_, Asked("explain harbour")));
    EXPECT_GE(tier["neighbours"].size(), 2u);
    for (const json& gate : tier["neighbours"][0]["gates"])
      if (gate["gate"] == "margin") return gate["verdict"].get<std::string>();
    return std::string("none");
  };
  AskAndLearn(shadowing_, "define harbour");
  AskAndLearn(shadowing_, "describe harbour");  // generated too: the same words
  EXPECT_EQ(margin(), "pass");
  engine_.script = [this](const engine::GenerationRequest& request) {
    return engine::Says(request, tokenizer_->Encode("Another thing."));
  };
  AskAndLearn(shadowing_, "what is a harbour");  // another answer to the same question
  EXPECT_EQ(margin(), "pass");
}

TEST_F(AdminSemanticTest, FeedbackForbidsAndInvalidates) {
  AskAndLearn(serving_, "define harbour");
  const std::string entry = Header(AskAndLearn(serving_, "explain harbour"), "X-Cache-Entry");
  ASSERT_EQ(entry.size(), 32u);
  json taken = Call(TakeFeedback, serve_,
                    {{"entry", entry}, {"verdict", "right"}, {"asked", Asked("explain harbour")}});
  EXPECT_EQ(taken, (json{{"entry", entry},
                         {"verdict", "right"},
                         {"counted", true},
                         {"cosine", 1.0},
                         {"invalidation", nullptr}}));
  EXPECT_EQ(Header(AskAndLearn(serving_, "explain harbour"), "X-Cache-Tier"), "semantic");

  taken = Call(TakeFeedback, serve_,
               {{"entry", entry}, {"verdict", "wrong"}, {"asked", Asked("explain harbour")}});
  EXPECT_EQ(taken["counted"], true);
  EXPECT_TRUE(taken["invalidation"].is_string());
  EXPECT_EQ(SemanticStatsJson(serve_)["rejections"], 1);
  EXPECT_EQ(Header(AskAndLearn(serving_, "define harbour"), "X-Cache"), "MISS") << "invalidated";
  // The entry is there anew, and still not this question's.
  EXPECT_EQ(TierOf(Call(Explain, serve_, Asked("explain harbour")))["verdict"], "rejected");
  EXPECT_EQ(TierOf(Call(Explain, serve_, Asked("describe harbour")))["verdict"], "served");
  EXPECT_EQ(SemanticStatsJson(serve_)["served_error"]["compared"], 0) << "no measured rate";

  taken = Call(
      TakeFeedback, serve_,
      {{"entry", std::string(32, '0')}, {"verdict", "wrong"}, {"asked", Asked("explain harbour")}});
  EXPECT_EQ(taken["counted"], false)
      << "there is no such entry; the pair is forbidden all the same";
  EXPECT_EQ(taken["cosine"], nullptr);
}

TEST_F(AdminSemanticTest, FeedbackThatCannotBeIsRefusedAndNamesWhatIsWrong) {
  AskAndLearn(serving_, "define harbour");
  const std::string entry = Header(AskAndLearn(serving_, "explain harbour"), "X-Cache-Entry");
  const json good = {{"entry", entry}, {"verdict", "wrong"}, {"asked", Asked("explain harbour")}};
  const auto with = [&](const char* member, const json& value) {
    json body = good;
    body[member] = value;
    return body;
  };
  const auto without = [&](const char* member) {
    json body = good;
    body.erase(member);
    return body;
  };
  json other_system = Asked("explain harbour");
  const json system = {{"role", "system"}, {"content", "Be a pirate."}};
  auto& messages = other_system["request"]["messages"];
  messages.insert(messages.begin(), system);
  json no_messages = Asked("x"), wrong_mode = Asked("x"), no_question = Asked("");
  no_messages["request"].erase("messages");
  wrong_mode["request"]["cache"] = {{"mode", "fast"}};
  struct Row {
    json body;
    const char* param;
    const char* message;
  };
  const Row rows[] = {
      {without("entry"), "entry", "32 lower-case hex digits"},
      {with("entry", "ABC"), "entry", "32 lower-case hex digits"},
      {with("entry", 7), "entry", "entry"},
      {without("verdict"), "verdict", "\"right\" or \"wrong\""},
      {with("verdict", "maybe"), "verdict", "\"right\" or \"wrong\""},
      {without("asked"), "asked", "endpoint, request, headers and scope"},
      {with("asked", "harbour"), "asked", "endpoint, request, headers and scope"},
      {with("more", 1), "more", "there are: entry, verdict, asked"},
      {with("asked", {{"endpoint", "/v1/embeddings"}, {"request", Body("x")}}), "asked.endpoint",
       "expected /v1/chat"},
      {with("asked", no_messages), "asked.request.messages", "messages"},
      {with("asked", wrong_mode), "asked.request.cache.mode", "\"fast\""},
      {with("asked", no_question), "asked.request", "no question"},
      {with("asked", other_system), "entry", "differs in more than the last question"},
  };
  for (const Row& row : rows) {
    const json refused = Call(TakeFeedback, serve_, row.body);
    ASSERT_TRUE(refused.contains("error")) << row.body << refused;
    EXPECT_EQ(refused["code"], static_cast<int>(ErrorCode::kInvalidArgument)) << row.body;
    EXPECT_EQ(refused["param"], row.param) << row.body;
    EXPECT_THAT(refused["error"].get<std::string>(), HasSubstr(row.message)) << row.body;
  }
  EXPECT_EQ(SemanticStatsJson(serve_)["rejections"], 0) << "nothing was done";
  EXPECT_EQ(Header(AskAndLearn(serving_, "explain harbour"), "X-Cache-Tier"), "semantic");
}

}  // namespace
}  // namespace nextgate::gateway::admin
