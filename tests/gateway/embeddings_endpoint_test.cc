// What the end-to-end tests cannot see: how texts come to the embedder, and what a failing one is to clients.
#include "gateway/embeddings_endpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <optional>

namespace nextgate::gateway {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class ScriptedEmbedder final : public cache::Embedder {
 public:
  const cache::EmbedderInfo& info() const override { return info_; }
  Result<std::vector<cache::Embedding>> Embed(std::span<const std::string> texts,
                                              Deadline deadline) override {
    batches.push_back(texts.size());
    patience = deadline - std::chrono::steady_clock::now();
    if (error) return std::unexpected(*error);
    std::vector<cache::Embedding> embeddings;
    for (const std::string& text : texts)
      embeddings.push_back(
          {.values = {static_cast<float>(text.size()), 0.1f}, .num_tokens = tokens});
    return embeddings;
  }
  std::vector<size_t> batches;
  std::chrono::nanoseconds patience{0};
  std::optional<Error> error;
  int64_t tokens = 3;

 private:
  const cache::EmbedderInfo info_{"e", "", 2};
};

class EmbeddingsEndpointTest : public ::testing::Test {
 protected:
  ServerReply Post(const json& body, const std::string& via = "") {
    const EmbeddingsEndpoint endpoint({.embedder = embedder_,
                                       .names = {"e", "other name"},
                                       .hop = "nextgate-1",
                                       .batch_texts_max = 4,
                                       .batch_bytes_max = 20,
                                       .auth = auth_,
                                       .admission = admission_,
                                       .metrics = metrics_,
                                       .access_log = false,
                                       .ready = ready_});
    ServerRequest http{.method = "POST", .path = "/v1/embeddings", .body = body.dump()};
    http.header = [&](const std::string& name) { return name == "Via" ? via : ""; };
    http.client_left = [this] { return left_; };
    ServerReply reply;
    endpoint.Handle(http, reply);
    if (reply.on_sent) reply.on_sent();
    return reply;
  }

  ScriptedEmbedder embedder_;
  Auth auth_{{}};
  Metrics metrics_{"m"};
  Admission admission_{metrics_, nullptr};
  std::atomic<bool> ready_ = true;
  bool left_ = false;
};

TEST_F(EmbeddingsEndpointTest, TextsComeInSmallBatchesAndLeaveInTheirOrder) {
  const std::vector<std::string> texts = {
      "1234567890", "123456789", "12", "1", "1", "1", "1", "1", std::string(50, 'x'), "", ""};
  const ServerReply reply = Post({{"model", "other name"}, {"input", texts}});
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_THAT(embedder_.batches, ElementsAre(2, 4, 2, 1, 2));
  EXPECT_GT(embedder_.patience, std::chrono::seconds(30));
  const json body = json::parse(reply.body);
  EXPECT_EQ(body["model"], "e");
  EXPECT_EQ(body["usage"], (json{{"prompt_tokens", 33}, {"total_tokens", 33}}));
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(body["data"][i]["index"], i);
    EXPECT_EQ(body["data"][i]["embedding"][0], texts[i].size());
    EXPECT_EQ(body["data"][i]["embedding"][1].get<float>(), 0.1f);
  }
}

TEST_F(EmbeddingsEndpointTest, AnEmbedderThatFailsIsAnErrorOfTheServer) {
  const std::pair<ErrorCode, int> cases[] = {{ErrorCode::kDeadlineExceeded, 504},
                                             {ErrorCode::kResourceExhausted, 429},
                                             {ErrorCode::kUnavailable, 503},
                                             {ErrorCode::kDataLoss, 500}};
  for (const auto& [code, status] : cases) {
    embedder_.error = Error{code, "what is wrong", ""};
    const ServerReply reply = Post({{"input", "secret text"}});
    EXPECT_EQ(reply.status, status);
    EXPECT_THAT(reply.body, HasSubstr("the embedder: what is wrong"));
    EXPECT_THAT(reply.body, Not(HasSubstr("secret")));
  }
}

TEST_F(EmbeddingsEndpointTest, WhoHasLeftIsNotWorkedFor) {
  left_ = true;
  EXPECT_EQ(Post({{"input", "x"}}).status, 499);
  EXPECT_TRUE(embedder_.batches.empty());
}

TEST_F(EmbeddingsEndpointTest, ARequestThatCameFromHereIsRefused) {
  EXPECT_EQ(Post({{"input", "x"}}, "1.1 proxy, 1.1 nextgate-1").status, 400);
  EXPECT_EQ(Post({{"input", "x"}}, "1.1 nextgate-2").status, 200);
}

TEST_F(EmbeddingsEndpointTest, AStoppingServerSaysSo) {
  ready_ = false;
  EXPECT_EQ(Post({{"input", "x"}}).status, 503);
}

TEST(EmbedderMetrics, AreExposed) {
  const std::string text = Metrics::ExposeEmbedder({.hits = 1,
                                                    .coalesced = 2,
                                                    .misses = 3,
                                                    .errors = 4,
                                                    .deadlines = 5,
                                                    .entries = 6,
                                                    .bytes = 7});
  EXPECT_THAT(text, HasSubstr("embedder_texts_total{source=\"memory\"} 1"));
  EXPECT_THAT(text, HasSubstr("embedder_texts_total{source=\"coalesced\"} 2"));
  EXPECT_THAT(text, HasSubstr("embedder_texts_total{source=\"embedder\"} 3"));
  EXPECT_THAT(text, HasSubstr("embedder_failures_total{reason=\"error\"} 4"));
  EXPECT_THAT(text, HasSubstr("embedder_failures_total{reason=\"deadline\"} 5"));
  EXPECT_THAT(text, HasSubstr("embedder_memory_entries 6"));
  EXPECT_THAT(text, HasSubstr("embedder_memory_bytes 7"));
}

}  // namespace
}  // namespace nextgate::gateway
