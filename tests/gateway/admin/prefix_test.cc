// The prefix cache in the admin API, over a real socket, in front of an engine whose words the test decides.
#include <gmock/gmock.h>

#include "gateway/admin/routes.h"
#include "gateway/prefix_scope.h"
#include "tests/gateway/admin/admin_context_fixture.h"
#include "tests/gateway/raw_client.h"

namespace nextgate::gateway::admin {
namespace {

using engine::CheckpointKind;
using engine::PrefixExplanation;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class AdminPrefixTest : public AdminContextTest {
 protected:
  void Start() {
    RegisterAdminApi(server_, context_);
    ASSERT_TRUE(server_.Start());
  }
  std::string Send(const std::string& method, const std::string& target,
                   const std::string& body = "") {
    RawClient client(server_.port());
    client.Send(method + " " + target + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" +
                "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    return client.ReadToEnd();
  }
  static json BodyOf(const std::string& reply) {
    return json::parse(reply.substr(reply.find("\r\n\r\n") + 4), nullptr, false);
  }
  // What is said of a prompt of which the engine says this.
  json Explained(const PrefixExplanation& of) {
    engine_.explain = [&](const engine::GenerationRequest& request) {
      asked_.push_back(request);
      return of;
    };
    const json body = {{"endpoint", "/v1/completions"}, {"request", {{"prompt", {1, 2, 3}}}}};
    return BodyOf(Send("POST", "/admin/prefix/explain", body.dump()))["prompts"][0];
  }

  HttpServer server_{{}};
  std::vector<engine::GenerationRequest> asked_;
};

TEST_F(AdminPrefixTest, StatsAreTheEngines) {
  engine_.stats = {.kv_blocks_used = 2, .kv_blocks_total = 64};
  engine_.stats.prefix = {.lookups = 4,
                          .queried_tokens = 1000,
                          .matched_tokens = 400,
                          .resumed_tokens = 250,
                          .replayed_tokens = 100,
                          .lost_tokens = 50,
                          .block_tokens = 64,
                          .blocks_cached = 9,
                          .checkpoints_used = 3};
  Start();
  const json stats = BodyOf(Send("GET", "/admin/prefix/stats"));
  EXPECT_EQ(stats["enabled"], true);
  EXPECT_EQ(stats["lookups"], 4);
  EXPECT_EQ(stats["hit_rate"], 0.25);
  EXPECT_EQ(stats["tokens"], json::parse(R"({"queried": 1000, "matched": 400, "resumed": 250,
                                             "replayed": 100, "lost": 50, "computed": 750})"));
  EXPECT_EQ(stats["blocks"]["cached"], 9);
  EXPECT_EQ(stats["blocks"]["total"], 64);
  EXPECT_EQ(stats["checkpoints"]["used"], 3);
  engine_.stats = {};
  EXPECT_EQ(BodyOf(Send("GET", "/admin/prefix/stats"))["hit_rate"], nullptr);
}

TEST_F(AdminPrefixTest, EveryExplanationHasAReason) {
  Start();
  const auto verdict = [&](const PrefixExplanation& of) {
    return Explained(of)["verdict"].get<std::string>();
  };
  PrefixExplanation e{.prompt_tokens = 700, .resume_max = 640};
  EXPECT_EQ(verdict(e), "unknown");
  e.known_tokens = e.matched_tokens = 320;
  EXPECT_EQ(verdict(e), "lost");
  e.resumed_tokens = 256;
  e.checkpoints = {{192, CheckpointKind::kBorder, 0}, {256, CheckpointKind::kSpaced, 4}};
  e.leaves = {{320, CheckpointKind::kMissed}, {640, CheckpointKind::kEnd}};
  const json replayed = Explained(e);
  EXPECT_EQ(replayed, json::parse(R"({
    "verdict": "replayed",
    "why": "the last checkpoint is at 256; the 64 tokens from there to 320, where the known ones end, are computed again",
    "prompt_tokens": 700, "resume_limit": 640, "known_tokens": 320, "resumed_tokens": 256,
    "replayed_tokens": 64, "lost_tokens": 0, "computed_tokens": 444,
    "resumed_from": {"tokens": 256, "kind": "spaced", "hits": 4},
    "checkpoints": [{"tokens": 192, "kind": "border", "hits": 0},
                    {"tokens": 256, "kind": "spaced", "hits": 4}],
    "would_leave": [{"tokens": 320, "kind": "missed"}, {"tokens": 640, "kind": "end"}]})"));
  e.resumed_tokens = 320;
  EXPECT_EQ(verdict(e), "resumed");
  e = {.prompt_tokens = 128,
       .resume_max = 64,
       .known_tokens = 128,
       .matched_tokens = 64,
       .resumed_tokens = 64};
  EXPECT_EQ(verdict(e), "resumed");
  EXPECT_THAT(Explained(e)["why"].get<std::string>(), HasSubstr("after 64 have to be computed"));
  EXPECT_EQ(verdict({.prompt_tokens = 60}), "too_short");
  EXPECT_EQ(verdict({.prompt_tokens = 700, .limited = true, .known_tokens = 640}), "limited");
  options_.enable_prefix_caching = false;
  EXPECT_EQ(verdict({.prompt_tokens = 700, .resume_max = 640}), "disabled");
}

TEST_F(AdminPrefixTest, TheEngineIsAskedWhatTheRequestWouldAskIt) {
  Start();
  engine_.explain = [&](const engine::GenerationRequest& request) -> Result<PrefixExplanation> {
    asked_.push_back(request);
    return PrefixExplanation{.prompt_tokens = static_cast<int32_t>(request.prompt.size())};
  };
  json body = {{"endpoint", "/v1/chat/completions"},
               {"request",
                {{"cache_salt", "s"},
                 {"messages",
                  {{{"role", "system"}, {"content", "You define words."}},
                   {{"role", "user"}, {"content", "harbour?"}}}}}}};
  EXPECT_THAT(Send("POST", "/admin/prefix/explain", body.dump()), StartsWith("HTTP/1.1 200"));
  Ask(body["request"]);
  const engine::GenerationRequest generated = engine_.Requests().back();
  EXPECT_EQ(asked_.back().prompt, generated.prompt);
  EXPECT_EQ(asked_.back().message_borders, generated.message_borders);
  EXPECT_FALSE(generated.message_borders.empty());
  EXPECT_EQ(asked_.back().cache_salt, PrefixScope({}, "s"));

  body = {{"endpoint", "/v1/completions"},
          {"request", {{"prompt", {"a", "b"}}, {"echo", true}, {"logprobs", 2}}}};
  EXPECT_EQ(BodyOf(Send("POST", "/admin/prefix/explain", body.dump()))["prompts"].size(), 2u);
  EXPECT_EQ(asked_.back().num_prompt_logprobs, 2);

  engine_.explain = [&](const auto&) -> Result<PrefixExplanation> {
    return InvalidArgument("too long", "prompt");
  };
  const std::string refused = Send("POST", "/admin/prefix/explain", body.dump());
  EXPECT_THAT(refused, StartsWith("HTTP/1.1 400"));
  EXPECT_EQ(BodyOf(refused)["error"]["param"], "request.prompt");
  EXPECT_EQ(stats_.Snapshot().Requests(), 1) << "explaining counts nothing";
}

TEST_F(AdminPrefixTest, AResetSaysWhatItDropped) {
  Start();
  engine_.stats.prefix.blocks_cached = 2;
  engine_.reset = [] { return 7; };
  EXPECT_EQ(BodyOf(Send("POST", "/admin/prefix/reset")),
            json::parse(R"({"blocks_dropped": 7, "blocks_in_use": 2})"));
  engine_.reset = []() -> Result<int32_t> {
    return MakeError(ErrorCode::kDeadlineExceeded, "it did not come round");
  };
  EXPECT_THAT(Send("POST", "/admin/prefix/reset"), StartsWith("HTTP/1.1 504"));
}

TEST_F(AdminPrefixTest, TheMapIsWhatTheEngineSaysUpToALimit) {
  Start();
  int32_t limit = 0;
  engine_.map = [&](int32_t nodes_max) {
    limit = nodes_max;
    return std::vector<engine::PrefixNode>{
        {.tokens = 128,
         .users = 2,
         .blocks_below = 1,
         .checkpoint = engine::PrefixCheckpoint{128, CheckpointKind::kMarked, 3}},
        {.parent = 0, .begin = 128, .tokens = 64}};
  };
  engine_.stats.prefix.block_tokens = 64;
  engine_.stats.prefix.blocks_cached = 5;
  EXPECT_EQ(BodyOf(Send("GET", "/admin/prefix/map")), json::parse(R"({
    "blocks_shown": 3, "blocks_cached": 5, "nodes": [
      {"parent": null, "begin": 0, "tokens": 128, "users": 2, "blocks_below": 1,
       "checkpoint": {"tokens": 128, "kind": "marked", "hits": 3}},
      {"parent": 0, "begin": 128, "tokens": 64, "users": 0, "blocks_below": 0, "checkpoint": null}]})"));
  EXPECT_EQ(limit, 200);
  Send("GET", "/admin/prefix/map?limit=17");
  EXPECT_EQ(limit, 17);
  for (const char* wrong : {"?limit=0", "?limit=2001", "?nodes=3"})
    EXPECT_THAT(Send("GET", std::string("/admin/prefix/map") + wrong), StartsWith("HTTP/1.1 400"));
}

TEST_F(AdminPrefixTest, InFrontOfUpstreamsThereIsNone) {
  context_.engine = nullptr;
  context_.generator = nullptr;
  Start();
  for (const auto& [method, path] :
       {std::pair{"GET", "/admin/prefix/stats"}, std::pair{"GET", "/admin/prefix/map"},
        std::pair{"POST", "/admin/prefix/explain"}, std::pair{"POST", "/admin/prefix/reset"}}) {
    const std::string reply = Send(method, path);
    EXPECT_THAT(reply, StartsWith("HTTP/1.1 404")) << path;
    EXPECT_THAT(BodyOf(reply)["error"]["message"].get<std::string>(), HasSubstr("--upstream"));
  }
}

}  // namespace
}  // namespace nextgate::gateway::admin
