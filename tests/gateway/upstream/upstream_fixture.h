// A ChatPipeline over an Upstream over a ScriptedUpstream: everything between two sockets but the HTTP
// server.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cache/memory_store.h"
#include "gateway/chat_pipeline.h"
#include "gateway/upstream/request.h"
#include "gateway/upstream/upstream.h"
#include "tests/gateway/chat_pipeline_fixture.h"
#include "tests/gateway/upstream/scripted_upstream.h"

namespace nextgate::gateway {

inline std::string Chunk(const std::string& delta, const std::string& finish = "null") {
  return R"({"id":"up-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":)" +
         delta + R"(,"logprobs":null,"finish_reason":)" + finish + "}]}";
}
inline const std::string kUsageChunk =
    R"({"id":"up-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}})";
inline const std::string kBody =
    R"({"id":"up-2","object":"chat.completion","created":2,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hello","odd":[1]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5},"system_fingerprint":"fp"})";

// "Hello" in two pieces.
inline void SayHello(Conversation& c) {
  c.BeginStream();
  c.Event(Chunk(R"({"role":"assistant","content":""})"));
  c.Event(Chunk(R"({"content":"Hel"})"));
  c.Event(Chunk(R"({"content":"lo"})"));
  c.Event(Chunk("{}", "\"stop\""));
  c.Event(kUsageChunk);
  c.EndStream();
}

// Answers as it was asked.
inline bool SayHelloAsAsked(Conversation& c) {
  if (json::parse(c.body).value("stream", false)) {
    SayHello(c);
  } else {
    c.Reply(200, kBody);
  }
  return true;
}

class UpstreamTest : public ::testing::Test {
 protected:
  // The upstreams' URLs, in order; everything is quick to give up.
  void Open(std::vector<std::string> urls, Upstream::Options options = Quick()) {
    options.urls = std::move(urls);
    auto opened = Upstream::Open(options);
    ASSERT_TRUE(opened) << opened.error().message;
    upstream_ = std::move(*opened);
    pipeline_ =
        std::make_unique<ChatPipeline>(ChatPipeline::Services{.generator = *upstream_,
                                                              .exact = exact_,
                                                              .flights = flights_,
                                                              .writer = writer_,
                                                              .stats = stats_,
                                                              .policy = {.cache_tools = true},
                                                              .partitioner = partitioner_,
                                                              .metrics = metrics_,
                                                              .access_log = false});
  }
  static Upstream::Options Quick() {
    return {.timeouts = {.connect = std::chrono::milliseconds(2000),
                         .first_byte = std::chrono::milliseconds(2000),
                         .idle = std::chrono::milliseconds(2000),
                         .total = std::chrono::milliseconds(20'000)}};
  }
  void Script(ScriptedUpstream::Script script, Upstream::Options options = Quick()) {
    server_ = std::make_unique<ScriptedUpstream>(std::move(script));
    Open({server_->Url()}, std::move(options));
  }

  ServerReply Ask(
      const std::string& fields = "", std::function<bool()> left = [] { return false; }) {
    const std::string body = R"({"model":"m","messages":[{"role":"user","content":"hi"}])" +
                             (fields.empty() ? "" : "," + fields) + "}";
    auto request = ReadForUpstream(openai::Endpoint::kChat, body, "");
    EXPECT_TRUE(request);
    ServerReply reply;
    pipeline_->Run(std::make_shared<const openai::ApiRequest>(std::move(*request)),
                   {.header = [](const std::string&) { return ""; }, .client_left = left},
                   {.id = "req-1", .route = "/v1/chat/completions"}, reply);
    return reply;
  }
  ServerReply AskStream(const std::string& fields = "") {
    return Ask(R"("stream":true)" + (fields.empty() ? "" : "," + fields));
  }
  void Sent(ServerReply& reply) {
    reply.on_sent();
    reply = {};
    EXPECT_TRUE(writer_.Flush(std::chrono::seconds(20)));
  }
  // The whole stream, sent.
  Client Listen(ServerReply reply, Client client = Client()) {
    EXPECT_TRUE(reply.stream) << reply.status << reply.body;
    if (reply.stream) reply.stream(client);
    Sent(reply);
    return client;
  }
  // The body, sent.
  json Take(ServerReply reply) {
    const json body = json::parse(reply.body);
    Sent(reply);
    return body;
  }
  UpstreamStats Stats(size_t i = 0) const { return upstream_->stats().at(i); }
  int64_t Failures(UpstreamPhase phase, size_t i = 0) const {
    return Stats(i).failures[static_cast<size_t>(phase)];
  }

  std::unique_ptr<ScriptedUpstream> server_;
  cache::MemoryStore store_{cache::MemoryStore::Options{.bytes_max = 1 << 20}};
  cache::ExactCache exact_{store_};
  Flights flights_;
  cache::Writer writer_{exact_};
  cache::CacheStats stats_;
  cache::Partitioner partitioner_{"secret"};
  Metrics metrics_{"m"};
  std::unique_ptr<Upstream> upstream_;
  std::unique_ptr<ChatPipeline> pipeline_;
};

}  // namespace nextgate::gateway
