// The flags of the semantic tier.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <functional>

#include "gateway/semantic_tier.h"
#include "tests/gateway/serve_flags.h"

namespace nextgate::gateway {
namespace {

using cache::SemanticMode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST(SemanticFlags, TheDefaultsRecordAndServeNothing) {
  const ServeOptions o = OptionsOfModel({});
  EXPECT_EQ(o.cache_semantic, SemanticMode::kShadow);
  EXPECT_THAT(o.cache_semantic_route, IsEmpty());
  EXPECT_EQ(o.cache_semantic_verifier, "verified");
  EXPECT_EQ(o.cache_semantic_threshold, 0.80);
  EXPECT_EQ(o.cache_semantic_error_max, 0.01);
  EXPECT_EQ(o.cache_semantic_confidence, 0.95);
  EXPECT_EQ(o.cache_semantic_observe, 0.02);
  EXPECT_THAT(o.cache_semantic_gates, IsEmpty());
  EXPECT_EQ(o.cache_semantic_entries_max, 200'000);
  EXPECT_EQ(o.cache_semantic_dir, "");
}

TEST(SemanticFlags, EachIsRead) {
  ::setenv("NEXTGATE_CACHE_SECRET", "0123456789abcdef", 1);
  const ServeOptions o = OptionsOfModel({"--cache-semantic",
                                         "serve",
                                         "--cache-semantic-route",
                                         "/v1/chat/completions=shadow",
                                         "--cache-semantic-verifier",
                                         "static",
                                         "--cache-semantic-threshold",
                                         "0.875",
                                         "--cache-semantic-error-max",
                                         "0.005",
                                         "--cache-semantic-confidence=0.99",
                                         "--cache-semantic-observe",
                                         "0",
                                         "--cache-semantic-gates",
                                         "numbers",
                                         "negation",
                                         "--cache_semantic_entries_max",
                                         "1000",
                                         "--cache-url",
                                         "redis://a",
                                         "--cache-semantic-dir",
                                         "/var/lib/nextgate"});
  ::unsetenv("NEXTGATE_CACHE_SECRET");
  EXPECT_EQ(o.cache_semantic, SemanticMode::kServe);
  EXPECT_THAT(o.cache_semantic_route,
              ElementsAre(Pair("/v1/chat/completions", SemanticMode::kShadow)));
  EXPECT_EQ(o.cache_semantic_verifier, "static");
  EXPECT_EQ(o.cache_semantic_threshold, 0.875);
  EXPECT_EQ(o.cache_semantic_error_max, 0.005);
  EXPECT_EQ(o.cache_semantic_confidence, 0.99);
  EXPECT_EQ(o.cache_semantic_observe, 0);
  EXPECT_THAT(o.cache_semantic_gates, ElementsAre("numbers", "negation"));
  EXPECT_EQ(o.cache_semantic_entries_max, 1000);
  EXPECT_EQ(o.cache_semantic_dir, "/var/lib/nextgate");
}

TEST(SemanticFlags, AWrongValueIsNamedWithWhatIsAllowed) {
  const std::tuple<const char*, const char*, const char*> rows[] = {
      {"--cache-semantic", "on", "expected off, shadow or serve, got 'on'"},
      {"--cache-semantic", "", "expected off, shadow or serve"},
      {"--cache-semantic-route", "/v1/completions=serve", "expected /v1/chat/completions=off"},
      {"--cache-semantic-route", "/v1/chat/completions", "expected /v1/chat/completions=off"},
      {"--cache-semantic-route", "/v1/chat/completions=on",
       "expected off, shadow or serve, got 'on'"},
      {"--cache-semantic-verifier", "learned", "static, verified"},
      {"--cache-semantic-threshold", "1.5", "from 0 to 1, got '1.5'"},
      {"--cache-semantic-threshold", "high", "expected a number"},
      {"--cache-semantic-threshold", "nan", "expected a number"},
      {"--cache-semantic-error-max", "0", "from 0.0001 to 0.5"},
      {"--cache-semantic-error-max", "0.6", "from 0.0001 to 0.5"},
      {"--cache-semantic-error-max", "1%", "from 0.0001 to 0.5"},
      {"--cache-semantic-confidence", "0.4", "from 0.5 to 0.9999"},
      {"--cache-semantic-confidence", "1", "from 0.5 to 0.9999"},
      {"--cache-semantic-observe", "1.1", "from 0 to 1"},
      {"--cache-semantic-observe", "-0.1", "from 0 to 1"},
      {"--cache-semantic-gates", "smell", "all, none, numbers, names"},
      {"--cache-semantic-entries-max", "0", "1"},
      {"--cache-semantic-entries-max", "10000001", "10000000"}};
  for (const auto& [flag, value, message] : rows) {
    const std::string error = FlagErrorOfModel({std::string(flag) + "=" + value});
    EXPECT_THAT(error, HasSubstr(flag));
    EXPECT_THAT(error, HasSubstr(message));
  }
}

TEST(SemanticFlags, TheJudgeIsTheModelOrAServer) {
  const ServeOptions none = OptionsOfModel({});
  EXPECT_EQ(none.cache_judge, "");
  EXPECT_EQ(none.cache_comparator_error, std::nullopt);
  EXPECT_EQ(OptionsOfModel({"--embedding-model", "minilm", "--cache-judge", "model"}).cache_judge,
            "model");
  ::setenv("NEXTGATE_JUDGE_API_KEY", "sk-judge", 1);
  const ServeOptions url =
      OptionsOfModel({"--embedding-model", "minilm", "--cache-judge", "http://judge:8000/v1",
                      "--cache-judge-model", "big", "--cache-comparator-error", "3/204,5/200"});
  ::unsetenv("NEXTGATE_JUDGE_API_KEY");
  EXPECT_EQ(url.cache_judge, "http://judge:8000/v1");
  EXPECT_EQ(url.cache_judge_model, "big");
  EXPECT_EQ(url.cache_judge_api_key, "sk-judge");
  EXPECT_EQ(url.cache_comparator_error, (cache::ComparatorError{3, 204, 5, 200}));

  EXPECT_THAT(FlagErrorOfModel({"--cache-judge", "gpt"}),
              AllOf(HasSubstr("--cache-judge"), HasSubstr("expected model, or a URL")));
  EXPECT_THAT(FlagErrorOfModel({"--embedding-model", "minilm", "--cache-judge", "http://judge"}),
              HasSubstr("needs --cache-judge-model"));
  EXPECT_THAT(FlagErrorOfModel({"--cache-judge", "model", "--cache-judge-model", "m"}),
              HasSubstr("--cache-judge-model needs --cache-judge URL"));
  EXPECT_THAT(FlagErrorOfModel({"--cache-judge", "model"}),
              HasSubstr("--cache-judge needs --embedding-model or --embedding-url"));
  EXPECT_THAT(FlagErrorOfModel({"--cache-comparator-error", "0/4,0/4"}),
              HasSubstr("--cache-comparator-error needs --embedding-model or --embedding-url"));
  const auto upstream = ParseServeFlags(
      {{"--upstream", "http://a/v1", "--embedding-model", "minilm", "--cache-judge", "model"}});
  ASSERT_FALSE(upstream);
  EXPECT_THAT(upstream.error().message, HasSubstr("needs --upstream-model"));
  for (const char* error : {"3", "3/204", "3/204,5", "5/4,0/1", "0/0,0/1", "-1/4,0/1", "a/4,0/1",
                            "0/4,0/1,0/1", "0/4, 0/1", ""})
    EXPECT_THAT(FlagErrorOfModel({"--cache-comparator-error", error}),
                AllOf(HasSubstr("--cache-comparator-error"), HasSubstr("expected W/N,D/M")))
        << error;
}

TEST(SemanticFlags, VerifiedHasToObserve) {
  EXPECT_THAT(FlagErrorOfModel({"--cache-semantic-observe", "0"}),
              HasSubstr("goes with --cache-semantic-verifier static only"));
  EXPECT_EQ(OptionsOfModel({"--cache-semantic-observe", "0.001"}).cache_semantic_observe, 0.001);
}

TEST(SemanticFlags, AFileOfTheIndexNeedsARedisAndNoEncryption) {
  EXPECT_THAT(FlagErrorOfModel({"--cache-semantic-dir", "d"}),
              HasSubstr("--cache-semantic-dir needs --cache-url"));
  const std::string keys = ::testing::TempDir() + "semantic-keys";
  std::ofstream(keys) << std::string(64, 'a') << "\n";
  ::setenv("NEXTGATE_CACHE_SECRET", "0123456789abcdef", 1);
  EXPECT_THAT(FlagErrorOfModel({"--cache-url", "redis://a", "--cache-encryption-key-file", keys,
                                "--cache-semantic-dir", "d"}),
              HasSubstr("its file is not encrypted"));
  EXPECT_EQ(
      OptionsOfModel({"--cache-url", "redis://a", "--cache-semantic-dir", "d"}).cache_semantic_dir,
      "d");
  ::unsetenv("NEXTGATE_CACHE_SECRET");
}

TEST(SemanticFlags, TheControlOfModesCanBeTakenAway) {
  EXPECT_THAT(OptionsOfModel({"--cache-controls", "semantic", "ttl"}).cache_controls,
              ElementsAre("semantic", "ttl"));
}

TEST(SemanticTierOptions, ItIsWantedUnlessEverythingIsOff) {
  const auto wanted = [](const std::function<void(ServeOptions&)>& change) {
    ServeOptions options;
    change(options);
    return WantsSemanticTier(options);
  };
  EXPECT_TRUE(wanted([](ServeOptions&) {}));
  EXPECT_FALSE(wanted([](ServeOptions& o) { o.cache_semantic = SemanticMode::kOff; }));
  EXPECT_FALSE(wanted([](ServeOptions& o) { o.enable_answer_cache = false; }));
  const auto with_route = [&](SemanticMode of_route) {
    return wanted([&](ServeOptions& o) {
      o.cache_semantic = SemanticMode::kOff;
      o.cache_semantic_route["/v1/chat/completions"] = of_route;
    });
  };
  EXPECT_TRUE(with_route(SemanticMode::kShadow));
  EXPECT_FALSE(with_route(SemanticMode::kOff));
}

TEST(SemanticTierOptions, GatesAreAllNoneOrThoseNamed) {
  const auto on = [](const std::vector<std::string>& codes) {
    std::vector<std::string> out;
    const cache::GateSet gates = GatesOf(codes);
    for (size_t i = 0; i < cache::kNumGates; ++i)
      if (gates.contains(static_cast<cache::Gate>(i)))
        out.emplace_back(cache::GateCode(static_cast<cache::Gate>(i)));
    return out;
  };
  EXPECT_EQ(on({}).size(), cache::kNumGates);
  EXPECT_EQ(on({"all"}).size(), cache::kNumGates);
  EXPECT_THAT(on({"none"}), IsEmpty());
  EXPECT_THAT(on({"margin", "numbers"}), ElementsAre("numbers", "margin"));
}

}  // namespace
}  // namespace nextgate::gateway
