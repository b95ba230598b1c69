#include "cache/policy.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace nextgate::cache {
namespace {

using nlohmann::json;

const std::expected<std::string, Ineligible> kCanonical = std::string("{}");

RequestFacts Question(std::string_view text = "What does harbour mean?") {
  return {.prompt_bytes = static_cast<int64_t>(text.size()), .last_user_text = text};
}

CachePlan Plan(const RequestFacts& facts, const CacheControls& controls = {},
               const PolicySettings& settings = {}) {
  auto plan = MakePlan(settings, facts, controls, kCanonical);
  EXPECT_TRUE(plan.has_value());
  return plan.value_or(CachePlan{});
}

TEST(CachePolicy, EligibilityByTemperatureAndSeed) {
  struct Row {
    std::optional<double> temperature;
    bool has_seed, cache_sampled, eligible;
  };
  const Row rows[] = {
      {std::nullopt, false, false, true}, {0.0, false, false, true},
      {-0.0, false, false, true},         {0.7, false, false, false},
      {0.7, true, false, true},           {1.0, false, false, false},
      {1e-9, false, false, false},        {0.7, false, true, true},
      {std::nullopt, true, false, true},
  };
  for (const Row& row : rows) {
    RequestFacts facts = Question();
    facts.temperature = row.temperature;
    facts.has_seed = row.has_seed;
    const CachePlan plan = Plan(facts, {}, {.cache_sampled = row.cache_sampled});
    EXPECT_EQ(plan.read, row.eligible) << row.temperature.value_or(-9);
    EXPECT_EQ(plan.write, row.eligible);
    EXPECT_EQ(plan.reason, row.eligible ? Reason::kNone : Reason::kSampled);
  }
}

TEST(CachePolicy, EveryBarHasItsReason) {
  struct Row {
    const char* what;
    void (*change)(PolicySettings&, RequestFacts&, CacheControls&);
    Reason reason;
    bool write;
  };
  using S = PolicySettings;
  using F = RequestFacts;
  using C = CacheControls;
  const Row rows[] = {
      {"nothing", [](S&, F&, C&) {}, Reason::kNone, true},
      {"off", [](S& s, F&, C&) { s.enabled = false; }, Reason::kDisabled, false},
      {"route", [](S&, F& f, C&) { f.cacheable_route = false; }, Reason::kUnsupportedRoute, false},
      {"tools", [](S&, F& f, C&) { f.has_tools = true; }, Reason::kTools, false},
      {"tools opted in", [](S& s, F& f, C&) { f.has_tools = s.cache_tools = true; }, Reason::kNone,
       true},
      {"images", [](S&, F& f, C&) { f.has_images = true; }, Reason::kImages, false},
      {"empty", [](S&, F& f, C&) { f.prompt_bytes = 0; }, Reason::kPromptTooShort, false},
      {"longest", [](S& s, F& f, C&) { f.prompt_bytes = s.prompt_bytes_max; }, Reason::kNone, true},
      {"too long", [](S& s, F& f, C&) { f.prompt_bytes = s.prompt_bytes_max + 1; },
       Reason::kPromptTooLong, false},
      {"time", [](S&, F& f, C&) { f.last_user_text = "news of today"; }, Reason::kTimeWords, false},
      {"time, short ttl",
       [](S&, F& f, C& c) {
         f.last_user_text = "news of today";
         c.ttl_s = 60;
       },
       Reason::kNone, true},
      {"time, ttl a second longer",
       [](S&, F& f, C& c) {
         f.last_user_text = "news of today";
         c.ttl_s = 61;
       },
       Reason::kTimeWords, false},
      {"no-store", [](S&, F&, C& c) { c.no_store = true; }, Reason::kNoStore, false},
      {"no-cache", [](S&, F&, C& c) { c.no_cache = true; }, Reason::kNoCache, true},
      {"no-cache, ineligible",
       [](S&, F& f, C& c) {
         c.no_cache = true;
         f.temperature = 1;
       },
       Reason::kSampled, false},
      {"both", [](S&, F&, C& c) { c.no_cache = c.no_store = true; }, Reason::kNoStore, false},
      {"mode off", [](S&, F&, C& c) { c.mode_off = true; }, Reason::kModeOff, false},
      {"ttl 0", [](S&, F&, C& c) { c.ttl_s = 0; }, Reason::kNone, false},
      {"only-if-cached", [](S&, F&, C& c) { c.only_if_cached = true; }, Reason::kNone, true},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    PolicySettings settings;
    RequestFacts facts = Question();
    CacheControls controls;
    row.change(settings, facts, controls);
    const CachePlan plan = Plan(facts, controls, settings);
    EXPECT_EQ(plan.reason, row.reason) << ReasonCode(plan.reason);
    EXPECT_EQ(plan.read, row.reason == Reason::kNone);
    EXPECT_EQ(plan.write, row.write);
    EXPECT_EQ(plan.reasons.empty(), plan.read);
    EXPECT_EQ(plan.only_if_cached, controls.only_if_cached);
  }
}

TEST(CachePolicy, AnUnknownFieldIsNamed) {
  const auto plan =
      MakePlan({}, Question(), {},
               std::unexpected(Ineligible{.reason = Reason::kUnknownField, .detail = "magic"}));
  ASSERT_TRUE(plan.has_value());
  EXPECT_FALSE(plan->read || plan->write);
  EXPECT_EQ(ReasonCode(plan->reason), "unknown_field");
  EXPECT_EQ(plan->detail, "magic");
}

TEST(CachePolicy, AllReasonsAreListedMostImportantFirst) {
  RequestFacts facts = Question("the latest");
  facts.temperature = 0.5;
  facts.has_tools = true;
  const CachePlan plan = Plan(facts, {.no_cache = true});
  EXPECT_EQ(plan.reasons,
            (std::vector{Reason::kSampled, Reason::kTools, Reason::kTimeWords, Reason::kNoCache}));
}

TEST(CachePolicy, ARouteMayHaveATtlOfItsOwn) {
  const PolicySettings settings{.ttl_default_s = 100,
                                .ttl_by_route_s = {{"/a", 0}, {"/b", 7}, {"/c", 5000}},
                                .ttl_max_s = 1000};
  const auto ttl_ms = [&](std::string_view route, std::optional<int64_t> ttl_s) {
    RequestFacts facts = Question();
    facts.route = route;
    const CachePlan plan = Plan(facts, {.ttl_s = ttl_s}, settings);
    EXPECT_EQ(plan.write, plan.ttl_ms > 0);
    return plan.ttl_ms;
  };
  EXPECT_EQ(ttl_ms("/d", {}), 100'000);
  EXPECT_EQ(ttl_ms("/a", {}), 0);
  EXPECT_EQ(ttl_ms("/b", {}), 7'000);
  EXPECT_EQ(ttl_ms("/c", {}), 1'000'000);
  EXPECT_EQ(ttl_ms("/a", 9), 9'000);
  EXPECT_EQ(ttl_ms("/b", 2000), 1'000'000);
}

TEST(CachePolicy, TtlIsTheClientsWithinTheOperatorsBounds) {
  const PolicySettings settings{.ttl_default_s = 100, .ttl_max_s = 1000};
  EXPECT_EQ(Plan(Question(), {}, settings).ttl_ms, 100'000);
  EXPECT_EQ(Plan(Question(), {.ttl_s = 7}, settings).ttl_ms, 7'000);
  EXPECT_EQ(Plan(Question(), {.ttl_s = int64_t{1} << 31}, settings).ttl_ms, 1'000'000);
  EXPECT_EQ(Plan(Question(), {.max_age_s = 3}, settings).max_age_ms, 3'000);
  EXPECT_EQ(Plan(Question(), {.name_space = "n"}, settings).name_space, "n");
}

TEST(CachePolicy, AKeyMayOnlyOverrideWhatItMay) {
  const auto denied = [](const PolicySettings& settings, const CacheControls& controls) {
    const auto plan = MakePlan(settings, Question(), controls, kCanonical);
    return !plan && plan.error().code == ErrorCode::kPermissionDenied &&
           !plan.error().param.empty();
  };
  EXPECT_TRUE(denied({.may_set_ttl = false}, {.ttl_s = 5}));
  EXPECT_TRUE(denied({.may_set_namespace = false}, {.name_space = "n"}));
  EXPECT_TRUE(denied({.may_refresh = false}, {.no_cache = true}));
  EXPECT_TRUE(denied({.may_refresh = false}, {.max_age_s = 1}));
  // What it may not do at all is no error: it gets a fresh answer, or leaves none.
  const CachePlan blind = Plan(Question(), {}, {.may_read = false});
  EXPECT_FALSE(blind.read);
  EXPECT_TRUE(blind.write);
  EXPECT_EQ(blind.reason, Reason::kKeyRights);
  const CachePlan mute = Plan(Question(), {}, {.may_write = false});
  EXPECT_TRUE(mute.read);
  EXPECT_FALSE(mute.write);
  const PolicySettings none{.may_set_ttl = false, .may_set_namespace = false, .may_refresh = false};
  EXPECT_FALSE(denied(none, {.no_store = true}));  // everybody's right
  EXPECT_FALSE(denied(none, {.only_if_cached = true}));
}

TEST(TimeWords, AreWholeWordsInEnglishAndAnywhereInChinese) {
  for (const char* text :
       {"today", "What happened TODAY?", "Is it raining now?", "now", "(now)", "today's news",
        "the latest release", "What time is it in Rome?", "this week", "今天天气怎么样",
        "请问现在几点", "目前的總統是誰", "最近有什么新闻", "昨日の試合", "up-to-date list"})
    EXPECT_TRUE(HasTimeWords(text)) << text;
  for (const char* text : {"", "know", "snowy", "nowhere", "renown", "todayish",
                           "What does harbour mean?", "electric current", "Define latency.", "天气",
                           "今", "what time zone is Rome in", "translate: el presente"})
    EXPECT_FALSE(HasTimeWords(text)) << text;
}

TEST(StoreDecision, KeepsOnlyWholeAnswers) {
  const CachePlan plan = Plan(Question());
  const auto decide = [&](AnswerFacts facts) { return StoreDecision(plan, facts); };
  EXPECT_EQ(decide({.complete = true, .finish_reasons = {"stop"}}), Reason::kNone);
  EXPECT_EQ(decide({.complete = true, .finish_reasons = {"tool_calls"}}), Reason::kNone);
  EXPECT_EQ(decide({.complete = true, .finish_reasons = {"stop", "stop"}}), Reason::kNone);
  EXPECT_EQ(decide({.complete = false, .finish_reasons = {"stop"}}), Reason::kNotComplete);
  EXPECT_EQ(decide({.complete = true, .finish_reasons = {}}), Reason::kNotComplete);
  EXPECT_EQ(decide({.complete = true, .finish_reasons = {"length"}}), Reason::kLengthNotRequested);
  EXPECT_EQ(decide({.complete = true, .limit_set_by_request = true, .finish_reasons = {"length"}}),
            Reason::kNone);
  EXPECT_EQ(decide({.complete = true, .finish_reasons = {"stop", "length"}}),
            Reason::kLengthNotRequested);
  EXPECT_EQ(decide({.complete = true, .finish_reasons = {"stop", "content_filter"}}),
            Reason::kFinishReason);
  EXPECT_EQ(decide({.complete = true, .limit_set_by_request = true, .finish_reasons = {"error"}}),
            Reason::kFinishReason);
}

TEST(CacheControls, ReadsTheHeader) {
  const auto parse = [](std::string_view header) {
    auto controls = ParseControls(header, nullptr);
    EXPECT_TRUE(controls.has_value()) << header;
    return controls.value_or(CacheControls{});
  };
  EXPECT_FALSE(parse("").no_cache);
  EXPECT_TRUE(parse("no-cache").no_cache);
  EXPECT_TRUE(parse("No-Cache , NO-STORE").no_store);
  EXPECT_TRUE(parse("only-if-cached").only_if_cached);
  EXPECT_EQ(parse("max-age=60").max_age_s, 60);
  EXPECT_EQ(parse("max-age=\"60\"").max_age_s, 60);
  EXPECT_EQ(parse("max-age=60, max-age=5").max_age_s, 5);
  EXPECT_EQ(parse("max-age=0").max_age_s, 0);
  EXPECT_EQ(parse("max-age=99999999999999999999999").max_age_s, int64_t{1} << 31);
  EXPECT_EQ(parse("MAX-AGE = 7").max_age_s, 7);
  // Unknown directives are ignored, even with commas in quotes.
  const CacheControls unknown =
      parse("max-stale=\"no-store,no-cache\", no-transform, min-fresh=3,,");
  EXPECT_FALSE(unknown.no_store || unknown.no_cache || unknown.max_age_s);
}

TEST(CacheControls, ReadsTheBodyAndTheStricterWins) {
  const json body = json::parse(
      R"({"ttl": 30.0, "s-maxage": 90, "no-cache": true, "namespace": "n", "mode": "exact"})");
  const auto controls = ParseControls("max-age=100, no-store", &body);
  ASSERT_TRUE(controls.has_value());
  EXPECT_EQ(controls->ttl_s, 30);
  EXPECT_EQ(controls->max_age_s, 90);
  EXPECT_TRUE(controls->no_cache && controls->no_store);
  EXPECT_FALSE(controls->mode_off);
  EXPECT_EQ(controls->name_space, "n");
  const json off = json::parse(R"({"mode": "off", "ttl": null, "no-cache": false})");
  const auto more = ParseControls("no-cache", &off);
  ASSERT_TRUE(more.has_value());
  EXPECT_TRUE(more->mode_off && more->no_cache);
  EXPECT_EQ(more->ttl_s, std::nullopt);
}

TEST(CacheControls, TheModeChoosesTheTiersAndElseTheServerDoes) {
  const auto planned = [](const char* body, bool setting) {
    const json controls = json::parse(body);
    return MakePlan({.cache_normalised = setting}, {.prompt_bytes = 10},
                    *ParseControls("", &controls), "{}")
        ->normalised;
  };
  for (const bool setting : {false, true}) {
    EXPECT_EQ(planned("{}", setting), setting);
    EXPECT_TRUE(planned(R"({"mode": "normalised"})", setting));
    EXPECT_FALSE(planned(R"({"mode": "exact"})", setting));
  }
}

TEST(CacheControls, MalformedOnesAreErrorsThatNameThem) {
  for (const char* header : {"max-age", "max-age=", "max-age=-1", "max-age=1.5", "max-age=soon",
                             "max-age=\"\"", "no-cache, max-age=1 2"}) {
    const auto controls = ParseControls(header, nullptr);
    ASSERT_FALSE(controls.has_value()) << header;
    EXPECT_EQ(controls.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(controls.error().param, "Cache-Control");
  }
  struct Row {
    const char* body;
    const char* param;
    ErrorCode code = ErrorCode::kInvalidArgument;
  };
  const Row rows[] = {
      {R"([])", "cache"},
      {R"("no-store")", "cache"},
      {R"(true)", "cache"},
      {R"({"ttl": -1})", "cache.ttl"},
      {R"({"ttl": 1.5})", "cache.ttl"},
      {R"({"ttl": "60"})", "cache.ttl"},
      {R"({"ttl": true})", "cache.ttl"},
      {R"({"s-maxage": []})", "cache.s-maxage"},
      {R"({"no-cache": 1})", "cache.no-cache"},
      {R"({"no-store": "yes"})", "cache.no-store"},
      {R"({"namespace": 3})", "cache.namespace"},
      {R"({"mode": "fast"})", "cache.mode"},
      {R"({"mode": 1})", "cache.mode"},
      {R"({"no_store": true})", "cache"},
      {R"({"mode": "draft"})", "cache.mode", ErrorCode::kUnimplemented},
      {R"({"threshold": 1.01})", "cache.threshold"},
      {R"({"threshold": -0.1})", "cache.threshold"},
      {R"({"threshold": "0.9"})", "cache.threshold"},
      {R"({"threshold": true})", "cache.threshold"},
  };
  for (const Row& row : rows) {
    const json body = json::parse(row.body);
    const auto controls = ParseControls("", &body);
    ASSERT_FALSE(controls.has_value()) << row.body;
    EXPECT_EQ(controls.error().code, row.code) << row.body;
    EXPECT_EQ(controls.error().param, row.param) << row.body;
    EXPECT_FALSE(controls.error().message.empty());
  }
  for (const auto& [mode, came] :
       {std::pair{json("fast"), "\"fast\""}, {json(1), "number"}, {json::array(), "array"}}) {
    const json body = {{"mode", mode}};
    EXPECT_EQ(
        ParseControls("", &body).error().message,
        std::string("'cache.mode' must be \"exact\", \"normalised\", \"shadow\", \"serve\" or "
                    "\"off\"; got ") +
            came + ".");
  }
  const json huge = {{"namespace", std::string(257, 'n')}};
  EXPECT_FALSE(ParseControls("", &huge).has_value());
}

}  // namespace
}  // namespace nextgate::cache
