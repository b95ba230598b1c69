#include "gateway/upstream/embeddings_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <nlohmann/json.hpp>

#include "cache/semantic/embedding_memo.h"
#include "gateway/base64.h"
#include "tests/gateway/upstream/scripted_upstream.h"
#include "tests/support/black_hole.h"

namespace nextgate::gateway {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr seconds kPatience(20);  // nothing here takes as long unless it hangs

cache::Embedder::Deadline In(milliseconds time) { return steady_clock::now() + time; }

std::unique_ptr<EmbeddingsClient> Client(const std::string& url, EmbeddingsClient::Options o = {}) {
  o.url = url;
  o.model = "e5";
  o.revision = "r1";
  o.dimension = 2;
  auto client = EmbeddingsClient::Open(o);
  EXPECT_TRUE(client) << client.error().message;
  return std::move(*client);
}

json Item(size_t index, const json& embedding) {
  return {{"object", "embedding"}, {"index", index}, {"embedding", embedding}};
}
std::string Answer(const std::vector<json>& items) {
  return json{{"object", "list"}, {"data", items}, {"model", "e5"}}.dump();
}

// As a good server: text i of length n is (3 n, 4 n).
std::string Good(const std::string& body) {
  const json request = json::parse(body);
  std::vector<json> items;
  for (const auto& text : request["input"]) {
    const auto n = static_cast<double>(text.get<std::string>().size());
    items.push_back(Item(items.size(), {3 * n, 4 * n}));
  }
  return Answer(items);
}

// A server that gives `answer` to everything.
ScriptedUpstream::Script Says(std::string answer, int status = 200) {
  return [=](Conversation& c) { return c.Reply(status, answer), true; };
}

Error ErrorOf(const std::string& answer, size_t texts = 1, int status = 200) {
  ScriptedUpstream server(Says(answer, status));
  const auto client = Client(server.Url());
  const auto result = client->Embed(std::vector<std::string>(texts, "secret text"), In(kPatience));
  EXPECT_FALSE(result);
  if (result) return {};
  EXPECT_THAT(result.error().message, Not(HasSubstr("secret text")));
  return result.error();
}

TEST(EmbeddingsClient, AsksAsOpenAisClientsDoAndGivesUnitVectorsInOrder) {
  ScriptedUpstream server([](Conversation& c) { return c.Reply(200, Good(c.body)), true; });
  const auto client = Client(server.Url(), {.shorten = true, .api_key = "sk-1"});
  EXPECT_EQ(client->info(), (cache::EmbedderInfo{"e5", "r1", 2}));
  const auto embeddings =
      client->Embed(std::vector<std::string>{"a", "ünï \"q\"\n"}, In(kPatience));
  ASSERT_TRUE(embeddings) << embeddings.error().message;
  ASSERT_EQ(embeddings->size(), 2u);
  for (const cache::Embedding& one : *embeddings) {
    EXPECT_FLOAT_EQ(one.values[0], 0.6f);
    EXPECT_FLOAT_EQ(one.values[1], 0.8f);
    EXPECT_EQ(one.num_tokens, 0);
    EXPECT_FALSE(one.truncated);
  }
  EXPECT_THAT(server.Head(0), HasSubstr("POST /v1/embeddings HTTP/1.1\r\n"));
  EXPECT_THAT(server.Head(0), HasSubstr("Authorization: Bearer sk-1\r\n"));
  EXPECT_THAT(server.Head(0), HasSubstr("Via: 1.1 " + client->hop()));
  EXPECT_EQ(json::parse(server.Bodies()[0]), (json{{"model", "e5"},
                                                   {"input", {"a", "ünï \"q\"\n"}},
                                                   {"encoding_format", "float"},
                                                   {"dimensions", 2}}));
  EXPECT_TRUE(client->Embed({}, In(kPatience))->empty());
  EXPECT_EQ(server.requests(), 1);
}

TEST(EmbeddingsClient, ConnectionsAreUsedAgainAndOnesThatWereClosedExchanged) {
  ScriptedUpstream server([](Conversation& c) {
    c.Reply(200, Good(c.body));
    return c.number != 1;  // closes after the second, without a word
  });
  const auto client = Client(server.Url());
  for (int i = 0; i < 4; ++i)
    ASSERT_TRUE(client->Embed(std::vector<std::string>{"a"}, In(kPatience))) << i;
  EXPECT_EQ(server.connections(), 2);
  EXPECT_EQ(client->stats().breaker_openings, 0);
  EXPECT_EQ(json::parse(server.Bodies()[0]).contains("dimensions"), false);
}

TEST(EmbeddingsClient, VectorsInBase64AndInAnotherOrderAreTakenByTheirIndex) {
  const std::string first = FloatsToBase64(std::vector<float>{0, 2});
  ScriptedUpstream server(Says(Answer({Item(1, {-5, 0}), Item(0, first)})));
  const auto embeddings =
      Client(server.Url())->Embed(std::vector<std::string>{"a", "b"}, In(kPatience));
  ASSERT_TRUE(embeddings) << embeddings.error().message;
  EXPECT_EQ((*embeddings)[0].values, (std::vector<float>{0, 1}));
  EXPECT_EQ((*embeddings)[1].values, (std::vector<float>{-1, 0}));
}

TEST(EmbeddingsClient, AVectorOfZerosIsATextThatMeansNothing) {
  ScriptedUpstream server(Says(Answer({Item(0, {0, 0.0})})));
  const auto embeddings = Client(server.Url())->Embed(std::vector<std::string>{""}, In(kPatience));
  ASSERT_TRUE(embeddings);
  EXPECT_EQ((*embeddings)[0].values, (std::vector<float>{0, 0}));
}

TEST(EmbeddingsClient, WhatIsNoSuchAnswerIsDataLossWithWhatIsWrong) {
  const std::string nan = FloatsToBase64(std::vector<float>{NAN, 1});
  const std::string inf = FloatsToBase64(std::vector<float>{1, INFINITY});
  const std::string huge = FloatsToBase64(std::vector<float>{3e38f, 3e38f});
  struct Case {
    std::string answer, says;
    size_t texts = 1;
  };
  const Case cases[] = {
      {"", "not JSON"},
      {"<html>", "not JSON"},
      {R"({"data":[{"index":0,"embedding":[NaN,1]}]})", "not JSON"},
      {R"({"data":[{"index":0,"embedding":[1e999,1]}]})", "not JSON"},
      {Answer({Item(0, {1, 2})}).substr(0, 40), "not JSON"},
      {std::string(100, '[') + std::string(100, ']'), "not JSON"},
      {"[]", "no list of embeddings"},
      {"{}", "no list of embeddings"},
      {R"({"data":{}})", "no list of embeddings"},
      {R"({"data":null,"error":{"message":"secret text"}})", "no list of embeddings"},
      {Answer({}), "expected 1 embeddings in its answer, got 0"},
      {Answer({Item(0, {1, 2}), Item(1, {1, 2})}), "expected 1 embeddings in its answer, got 2"},
      {Answer({json(7)}), "no index or no values"},
      {Answer({json{{"embedding", {1, 2}}}}), "no index or no values"},
      {Answer({json{{"index", 0}}}), "no index or no values"},
      {R"({"data":[{"index":-1,"embedding":[1,2]}]})", "no index or no values"},
      {R"({"data":[{"index":0.5,"embedding":[1,2]}]})", "no index or no values"},
      {Answer({Item(1, {1, 2})}), "wrong indices"},
      {Answer({Item(0, {1, 2}), Item(0, {1, 2})}), "wrong indices", 2},
      {Answer({Item(0, {1, "2"})}), "no list of numbers"},
      {Answer({Item(0, {1, nullptr})}), "no list of numbers"},
      {Answer({Item(0, nullptr)}), "no list of numbers"},
      {Answer({Item(0, "????")}), "no list of numbers"},
      {Answer({Item(0, "AACAPwA=")}), "no list of numbers"},
      {Answer({Item(0, json::array())}), "have 0 values, --embedding-dimension is 2"},
      {Answer({Item(0, {1, 2, 3})}), "have 3 values, --embedding-dimension is 2"},
      {Answer({Item(0, "AACAPw==")}), "have 1 values"},
      {Answer({Item(0, nan)}), "not finite"},
      {Answer({Item(0, inf)}), "not finite"},
      {Answer({Item(0, {1e300, 1})}), "not finite"},
      {std::string(1 << 20, ' '), "too long"},
  };
  for (const Case& c : cases) {
    const Error error = ErrorOf(c.answer, c.texts);
    EXPECT_EQ(error.code, ErrorCode::kDataLoss) << c.answer.substr(0, 200);
    EXPECT_THAT(error.message, HasSubstr(c.says)) << c.answer.substr(0, 200);
  }
  const auto large = ReadEmbeddings(Answer({Item(0, huge)}), 1, 2);
  ASSERT_TRUE(large) << "long, but finite";
  EXPECT_FLOAT_EQ((*large)[0][0], std::sqrt(0.5f));
}

TEST(EmbeddingsClient, StatusesSayWhetherItIsAwayOrBusyOrDoesNotTakeTheText) {
  const std::string body = R"({"error":{"message":"secret text"}})";
  for (const int status : {401, 403, 404, 500, 502, 503, 301, 204})
    EXPECT_EQ(ErrorOf(body, 1, status).code, ErrorCode::kUnavailable) << status;
  EXPECT_EQ(ErrorOf(body, 1, 429).code, ErrorCode::kResourceExhausted);
  for (const int status : {400, 413, 422})
    EXPECT_EQ(ErrorOf(body, 1, status).code, ErrorCode::kDataLoss) << status;
  EXPECT_THAT(ErrorOf(body, 1, 503).message, HasSubstr("status 503"));
}

TEST(EmbeddingsClient, NobodyThereIsUnavailable) {
  const auto result = Client(NobodysUrl())->Embed(std::vector<std::string>{"a"}, In(kPatience));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kUnavailable);
}

// Ways of never being done; each goes on until the client leaves.
const std::pair<const char*, ScriptedUpstream::Script> kHangs[] = {
    {"says nothing", [](Conversation& c) { return c.WaitClosed(), false; }},
    {"trickles the head",
     [](Conversation& c) {
       while (c.Send("X")) std::this_thread::sleep_for(milliseconds(5));
       return false;
     }},
    {"trickles the body",
     [](Conversation& c) {
       c.BeginStream();
       while (c.Piece(" ")) std::this_thread::sleep_for(milliseconds(5));
       return false;
     }},
    {"stops in the body",
     [](Conversation& c) {
       c.Send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{");
       return c.WaitClosed(), false;
     }},
};

TEST(EmbeddingsClient, HowEverItIsNeverDoneTheDeadlineEndsIt) {
  for (const auto& [name, script] : kHangs) {
    ScriptedUpstream server(script);
    const auto client = Client(server.Url());
    const auto began = steady_clock::now();
    const auto result = client->Embed(std::vector<std::string>{"a"}, In(milliseconds(100)));
    EXPECT_LT(steady_clock::now() - began, seconds(10)) << name;
    ASSERT_FALSE(result) << name;
    EXPECT_EQ(result.error().code, ErrorCode::kDeadlineExceeded) << name;
  }
  const test::BlackHole nothing;
  const auto result = Client("http://127.0.0.1:" + std::to_string(nothing.port()))
                          ->Embed(std::vector<std::string>{"a"}, In(milliseconds(100)));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kDeadlineExceeded);
}

TEST(EmbeddingsClient, ADeadlineThatPassedAsksNobody) {
  ScriptedUpstream server([](Conversation& c) { return c.Reply(200, Good(c.body)), true; });
  const auto client = Client(server.Url());
  const auto result = client->Embed(std::vector<std::string>{"a"}, steady_clock::now());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(server.connections(), 0);
  EXPECT_TRUE(client->Embed(std::vector<std::string>{"a"}, cache::Embedder::Deadline::max()));
}

TEST(EmbeddingsClient, WhatFailedFiveTimesIsLeftAloneAndTriedAgain) {
  std::atomic<int> status = 503;
  ScriptedUpstream server(
      [&](Conversation& c) { return c.Reply(status, status == 200 ? Good(c.body) : "{}"), true; });
  const auto client = Client(server.Url(), {.breaker = {.open_min = milliseconds(300)}});
  const std::vector<std::string> texts = {"a"};
  for (int i = 0; i < 8; ++i) {
    const auto result = client->Embed(texts, In(kPatience));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::kUnavailable);
  }
  EXPECT_EQ(server.requests(), 5);
  EXPECT_EQ(client->stats().breaker_openings, 1);
  status = 200;
  std::this_thread::sleep_for(milliseconds(400));
  EXPECT_TRUE(client->Embed(texts, In(kPatience)));
  EXPECT_TRUE(client->Embed(texts, In(kPatience)));
}

TEST(EmbeddingsClient, OneThatIsTooSlowIsLeftAloneTooAndATextItDoesNotTakeIsNoReasonTo) {
  ScriptedUpstream slow(kHangs[0].second);
  const auto client = Client(slow.Url());
  const std::vector<std::string> texts = {"a"};
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(client->Embed(texts, In(milliseconds(30))));
  const auto left_alone = client->Embed(texts, In(kPatience));
  ASSERT_FALSE(left_alone);
  EXPECT_EQ(left_alone.error().code, ErrorCode::kUnavailable);

  ScriptedUpstream picky(Says("{}", 400));
  const auto other = Client(picky.Url());
  for (int i = 0; i < 8; ++i) EXPECT_FALSE(other->Embed(texts, In(kPatience)));
  EXPECT_EQ(picky.requests(), 8);
}

// What the answer cache sees of a server that fails: an error and a counter.
TEST(EmbeddingsClient, BehindTheMemoFailuresAreCountedAndNotRemembered) {
  std::atomic<bool> good = false;
  ScriptedUpstream server([&](Conversation& c) {
    return c.Reply(200, good ? Good(c.body) : Answer({Item(0, {1})})), true;
  });
  cache::EmbeddingMemo memo(Client(server.Url()));
  const std::vector<std::string> texts = {"a"};
  EXPECT_FALSE(memo.Embed(texts, In(kPatience)));
  EXPECT_FALSE(memo.Embed(texts, steady_clock::now()));
  good = true;
  EXPECT_TRUE(memo.Embed(texts, In(kPatience)));
  EXPECT_TRUE(memo.Embed(texts, In(kPatience)));
  EXPECT_EQ(memo.stats().errors, 1);
  EXPECT_EQ(memo.stats().deadlines, 1);
  EXPECT_EQ(memo.stats().hits, 1);
  EXPECT_EQ(server.requests(), 2);
}

TEST(EmbeddingsClient, AUrlThatIsNoneAndAuthoritiesThatCannotBeReadAreToldAtStart) {
  EXPECT_FALSE(EmbeddingsClient::Open({.url = "ftp://a", .model = "m", .dimension = 2}));
  EXPECT_FALSE(EmbeddingsClient::Open(
      {.url = "https://a", .model = "m", .dimension = 2, .ca_file = "/no/such/file"}));
}

}  // namespace
}  // namespace nextgate::gateway
