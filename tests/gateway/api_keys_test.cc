#include "gateway/api_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/sha256.h"
#include "cache/hmac.h"
#include "gateway/auth.h"

namespace nextgate::gateway {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string DigestOf(const std::string& key) { return cache::Hex(Sha256(key)); }

std::string Line(const std::string& key, json members = json::object()) {
  members["key_sha256"] = DigestOf(key);
  return members.dump() + "\n";
}

std::string ErrorOf(const std::string& text) {
  const auto keys = ApiKeys::Parse(text);
  return keys ? "no error" : keys.error().message;
}

TEST(ApiKeys, ALineSaysEverythingAboutAKey) {
  const auto keys = ApiKeys::Parse(
      "# keys\n\n" +
      Line("k1", {{"label", "web"},
                  {"tenant", "acme {1}\n"},
                  {"team", "search"},
                  {"user", "u"},
                  {"models", {"a", "b"}},
                  {"cache", {"read", "namespace"}},
                  {"semantic", "serve"},
                  {"rpm", 60},
                  {"tpm", 1000},
                  {"concurrency", 2},
                  {"expires", "2027-01-31T10:20:30Z"}}) +
      "  " + Line("k2", {{"cache", json::array()}, {"expires", 1'800'000'000}}) + Line("k3"));
  ASSERT_TRUE(keys) << keys.error().message;
  EXPECT_EQ(keys->size(), 3u);
  const PrincipalPtr one = keys->Find(Sha256("k1"));
  ASSERT_NE(one, nullptr);
  EXPECT_EQ(one->label, "web");
  EXPECT_EQ(one->id, DigestOf("k1").substr(0, 32));
  EXPECT_EQ(one->scope.tenant, "acme {1}\n");
  EXPECT_EQ(one->scope.team, "search");
  EXPECT_EQ(one->scope.user, "u");
  EXPECT_THAT(one->models, ElementsAre("a", "b"));
  EXPECT_EQ(one->cache, (CacheRights{.read = true,
                                     .write = false,
                                     .ttl = false,
                                     .name_space = true,
                                     .refresh = false,
                                     .semantic = false}));
  EXPECT_EQ(one->semantic, cache::SemanticMode::kServe);
  EXPECT_EQ(one->limits, (KeyLimits{.rpm = 60, .tpm = 1000, .concurrency = 2}));
  EXPECT_EQ(one->expires_unix_s, 1'801'390'830);
  const PrincipalPtr two = keys->Find(Sha256("k2"));
  EXPECT_EQ(two->label, "line-4");
  EXPECT_FALSE(two->cache.read || two->cache.write || two->cache.refresh);
  EXPECT_EQ(two->expires_unix_s, 1'800'000'000);
  EXPECT_EQ(keys->Find(Sha256("k3"))->cache, CacheRights());
  EXPECT_TRUE(CacheRights().semantic);
  EXPECT_EQ(keys->Find(Sha256("k3"))->semantic, std::nullopt)
      << "as the route or the server has it";
  EXPECT_EQ(keys->Find(Sha256("k4")), nullptr);
}

TEST(ApiKeys, ErrorsNameTheLineAndTheMemberAndNothingElse) {
  EXPECT_THAT(ErrorOf(""), HasSubstr("keys new-api"));
  EXPECT_THAT(ErrorOf("# none\n"), HasSubstr("keys new-api"));
  EXPECT_THAT(ErrorOf("\nsecret-text"), HasSubstr("line 2: expected a JSON object"));
  EXPECT_THAT(ErrorOf(Line("a") + Line("a")), HasSubstr("line 2: this key was given before"));
  EXPECT_THAT(ErrorOf(R"({"rpm": 5})"), HasSubstr("line 1: key_sha256"));
  EXPECT_THAT(ErrorOf(R"({"rpm": 5, "rpm": 50})"), HasSubstr("a member is given twice"));
  const std::pair<json, const char*> wrong[] = {{{{"rpm", 0}}, "rpm"},
                                                {{{"tpm", -1}}, "tpm"},
                                                {{{"concurrency", "2"}}, "concurrency"},
                                                {{{"tenant", std::string(129, 'x')}}, "tenant"},
                                                {{{"models", json::array()}}, "models"},
                                                {{{"cache", {"all"}}}, "cache"},
                                                {{{"semantic", "on"}}, "semantic: expected off"},
                                                {{{"semantic", true}}, "semantic"},
                                                {{{"label", "two words"}}, "label"},
                                                {{{"expires", "tomorrow"}}, "expires"},
                                                {{{"expires", "2027-02-29"}}, "expires"},
                                                {{{"rmp", 5}}, "unknown member"}};
  for (const auto& [members, name] : wrong) {
    const std::string error = ErrorOf(Line("a", members));
    EXPECT_THAT(error, HasSubstr("line 1: ")) << members;
    EXPECT_THAT(error, HasSubstr(name)) << members;
    EXPECT_THAT(error, Not(HasSubstr("tomorrow")));
    EXPECT_THAT(error, Not(HasSubstr(DigestOf("a"))));
  }
}

TEST(ApiKeys, ASemanticModeOfItsOwnIsOneOfThree) {
  for (const char* name : {"off", "shadow", "serve"}) {
    const auto keys =
        ApiKeys::Parse(Line("k", {{"semantic", name}, {"cache", {"read", "semantic"}}}));
    ASSERT_TRUE(keys) << keys.error().message;
    const PrincipalPtr found = keys->Find(Sha256("k"));
    EXPECT_EQ(found->semantic, cache::FindSemanticMode(name));
    EXPECT_TRUE(found->cache.semantic && !found->cache.write);
  }
}

TEST(ApiKeys, AFreshKeysLineIsTakenAndHoldsNotTheKey) {
  const Principal of{.label = "web",
                     .id = {},
                     .scope = {.tenant = "t", .team = {}, .user = {}, .name_space = {}},
                     .models = {"m"},
                     .cache = {.refresh = false},
                     .semantic = cache::SemanticMode::kShadow,
                     .limits = {.rpm = 5},
                     .expires_unix_s = {}};
  const NewApiKey made = MakeApiKey(of, "2030-01-01");
  EXPECT_THAT(made.line, Not(HasSubstr(made.key)));
  const auto keys = ApiKeys::Parse(made.line);
  ASSERT_TRUE(keys) << keys.error().message;
  const PrincipalPtr found = keys->Find(Sha256(made.key));
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->label, "web");
  EXPECT_EQ(found->scope, of.scope);
  EXPECT_EQ(found->cache, of.cache);
  EXPECT_EQ(found->semantic, of.semantic);
  EXPECT_EQ(found->limits, of.limits);
  EXPECT_EQ(found->expires_unix_s, 1'893'456'000);
  EXPECT_NE(MakeApiKey(of, "").key, made.key);
}

TEST(Auth, KnowsKeysOfTheLineAndOfTheFileUntilTheyExpire) {
  ManualClock clock(1'000'000'000'000);
  const auto file = [](const std::string& text) {
    return std::make_shared<const ApiKeys>(*ApiKeys::Parse(text));
  };
  Auth auth({"plain"}, file(Line("k1", {{"label", "web"}, {"expires", 1'000'000'001}})), clock);
  EXPECT_EQ(auth.Identify("Bearer plain").value()->id, "");
  EXPECT_EQ(auth.Identify("bearer k1").value()->label, "web");
  for (const char* header : {"", "Bearer ", "Bearer k2", "Basic k1", "k1"})
    EXPECT_EQ(auth.Identify(header).error().code, ErrorCode::kUnauthenticated) << header;
  clock.AdvanceMs(999);
  EXPECT_TRUE(auth.Identify("Bearer k1"));
  clock.AdvanceMs(1);
  EXPECT_THAT(auth.Identify("Bearer k1").error().message, HasSubstr("expired"));
  auth.Exchange(file(Line("k2")));
  EXPECT_TRUE(auth.Identify("Bearer k2"));
  EXPECT_EQ(auth.Identify("Bearer k1").error().message, "incorrect API key");
  EXPECT_TRUE(auth.Identify("Bearer plain"));
  EXPECT_TRUE(Auth({}).Identify(""));  // neither keys nor a file
  EXPECT_FALSE(Auth({}, file(Line("k2"))).Identify(""));
}

}  // namespace
}  // namespace nextgate::gateway
