// Answers of an upstream that works: as they came, stored, told in the other form, shared.
#include "gateway/upstream/upstream.h"

#include <gmock/gmock.h>

#include <future>

#include "tests/gateway/upstream/upstream_fixture.h"

namespace nextgate::gateway {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::Not;

json WithoutIdentity(json object) {
  object.erase("id");
  object.erase("created");
  return object;
}

TEST_F(UpstreamTest, ABodyComesThroughByteByByteAndAgainFromTheCache) {
  Script(SayHelloAsAsked);
  ServerReply first = Ask();
  EXPECT_EQ(first.body, kBody);
  EXPECT_EQ(Header(first, "X-Cache"), "MISS");
  Sent(first);
  ServerReply second = Ask();
  EXPECT_EQ(Header(second, "X-Cache"), "HIT");
  const json body = Take(std::move(second));
  EXPECT_EQ(WithoutIdentity(body), WithoutIdentity(json::parse(kBody)));
  EXPECT_NE(body["id"], "up-2");
  EXPECT_EQ(server_->requests(), 1);
}

TEST_F(UpstreamTest, AStreamComesThroughChunkByChunkAndAgainFromTheCache) {
  Script(SayHelloAsAsked);
  ServerReply live = AskStream();
  EXPECT_EQ(live.content_type, "text/event-stream; charset=utf-8");
  EXPECT_EQ(Header(live, "Content-Type"), "");
  const std::vector<json> first = Listen(std::move(live)).Events();
  ASSERT_EQ(first.size(), 5u);  // without the usage that only we asked for
  EXPECT_EQ(first[0], json::parse(Chunk(R"({"role":"assistant","content":""})")));
  EXPECT_EQ(first[2], json::parse(Chunk(R"({"content":"lo"})")));
  EXPECT_EQ(first[4], "done");
  const std::vector<json> again = Listen(AskStream()).Events();
  ASSERT_EQ(again.size(), 5u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(WithoutIdentity(again[i]), WithoutIdentity(first[i]));
    EXPECT_EQ(again[i]["id"], again[0]["id"]);
    EXPECT_NE(again[i]["id"], "up-1");
  }
  const std::vector<json> with_usage =
      Listen(AskStream(R"("stream_options":{"include_usage":true})")).Events();
  ASSERT_EQ(with_usage.size(), 6u);
  EXPECT_EQ(with_usage[4]["usage"]["total_tokens"], 5);
  EXPECT_EQ(server_->requests(), 1);
}

TEST_F(UpstreamTest, EventsThatAreWrittenInOtherWaysAreTheSameEvents) {
  Script([](Conversation& c) {
    c.BeginStream();
    c.Piece(
        "data:  {\"id\":\"up-1\",\"choices\":[{\"index\":0,\ndata: \"delta\":\ndata: "
        "{\"content\":\"Hello\"},"
        "\"finish_reason\":null}]} \n\n");
    c.Piece(
        "data: "
        "{\"id\":\"up-1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}"
        "\n\n");
    c.EndStream();
    return true;
  });
  const Client live = Listen(AskStream());
  EXPECT_EQ(live.Text(), "Hello");
  EXPECT_EQ(live.Events().size(), 3u);  // each is one line of JSON
  EXPECT_EQ(Listen(AskStream()).Text(), "Hello");
  EXPECT_EQ(Take(Ask())["choices"][0]["message"]["content"], "Hello");
}

TEST_F(UpstreamTest, OneEntryServesBothForms) {
  Script(SayHelloAsAsked);
  Listen(AskStream());
  const json body = Take(Ask());
  EXPECT_EQ(body["object"], "chat.completion");
  EXPECT_EQ(body["choices"][0]["message"]["content"], "Hello");
  EXPECT_EQ(body["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(body["usage"]["completion_tokens"], 2);
  EXPECT_EQ(server_->requests(), 1);

  Take(Ask(R"("seed":1)"));
  const Client streamed = Listen(AskStream(R"("seed":1,"stream_options":{"include_usage":true})"));
  EXPECT_EQ(streamed.Text(), "Hello");
  const std::vector<json> events = streamed.Events();
  ASSERT_EQ(events.size(), 5u);
  EXPECT_EQ(events[1]["system_fingerprint"], "fp");
  EXPECT_EQ(events[1]["choices"][0]["delta"]["odd"], json::array({1}));
  EXPECT_EQ(events[2]["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(events[3]["usage"]["total_tokens"], 5);
  EXPECT_EQ(server_->requests(), 2);
}

TEST_F(UpstreamTest, ToolCallsAreCachedOnlyIfAllowedAndComeBackWhole) {
  Script([](Conversation& c) {
    c.BeginStream();
    c.Event(Chunk(
        R"({"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":""}}]})"));
    c.Event(Chunk(R"({"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]})"));
    c.Event(Chunk("{}", "\"tool_calls\""));
    c.EndStream();
    return true;
  });
  const std::string tools = R"("tools":[{"type":"function","function":{"name":"f"}}])";
  Listen(AskStream(tools));
  const json body = Take(Ask(tools));
  EXPECT_EQ(
      body["choices"][0]["message"]["tool_calls"],
      json::parse(R"([{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}])"));
  EXPECT_EQ(server_->requests(), 1);
}

TEST_F(UpstreamTest, WhatIsAskedIsSentWithOurKeyAndTheRequestsId) {
  Upstream::Options options = Quick();
  options.api_key = "sk-up";
  Script(SayHelloAsAsked, options);
  Take(Ask(R"("unheard_of":[1,2.50],"cache":{"ttl":9})"));
  EXPECT_EQ(server_->Bodies()[0],
            R"({"model":"m","messages":[{"role":"user","content":"hi"}],"unheard_of":[1,2.50]})");
  EXPECT_THAT(server_->Head(0), HasSubstr("POST /v1/chat/completions HTTP/1.1\r\n"));
  EXPECT_THAT(server_->Head(0), HasSubstr("\r\nAuthorization: Bearer sk-up\r\n"));
  EXPECT_THAT(server_->Head(0), HasSubstr("\r\nX-Request-Id: req-1\r\n"));
}

TEST_F(UpstreamTest, AnUnknownFieldIsForwardedAndNotCached) {
  Script(SayHelloAsAsked);
  for (int i = 0; i < 2; ++i) {
    ServerReply reply = Ask(R"("unheard_of":1)");
    EXPECT_EQ(Header(reply, "X-Cache-Reason"), "unknown_field");
    Sent(reply);
  }
  EXPECT_EQ(server_->requests(), 2);
}

TEST_F(UpstreamTest, HeadersOfItsAnswerComeThroughButThoseOfTheConnection) {
  Script([](Conversation& c) {
    c.Reply(200, kBody,
            "X-RateLimit-Remaining: 7\r\nX-Cache: HIT\r\nSet-Cookie: a=b\r\nServer: s\r\n");
    return true;
  });
  ServerReply reply = Ask();
  EXPECT_EQ(Header(reply, "X-RateLimit-Remaining"), "7");
  EXPECT_EQ(Header(reply, "X-Cache"), "MISS");
  EXPECT_EQ(Header(reply, "Set-Cookie"), "");
  EXPECT_EQ(Header(reply, "Server"), "");
  Sent(reply);
  ServerReply hit = Ask();
  EXPECT_EQ(Header(hit, "X-RateLimit-Remaining"), "");
  Sent(hit);
}

TEST_F(UpstreamTest, ConnectionsAreKeptAndOneThatWasClosedMeanwhileIsReplaced) {
  Script([](Conversation& c) {
    c.Reply(200, kBody);
    return c.number < 2;  // the third answer's connection is closed without a word
  });
  for (int i = 0; i < 4; ++i) Take(Ask(R"("seed":)" + std::to_string(i)));
  EXPECT_EQ(server_->requests(), 4);
  EXPECT_EQ(server_->connections(), 2);
  EXPECT_EQ(Failures(UpstreamPhase::kFirstByte), 0);
}

TEST_F(UpstreamTest, EqualRequestsAtOnceAskOnce) {
  std::promise<void> go;
  std::shared_future<void> gone = go.get_future().share();
  Script([gone](Conversation& c) {
    c.BeginStream();
    c.Event(Chunk(R"({"role":"assistant","content":"Hel"})"));
    gone.wait();
    c.Event(Chunk(R"({"content":"lo"})"));
    c.Event(Chunk("{}", "\"stop\""));
    c.EndStream();
    return true;
  });
  const auto ask = [&](bool stream) {
    return std::async(std::launch::async, [this, stream] {
      if (stream) return Listen(AskStream()).Text();
      return Take(Ask())["choices"][0]["message"]["content"].get<std::string>();
    });
  };
  auto first = ask(true);
  while (server_->requests() == 0) std::this_thread::sleep_for(milliseconds(1));
  std::vector<std::future<std::string>> others;
  for (int i = 0; i < 8; ++i) others.push_back(ask(i % 2 == 0));
  while (stats_.Snapshot().hits[static_cast<size_t>(cache::Tier::kCoalesced)] < 8)
    std::this_thread::sleep_for(milliseconds(1));
  go.set_value();
  EXPECT_EQ(first.get(), "Hello");
  for (auto& other : others) EXPECT_EQ(other.get(), "Hello");
  EXPECT_EQ(server_->requests(), 1);
}

TEST_F(UpstreamTest, ThePiecesOfAStreamAreSaidAsTheyCome) {
  std::promise<void> heard;
  std::shared_future<void> was_heard = heard.get_future().share();
  Script([was_heard](Conversation& c) {
    c.BeginStream();
    c.Piece("data: " + Chunk(R"({"content":"Hel"})").substr(0, 20));
    c.Piece(Chunk(R"({"content":"Hel"})").substr(20) + "\r\n\r\n: a comment\r\n\r\n");
    was_heard.wait();  // nothing more until the client has this
    c.Event(Chunk("{}", "\"stop\""));
    c.EndStream();
    return true;
  });
  struct Listener final : StreamWriter {
    std::promise<void>& heard;
    std::string text;
    explicit Listener(std::promise<void>& p) : heard(p) {}
    bool Write(std::string_view bytes) override {
      if (text.empty()) heard.set_value();
      text += bytes;
      return true;
    }
    bool ClientLeft() override { return false; }
  } listener(heard);
  ServerReply reply = AskStream();
  reply.stream(listener);
  EXPECT_EQ(listener.text, "data: " + Chunk(R"({"content":"Hel"})") +
                               "\n\ndata: " + Chunk("{}", "\"stop\"") + "\n\ndata: [DONE]\n\n");
  Sent(reply);
}

TEST_F(UpstreamTest, AClientThatLeavesCancelsAndAFollowerDoesNotLetIt) {
  std::promise<bool> closed;
  std::promise<void> go;
  std::shared_future<void> gone = go.get_future().share();
  Script([&closed, gone](Conversation& c) {
    c.BeginStream();
    c.Event(Chunk(R"({"content":"Hel"})"));
    if (c.number == 0) {
      closed.set_value(c.WaitClosed());
      return false;
    }
    gone.wait();
    c.Event(Chunk(R"({"content":"lo"})"));
    c.Event(Chunk("{}", "\"stop\""));
    c.EndStream();
    return true;
  });
  Listen(AskStream(), Client(/*patience=*/1));
  EXPECT_TRUE(closed.get_future().get());
  EXPECT_EQ(Stats().in_flight, 0);

  ServerReply leaver = AskStream(R"("seed":1)");
  auto follower =
      std::async(std::launch::async, [&] { return Listen(AskStream(R"("seed":1)")).Text(); });
  while (stats_.Snapshot().hits[static_cast<size_t>(cache::Tier::kCoalesced)] < 1)
    std::this_thread::sleep_for(milliseconds(1));
  Listen(std::move(leaver), Client(/*patience=*/1));
  go.set_value();
  EXPECT_EQ(follower.get(), "Hello");
}

TEST_F(UpstreamTest, AClientThatLeavesBeforeTheHeadCancelsToo) {
  std::promise<bool> closed;
  Script([&closed](Conversation& c) {
    closed.set_value(c.WaitClosed());
    return false;
  });
  ServerReply reply = Ask("", [this] { return server_->requests() > 0; });
  EXPECT_EQ(reply.status, 499);
  Sent(reply);
  EXPECT_TRUE(closed.get_future().get());
}

TEST_F(UpstreamTest, FingerprintsTellUpstreamsModelsAndRevisionsApart) {
  const auto fingerprint = [](std::vector<std::string> urls, std::string model = "",
                              std::string revision = "") {
    return (*Upstream::Open({.urls = urls, .model = model, .revision = revision}))->fingerprint();
  };
  const std::string a = fingerprint({"http://a", "http://b"});
  EXPECT_EQ(a, fingerprint({"http://b/v1/", "http://a:80/v1"}));
  for (const std::string& other :
       {fingerprint({"http://a"}), fingerprint({"http://a", "http://b"}, "m"),
        fingerprint({"http://a", "http://b"}, "", "m"), fingerprint({"https://a", "http://b"})})
    EXPECT_NE(a, other);
  EXPECT_FALSE(Upstream::Open({.urls = {"ftp://a"}}));
  EXPECT_FALSE(Upstream::Open({.urls = {"http://a/v1?x=y"}}));
  EXPECT_FALSE(Upstream::Open({.urls = {"https://a"}, .ca_file = "/nowhere.pem"}));
}

TEST_F(UpstreamTest, ReadyAsLongAsOneAnswers) {
  Script(SayHelloAsAsked);
  server_ = std::make_unique<ScriptedUpstream>([](Conversation& c) {
    c.Reply(c.head.starts_with("GET /v1/models ") ? 200 : 404, "{}");
    return true;
  });
  Open({NobodysUrl(), server_->Url()});
  EXPECT_TRUE(upstream_->Answers());
  EXPECT_TRUE(upstream_->Answers());
  EXPECT_EQ(server_->requests(), 1);  // asked at most once a second
  Open({NobodysUrl()});
  EXPECT_FALSE(upstream_->Answers());
}

TEST_F(UpstreamTest, OtherRequestsArePassedOnUnderTheUpstreamsRoot) {
  server_ = std::make_unique<ScriptedUpstream>([](Conversation& c) {
    c.Reply(418, "\"" + c.head.substr(0, c.head.find(" HTTP")) + c.body + "\"");
    return true;
  });
  Open({server_->Url() + "/some/where/v1"});
  const auto forward = [&](std::string method, std::string path, std::string body) {
    return upstream_->Forward(std::move(path),
                              {.method = std::move(method),
                               .body = std::move(body),
                               .header = [](const std::string&) { return ""; },
                               .client_left = [] { return false; }},
                              "req-1");
  };
  const ForeignReply models = forward("GET", "/v1/models", "");
  EXPECT_EQ(models.status, 418);
  EXPECT_EQ(models.body, "\"GET /some/where/v1/models\"");
  EXPECT_EQ(forward("POST", "/tokenize", "{}").body, "\"POST /some/where/tokenize{}\"");
}

}  // namespace
}  // namespace nextgate::gateway
