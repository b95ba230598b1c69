// The admin API over a real socket, in front of a ChatPipeline whose engine the test decides.
#include <gmock/gmock.h>

#include <map>
#include <random>
#include <set>
#include <sstream>

#include "gateway/admin/cli.h"
#include "gateway/admin/config.h"
#include "gateway/admin/routes.h"
#include "gateway/flags.h"
#include "tests/gateway/admin/admin_context_fixture.h"
#include "tests/gateway/raw_client.h"

namespace nextgate::gateway::admin {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class AdminApiTest : public AdminContextTest {
 protected:
  AdminApiTest() {
    RegisterAdminApi(server_, context_);
    EXPECT_TRUE(server_.Start());
  }

  std::string Send(const std::string& method, const std::string& target,
                   const std::string& body = "", const std::string& headers = "") {
    RawClient client(server_.port());
    client.Send(method + " " + target + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" +
                headers + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    return client.ReadToEnd();
  }
  static json BodyOf(const std::string& reply) {
    return json::parse(reply.substr(reply.find("\r\n\r\n") + 4), nullptr, false);
  }
  json Get(const std::string& target) {
    const std::string reply = Send("GET", target);
    EXPECT_THAT(reply, StartsWith("HTTP/1.1 200")) << reply;
    return BodyOf(reply);
  }
  void AskAndStore(const std::string& question, json more = json::object()) {
    more["messages"] = json::array({{{"role", "user"}, {"content", question}}});
    more["model"] = "m";
    ServerReply reply = Ask(more);
    Sent(reply);
  }
  json ExplainThat(json question) {
    return BodyOf(Send("POST", "/admin/cache/explain", question.dump()));
  }

  HttpServer server_{{}};
};

TEST_F(AdminApiTest, StatsCountEveryRequestInOneClassInEveryGrouping) {
  AskAndStore("harbour?");
  AskAndStore("harbour?");
  AskAndStore("rope?", {{"cache", {{"namespace", "n"}}}});
  AskAndStore("rope?", {{"cache", {{"no-store", true}}}});
  for (const char* window : {"1m", "5m", "1h", "24h", "total"}) {
    const json stats = Get(std::string("/admin/cache/stats?window=") + window);
    EXPECT_EQ(stats["requests"], 4) << window;
    EXPECT_EQ(stats["hits"]["exact"], 1);
    EXPECT_EQ(stats["misses"], 2);
    EXPECT_EQ(stats["bypass"], (json{{"no_store", 1}}));
    EXPECT_DOUBLE_EQ(stats["hit_rate"], 1.0 / 3);
    EXPECT_DOUBLE_EQ(stats["hit_rate_of_requests"], 0.25);
    EXPECT_EQ(stats["latency_ms"]["stored"]["count"], 1);
    EXPECT_EQ(stats["latency_ms"]["generated"]["count"], 3);
    EXPECT_GE(stats["latency_ms"]["generated"]["p95"], stats["latency_ms"]["generated"]["p50"]);
  }
  for (const char* group_by : {"model", "route", "tier", "scope"}) {
    const json stats = Get(std::string("/admin/cache/stats?group_by=") + group_by);
    int64_t sum = 0;
    for (const json& group : stats["groups"]) sum += group["requests"].get<int64_t>();
    EXPECT_EQ(sum, 4) << group_by;
  }
  for (const char* window : {"1m", "5m", "1h", "24h", "total"}) {
    const json steps =
        Get(std::string("/admin/cache/stats?group_by=time&window=") + window)["groups"];
    ASSERT_GE(steps.size(), 7u);
    EXPECT_THAT(steps[0]["group"].get<std::string>(),
                ::testing::MatchesRegex("20[0-9-]+T[0-9:]+Z"));
    std::map<std::string, int64_t> sum;
    for (size_t i = 0; i < steps.size(); ++i) {
      if (i > 0) {
        EXPECT_LT(steps[i - 1]["begins_unix_s"], steps[i]["begins_unix_s"]);
      }
      for (const char* name : {"requests", "hits_total", "misses", "bypasses_total"})
        sum[name] += steps[i][name].get<int64_t>();
    }
    EXPECT_EQ(sum, (std::map<std::string, int64_t>{
                       {"requests", 4}, {"hits_total", 1}, {"misses", 2}, {"bypasses_total", 1}}))
        << window;
  }
  std::vector<std::string> tiers;
  const json by_tier = Get("/admin/cache/stats?group_by=tier");
  for (const json& group : by_tier["groups"]) tiers.push_back(group["group"]);
  EXPECT_THAT(tiers, ::testing::ElementsAre("exact", "normalised", "coalesced", "semantic", "miss",
                                            "bypass"))
      << "those that are not built have no row";
  const json scopes = Get("/admin/cache/stats?group_by=scope")["groups"];
  ASSERT_EQ(scopes.size(), 2u);
  EXPECT_EQ(scopes[1]["group"], "n");
  EXPECT_EQ(scopes[1]["misses"], 1);
}

TEST_F(AdminApiTest, ARequestIsListedWhileItIsAnsweredAndNoLonger) {
  EXPECT_EQ(Get("/admin/requests"), (json{{"live_requests", 0}, {"requests", json::array()}}));
  const std::string question = "a secret question";
  ServerReply reply = Ask({{"stream", true},
                           {"model", "m"},
                           {"messages", json::array({{{"role", "user"}, {"content", question}}})}});
  const std::string raw = Send("GET", "/admin/requests");
  EXPECT_THAT(raw, Not(HasSubstr("secret")));
  const json live = BodyOf(raw);
  EXPECT_EQ(live["live_requests"], 1);
  EXPECT_EQ(Get("/admin/cache/stats")["live_requests"], 1);
  EXPECT_EQ(live["requests"][0]["phase"], "generate");
  EXPECT_EQ(live["requests"][0]["model"], "m");
  EXPECT_EQ(live["requests"][0]["stream"], true);
  Client client;
  reply.stream(client);
  EXPECT_GT(Get("/admin/requests")["requests"][0]["tokens"], 0);
  Sent(reply);
  reply = {};
  EXPECT_EQ(Get("/admin/requests")["live_requests"], 0);

  ServerReply again = Ask({{"stream", true},
                           {"model", "m"},
                           {"messages", json::array({{{"role", "user"}, {"content", question}}})}});
  EXPECT_EQ(Get("/admin/requests")["requests"][0]["phase"], "replay");
}

TEST(LiveRequestsTest, TheOldestComeFirstAndAsManyAsAreAskedFor) {
  LiveRequests live;
  auto first = live.Enter({.id = "1"}), second = live.Enter({.id = "2"}),
       third = live.Enter({.id = "3"});
  second.reset();
  third->SetTokens(5);
  EXPECT_EQ(live.size(), 2);
  ASSERT_EQ(live.Oldest(10).size(), 2u);
  EXPECT_EQ(live.Oldest(10)[1].id, "3");
  EXPECT_EQ(live.Oldest(10)[1].tokens, 5);
  ASSERT_EQ(live.Oldest(1).size(), 1u);
  EXPECT_EQ(live.Oldest(1)[0].id, "1");
}

TEST_F(AdminApiTest, EntriesAreListedWithoutAndShownWithWhatWasSaid) {
  AskAndStore("a secret question");
  AskAndStore("a secret question");
  AskAndStore("rope?", {{"cache", {{"namespace", "n"}}}});
  const std::string raw = Send("GET", "/admin/cache/entries?order=hits");
  EXPECT_THAT(raw, Not(HasSubstr("secret")));
  EXPECT_THAT(raw, Not(HasSubstr("ships")));
  const json entries = BodyOf(raw)["entries"];
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0]["hits"], 1);
  EXPECT_EQ(entries[0]["route"], "/v1/chat/completions");
  EXPECT_EQ(entries[1]["scope"]["namespace"], "n");
  EXPECT_NE(entries[0]["scope"]["id"], entries[1]["scope"]["id"]);
  EXPECT_EQ(Get("/admin/cache/entries?namespace=n")["entries"].size(), 1u);
  EXPECT_EQ(Get("/admin/cache/entries?min_hits=1")["entries"].size(), 1u);
  EXPECT_EQ(Get("/admin/cache/entries?older_than=3600")["entries"].size(), 0u);

  const std::string id = entries[0]["id"];
  const json entry = Get("/admin/cache/entries/" + id);
  EXPECT_EQ(entry["request"]["messages"][0]["content"], "a secret question");
  EXPECT_EQ(entry["choices"][0]["text"], "A place for ships.");
  EXPECT_EQ(entry["where"], (json{{"memory", true}, {"redis", nullptr}}));

  EXPECT_THAT(Send("DELETE", "/admin/cache/entries/" + id), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Send("DELETE", "/admin/cache/entries/" + id), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(Send("GET", "/admin/cache/entries/" + id), StartsWith("HTTP/1.1 404"));
  EXPECT_EQ(Get("/admin/cache/entries")["entries"].size(), 1u);
}

TEST_F(AdminApiTest, LookingDoesNotMakeAnEntryTheMostRecentlyUsed) {
  AskAndStore("harbour?");
  const cache::StoreStats before = store_.stats();
  const std::string id = Get("/admin/cache/entries")["entries"][0]["id"];
  Get("/admin/cache/entries/" + id);
  EXPECT_EQ(Get("/admin/cache/entries/" + id)["hits"], 0);
  EXPECT_EQ(store_.stats().insertions, before.insertions);
}

TEST_F(AdminApiTest, ExplainSaysWhatRunWouldDoAndChangesNothing) {
  const json request = {{"model", "m"},
                        {"temperature", 0},
                        {"messages", json::array({{{"role", "user"}, {"content", "harbour?"}}})}};
  const json question = {{"endpoint", "/v1/chat/completions"}, {"request", request}};
  json explained = ExplainThat(question);
  EXPECT_EQ(explained["outcome"], "MISS");
  EXPECT_EQ(explained["would_generate"], true);
  EXPECT_EQ(explained["reasons"], json::array());
  EXPECT_EQ(stats_.Snapshot().Requests(), 0) << "asking is not counted";
  EXPECT_TRUE(engine_.Requests().empty());

  AskAndStore("harbour?");
  explained = ExplainThat(question);
  EXPECT_EQ(explained["outcome"], "HIT");
  EXPECT_EQ(explained["tiers"][0]["verdict"], "hit");
  EXPECT_EQ(explained["tiers"][0]["where"], "memory");
  EXPECT_EQ(explained["canonical_request"]["messages"], request["messages"]);
  EXPECT_EQ(explained["key"]["id"], explained["tiers"][0]["entry"]["id"]);

  json refreshing = question;
  refreshing["headers"] = {{"cache-control", "no-cache"}};
  refreshing["request"]["temperature"] = 0.7;
  explained = ExplainThat(refreshing);
  EXPECT_EQ(explained["outcome"], "BYPASS");
  EXPECT_EQ(explained["reasons"], (json{"sampled", "no_cache"}));
  std::set<std::string> failing;
  for (const json& rule : explained["rules"])
    if (rule["verdict"] == "bypass") failing.insert(rule["rule"]);
  EXPECT_EQ(failing, (std::set<std::string>{"sampled", "no_cache"}));
  for (const json& tier : explained["tiers"])
    EXPECT_TRUE(tier["verdict"] == "not_asked" || tier["verdict"] == "disabled");

  json other_scope = question;
  other_scope["request"]["cache"] = {{"namespace", "n"}};
  EXPECT_EQ(ExplainThat(other_scope)["outcome"], "MISS") << "another scope's answer is not seen";
}

// Random requests of three scopes against a model of who may see what.
TEST_F(AdminApiTest, NoScopeSeesAnothersAnswersThroughExplainOrListings) {
  std::mt19937 random(std::random_device{}());
  const std::string scopes[] = {"", "a", "{}\n\"a"};
  std::map<std::string, std::set<std::string>> asked;
  for (int i = 0; i < 300; ++i) {
    const std::string& scope = scopes[random() % 3];
    const std::string word = "word " + std::to_string(random() % 20);
    json request = {{"model", "m"},
                    {"temperature", 0},
                    {"messages", json::array({{{"role", "user"}, {"content", word}}})}};
    if (!scope.empty()) request["cache"] = {{"namespace", scope}};
    const json explained =
        ExplainThat({{"endpoint", "/v1/chat/completions"}, {"request", request}});
    EXPECT_EQ(explained["outcome"], asked[scope].contains(word) ? "HIT" : "MISS");
    if (random() % 4 != 0) continue;
    ServerReply reply = Ask(request);
    EXPECT_EQ(Header(reply, "X-Cache"), explained["outcome"].get<std::string>());
    Sent(reply);
    asked[scope].insert(word);
  }
  EXPECT_EQ(Get("/admin/cache/entries?namespace=a&limit=1000")["entries"].size(),
            asked["a"].size());
  std::set<std::string> ids;
  const json listing = Get("/admin/cache/entries?limit=1000");
  for (const json& entry : listing["entries"])
    ids.insert(entry["scope"]["id"].get<std::string>() + entry["scope"]["namespace"].dump());
  EXPECT_EQ(ids.size(), 3u) << "a scope has one id";
}

TEST_F(AdminApiTest, AnExportIsImportedExactlyAndDamageIsNamedByLine) {
  AskAndStore("harbour?");
  AskAndStore("rope?", {{"n", 2}, {"logprobs", true}, {"top_logprobs", 1}});
  const auto lines_of = [&] {
    const std::string reply = Send("GET", "/admin/cache/export");
    const AdminClient client =
        *AdminClient::Open("http://127.0.0.1:" + std::to_string(server_.port()), "");
    std::string text;
    EXPECT_TRUE(client.Stream("/admin/cache/export", [&](std::string_view piece) {
      text += piece;
      return true;
    }));
    return text;
  };
  const auto sorted = [](const std::string& text) {
    std::multiset<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) lines.insert(line);
    return lines;
  };
  const std::string exported = lines_of();
  EXPECT_THAT(exported, StartsWith("{\"nextgate_export\":1}\n"));
  EXPECT_THAT(exported, HasSubstr("{\"nextgate_export_end\":{\"entries\":2,\"complete\":true}}\n"));

  json report = BodyOf(Send("POST", "/admin/cache/import", exported));
  EXPECT_EQ(report["kept_newer"], 2);
  store_.Clear();
  report = BodyOf(Send("POST", "/admin/cache/import", exported));
  EXPECT_EQ(report["imported"], 2);
  EXPECT_EQ(report["end_of_export"], "complete");
  EXPECT_EQ(sorted(lines_of()), sorted(exported));
  ServerReply reply = Ask({{"model", "m"}});
  EXPECT_EQ(Header(reply, "X-Cache"), "HIT");
  Sent(reply);

  // Another scope's label on the same material, or a scope's material of another secret.
  std::string forged = exported;
  forged.replace(forged.find("\"namespace\":\"\""), 14, "\"namespace\":\"x\"");
  store_.Clear();
  report = BodyOf(Send("POST", "/admin/cache/import", "nonsense\n" + forged));
  EXPECT_EQ(report["imported"], 1);
  EXPECT_EQ(report["rejected"], 2);
  EXPECT_EQ(report["errors"][0]["line"], 1);
  EXPECT_THAT(report["errors"][1]["message"].get<std::string>(), HasSubstr("secret"));
}

// Who shows such an entry would go through it level by level, and the thread's stack with him.
TEST_F(AdminApiTest, AnImportedRequestIsNestedModestly) {
  const std::string partition = partitioner_.Partition({}, "fa4e");
  const auto import = [&](const std::string& canonical) {
    const json line = {
        {"material", partition + "\n" + canonical},
        {"created_unix_ms", 0},
        {"expires_unix_ms", int64_t{1} << 52},
        {"hits", 0},
        {"origin",
         {{"model", "m"},
          {"route", ""},
          {"tenant", ""},
          {"team", ""},
          {"user", ""},
          {"namespace", ""}}},
        {"usage", {{"prompt_tokens", 1}, {"completion_tokens", 1}, {"cached_tokens", 0}}},
        {"extras", ""},
        {"choices", json::array()},
        {"deltas", json::array()}};
    return BodyOf(Send("POST", "/admin/cache/import", line.dump()));
  };
  EXPECT_EQ(import("{\"messages\":[]}")["imported"], 1);
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  for (const std::string& canonical : {"{\"messages\":" + deep + "}", std::string("{")}) {
    const json report = import(canonical);
    EXPECT_EQ(report["rejected"], 1);
    EXPECT_THAT(report["errors"][0]["message"].get<std::string>(), HasSubstr("not of a request"));
  }
  const json listed = Get("/admin/cache/entries");
  ASSERT_EQ(listed["entries"].size(), 1u);
  for (const json& entry : listed["entries"])
    Get("/admin/cache/entries/" + entry["id"].get<std::string>());
}

TEST_F(AdminApiTest, WrongParametersAreNamed) {
  const std::pair<const char*, const char*> wrong[] = {
      {"/admin/cache/stats?window=2m", "window: expected one of 1m, 5m, 1h, 24h, total"},
      {"/admin/cache/stats?windw=1m", "unknown query parameter"},
      {"/admin/cache/stats?scope=cluster", "there is no cluster without --cache-url"},
      {"/admin/cache/stats?window=1m&window=5m", "given twice"},
      {"/admin/cache/entries?limit=0", "limit: expected a whole number from 1 to 1000"},
      {"/admin/cache/entries?model=", "model: expected 1 to 256 characters"},
      {"/admin/cache/entries?model=%FF", "characters of UTF-8"},
      {"/admin/cache/entries?cursor=x", "cursor: expected"},
      {"/admin/cache/entries?id_prefix=XY", "id_prefix: expected"},
      {"/admin/cache/entries/12", "id: expected 32"},
      {"/admin/cache/stats?group_by=day",
       "group_by: expected one of model, route, tier, scope, time"},
      {"/admin/requests?limit=0", "limit: expected a whole number from 1 to 1000"},
      {"/admin/config?x=1", "no query parameters"}};
  for (const auto& [target, message] : wrong) {
    const std::string reply = Send("GET", target);
    EXPECT_THAT(reply, StartsWith("HTTP/1.1 400")) << target;
    EXPECT_THAT(BodyOf(reply)["error"]["message"].get<std::string>(), HasSubstr(message));
    EXPECT_FALSE(BodyOf(reply)["error"]["param"].is_null()) << target;
  }
  const std::pair<const char*, const char*> bodies[] = {
      {"[]", "JSON object"},
      {R"({"request": {}})", "endpoint: expected"},
      {R"({"endpoint": "/v1/completions"})", "request: expected"},
      {R"({"endpoint": "/v1/completions", "request": {"prompt": "x"}, "more": 1})",
       "unknown field"},
      {R"({"endpoint": "/v1/completions", "request": {}})", "prompt: missing"},
      {R"({"endpoint": "/v1/completions", "request": {"prompt": "x"}, "headers": {"a": 1}})",
       "object of strings"}};
  for (const auto& [body, message] : bodies) {
    const std::string reply = Send("POST", "/admin/cache/explain", body);
    EXPECT_THAT(reply, StartsWith("HTTP/1.1 400")) << body;
    EXPECT_THAT(BodyOf(reply)["error"]["message"].get<std::string>(), HasSubstr(message)) << body;
  }
}

TEST_F(AdminApiTest, AWebPageOfAnotherOriginChangesNothing) {
  AskAndStore("harbour?");
  const std::string id = Get("/admin/cache/entries")["entries"][0]["id"];
  EXPECT_THAT(Send("DELETE", "/admin/cache/entries/" + id, "", "Origin: https://evil.example\r\n"),
              StartsWith("HTTP/1.1 403"));
  EXPECT_EQ(Get("/admin/cache/entries")["entries"].size(), 1u);
}

TEST_F(AdminApiTest, ConfigHasEveryFlagThatHasAnEffectAndNoSecret) {
  options_.api_keys = {"hunter2-hunter2"};
  options_.cache_secret = options_.cache_password = options_.upstream_api_key = "hunter2-hunter2";
  options_.embedding_api_key = "hunter2-hunter2";
  options_.admin_api_keys = "read:hunter2-hunter2";
  const std::string reply = Send("GET", "/admin/config");
  EXPECT_THAT(reply, Not(HasSubstr("hunter2")));
  const json flags = BodyOf(reply)["flags"];
  EXPECT_EQ(flags["api-key"], "1 set");
  for (const Flag& flag : ServeFlags()) {
    if (flag.support == FlagSupport::kImplemented) {
      EXPECT_TRUE(flags.contains(std::string(flag.name))) << flag.name;
    }
  }
}

TEST_F(AdminApiTest, AnInvalidationIsCountedFirstThenInForce) {
  AskAndStore("Define harbour.");
  AskAndStore("Define rope.", {{"cache", {{"namespace", "n"}}}});
  const auto invalidate = [&](const json& asked) {
    return Send("POST", "/admin/cache/invalidate", asked.dump());
  };
  const json dry = BodyOf(invalidate({{"prompt_prefix", "Define h"}, {"dry_run", true}}));
  EXPECT_EQ(dry, (json{{"dry_run", true},
                       {"id", nullptr},
                       {"shared", nullptr},
                       {"memory", 1},
                       {"redis", nullptr}}));
  AskAndStore("Define harbour.");
  EXPECT_EQ(Get("/admin/cache/stats")["hits"]["exact"], 1);
  const json done = BodyOf(invalidate({{"prompt_prefix", "Define h"}}));
  EXPECT_EQ(done["memory"], 1);
  AskAndStore("Define harbour.");
  AskAndStore("Define rope.", {{"cache", {{"namespace", "n"}}}});
  EXPECT_EQ(Get("/admin/cache/stats")["hits"]["exact"], 2);
  EXPECT_EQ(Get("/admin/cache/stats")["misses"], 3);
  const std::string listed = Send("GET", "/admin/cache/invalidations");
  EXPECT_THAT(listed, Not(HasSubstr("Define")));
  const json record = BodyOf(listed)["invalidations"][0];
  EXPECT_EQ(record["id"], done["id"]);
  EXPECT_EQ(record["parts"], (json{{"prompt_prefix", true}}));
}

TEST_F(AdminApiTest, AnInvalidationThatIsNotUnderstoodInvalidatesNothing) {
  AskAndStore("Define harbour.");
  for (const json& wrong :
       {json::object(), json{{"all", false}}, json{{"dry_run", true}}, json{{"modle", "m"}},
        json{{"model", nullptr}}, json{{"all", true}, {"model", nullptr}}, json{{"model", ""}},
        json{{"model", 7}}, json{{"id", "xyz"}}, json{{"older_than", -1}},
        json{{"older_than", "1"}}, json{{"prompt_prefix", std::string(4097, 'x')}},
        json::array({"all"})})
    EXPECT_THAT(Send("POST", "/admin/cache/invalidate", wrong.dump()), StartsWith("HTTP/1.1 400"))
        << wrong;
  EXPECT_EQ(
      BodyOf(Send("POST", "/admin/cache/invalidate", R"({"all":true,"dry_run":true})"))["memory"],
      1);
  EXPECT_TRUE(Get("/admin/cache/invalidations")["invalidations"].empty());
}

TEST_F(AdminApiTest, TheDescriptionNamesEveryRoute) {
  const json paths = Get("/admin/openapi.json")["paths"];
  EXPECT_EQ(paths.size(), 20u);
  for (const auto& [path, operations] : paths.items())
    for (const auto& [method, operation] : operations.items()) {
      std::string target = path;
      if (const size_t at = target.find("{id}"); at != std::string::npos)
        target.replace(at, 4, std::string(32, '0'));
      std::string upper = method;
      for (char& c : upper) c = static_cast<char>(std::toupper(c));
      EXPECT_THAT(Send(upper, target), Not(HasSubstr("HTTP/1.1 405"))) << method << path;
      EXPECT_THAT(Send(upper, target), Not(HasSubstr("there is no /"))) << method << path;
    }
}

}  // namespace
}  // namespace nextgate::gateway::admin
