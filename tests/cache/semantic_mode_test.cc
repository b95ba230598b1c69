// Which semantic mode a request has: the server's, its route's, its key's, its own.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cache/policy.h"

namespace nextgate::cache {
namespace {

using nlohmann::json;
using enum SemanticMode;

constexpr const char* kRoute = "/v1/chat/completions";

// Of a server with an embedder.
PolicySettings Server(SemanticMode mode = kShadow) {
  return {.has_embedder = true, .semantic = mode};
}

Result<CachePlan> PlanOf(const PolicySettings& settings, const json& body = nullptr) {
  const auto controls = ParseControls("", &body);
  if (!controls) return std::unexpected(controls.error());
  const RequestFacts facts = {.route = kRoute, .prompt_bytes = 8, .last_user_text = "harbour?"};
  return MakePlan(settings, facts, *controls, std::string("{}"));
}

SemanticMode ModeOf(const PolicySettings& settings, const json& body = nullptr) {
  const auto plan = PlanOf(settings, body);
  EXPECT_TRUE(plan) << plan.error().message;
  return plan ? plan->semantic : kOff;
}

TEST(SemanticModes, AKeysGoesBeforeTheRoutesAndThatBeforeTheServers) {
  for (const SemanticMode server : {kOff, kShadow, kServe}) {
    PolicySettings settings = Server(server);
    EXPECT_EQ(ModeOf(settings), server);
    settings.semantic_by_route = {{"/v1/completions", kServe}};
    EXPECT_EQ(ModeOf(settings), server) << "another route's";
    for (const SemanticMode route : {kOff, kShadow, kServe}) {
      settings.semantic_of_key.reset();
      settings.semantic_by_route = {{kRoute, route}};
      EXPECT_EQ(ModeOf(settings), route);
      for (const SemanticMode key : {kOff, kShadow, kServe}) {
        settings.semantic_of_key = key;
        EXPECT_EQ(ModeOf(settings), key);
      }
    }
  }
}

TEST(SemanticModes, LessIsEverybodysRightAndMoreNeedsOne) {
  struct Row {
    const char* asked;
    SemanticMode mode;
  };
  const Row rows[] = {
      {"exact", kOff}, {"normalised", kOff}, {"shadow", kShadow}, {"serve", kServe}};
  for (const SemanticMode own : {kOff, kShadow, kServe}) {
    for (const Row& row : rows) {
      SCOPED_TRACE(std::string(SemanticModeName(own)) + ", asked for " + row.asked);
      for (const bool by_key : {false, true}) {
        PolicySettings settings = Server(by_key ? kOff : own);
        if (by_key) settings.semantic_of_key = own;
        const json body = {{"mode", row.asked}};
        EXPECT_EQ(ModeOf(settings, body), row.mode);
        settings.may_set_semantic = false;
        const auto plan = PlanOf(settings, body);
        ASSERT_EQ(plan.has_value(), row.mode <= own);
        if (plan) {
          EXPECT_EQ(plan->semantic, row.mode);
          continue;
        }
        EXPECT_EQ(plan.error().code, ErrorCode::kPermissionDenied);
        EXPECT_EQ(plan.error().param, "cache.mode");
        EXPECT_NE(plan.error().message.find(row.asked), std::string::npos);
      }
    }
  }
}

TEST(SemanticModes, WithoutAnEmbedderThereIsNone) {
  PolicySettings settings = {
      .semantic = kServe, .semantic_by_route = {{kRoute, kServe}}, .semantic_of_key = kServe};
  EXPECT_EQ(ModeOf(settings), kOff);
  EXPECT_EQ(ModeOf(settings, {{"mode", "exact"}}), kOff);
  for (const char* mode : {"shadow", "serve"}) {
    const auto plan = PlanOf(settings, {{"mode", mode}});
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().code, ErrorCode::kUnimplemented);
    EXPECT_EQ(plan.error().param, "cache.mode");
    EXPECT_NE(plan.error().message.find("--embedding-model"), std::string::npos);
  }
}

TEST(SemanticModes, AThresholdIsEverybodysRight) {
  PolicySettings settings = Server(kServe);
  settings.may_set_semantic = false;
  EXPECT_EQ(PlanOf(settings)->threshold, std::nullopt);
  for (const float threshold : {0.0F, 0.75F, 1.0F})
    EXPECT_EQ(PlanOf(settings, {{"threshold", threshold}})->threshold, threshold);
}

TEST(SemanticModes, AModeSaysWhatTheNormalisedTierDoesOnlyWhereItNamesIt) {
  for (const bool server : {false, true}) {
    PolicySettings settings = Server();
    settings.cache_normalised = server;
    EXPECT_EQ(PlanOf(settings, {{"mode", "shadow"}})->normalised, server);
    EXPECT_EQ(PlanOf(settings, {{"mode", "serve"}})->normalised, server);
    EXPECT_TRUE(PlanOf(settings, {{"mode", "normalised"}})->normalised);
    EXPECT_FALSE(PlanOf(settings, {{"mode", "exact"}})->normalised);
  }
}

}  // namespace
}  // namespace nextgate::cache
