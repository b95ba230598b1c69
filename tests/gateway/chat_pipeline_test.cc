// The story of one request over an engine whose answers the test decides; tokenizer, template and
// caches are the real ones.
#include "gateway/chat_pipeline.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "cache/memory_store.h"
#include "gateway/routes.h"
#include "tests/gateway/raw_client.h"
#include "tests/support/fake_engine.h"

namespace nextgate::gateway {
namespace {

using engine::FinishReason;
using engine::GenerationEvent;
using engine::GenerationRequest;
using engine::Says;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kModelDir = NEXTGATE_SOURCE_DIR "/models/dictionary";

// A client that takes what is written, up to `patience` writes, and then leaves.
class Client final : public StreamWriter {
 public:
  explicit Client(int patience = 1 << 30) : patience_(patience) {}
  bool Write(std::string_view bytes) override {
    if (writes_++ >= patience_) return false;
    text_ += bytes;
    return true;
  }
  bool ClientLeft() override { return writes_ >= patience_; }

  // The JSON events of the stream; [DONE] is "done".
  std::vector<json> Events() const {
    std::vector<json> events;
    std::string_view rest = text_;
    while (!rest.empty()) {
      EXPECT_TRUE(rest.starts_with("data: ")) << rest;
      const size_t end = rest.find("\n\n");
      EXPECT_NE(end, std::string_view::npos);
      const std::string_view data = rest.substr(6, end - 6);
      events.push_back(data == "[DONE]" ? json("done") : json::parse(data));
      rest.remove_prefix(end + 2);
    }
    return events;
  }

 private:
  int patience_;
  int writes_ = 0;
  std::string text_;
};

std::string Header(const ServerReply& reply, std::string_view name) {
  for (const auto& [key, value] : reply.headers)
    if (key == name) return value;
  return "";
}

class ChatPipelineTest : public ::testing::Test {
 protected:
  ChatPipelineTest()
      : tokenizer_(*engine::Tokenizer::Open(kModelDir)),
        template_(*ChatTemplate::Open(kModelDir)),
        prompts_(*tokenizer_) {
    engine_.script = [this](const GenerationRequest& request) {
      return Says(request, tokenizer_->Encode("A place for ships."));
    };
  }

  ServerReply Ask(json body, const ServerRequest& http = NoHeaders()) {
    if (!body.contains("messages"))
      body["messages"] = json::array({{{"role", "user"}, {"content", "harbour?"}}});
    body["temperature"] = 0;
    auto request = openai::ParseChatRequest(body.dump(), {.vocab_size = 8192});
    EXPECT_TRUE(request) << request.error().message;
    ServerReply reply;
    pipeline_.Run(std::make_shared<const openai::ApiRequest>(std::move(*request)), http,
                  {.id = "r", .route = "/v1/chat/completions"}, reply);
    return reply;
  }
  static ServerRequest NoHeaders() {
    return {.header = [](const std::string&) { return ""; }, .client_left = [] { return false; }};
  }
  // The reply was sent: what hangs on it runs, and the writer has stored what it got.
  void Sent(ServerReply& reply) {
    reply.on_sent();
    reply = {};
    EXPECT_TRUE(writer_.Flush(std::chrono::seconds(20)));
  }
  Client Stream(ServerReply& reply, Client client = Client()) {
    reply.stream(client);
    return client;
  }

  std::unique_ptr<engine::Tokenizer> tokenizer_;
  std::unique_ptr<ChatTemplate> template_;
  PromptBuilder prompts_;
  engine::FakeEngine engine_;
  cache::MemoryStore store_{cache::MemoryStore::Options{.bytes_max = 1 << 20}};
  cache::ExactCache exact_{store_};
  cache::Writer writer_{exact_};
  cache::CacheStats stats_;
  cache::Partitioner partitioner_{"secret"};
  Metrics metrics_{"m"};
  ChatPipeline pipeline_{{.engine = engine_,
                          .tokenizer = *tokenizer_,
                          .chat_template = template_.get(),
                          .prompts = prompts_,
                          .exact = exact_,
                          .writer = writer_,
                          .stats = stats_,
                          .policy = {},
                          .partitioner = partitioner_,
                          .metrics = metrics_,
                          .access_log = false,
                          .waiting_max = 10}};
};

TEST_F(ChatPipelineTest, GivesTheEngineTheRenderedPromptAndTheClientItsText) {
  ServerReply reply = Ask({{"seed", 5}, {"max_tokens", 30}});
  const json body = json::parse(reply.body);
  EXPECT_EQ(body["choices"][0]["message"]["content"], "A place for ships.");
  EXPECT_EQ(body["choices"][0]["finish_reason"], "stop");
  const auto requests = engine_.Requests();
  ASSERT_EQ(requests.size(), 1);
  EXPECT_THAT(tokenizer_->Decode(requests[0].prompt, false),
              HasSubstr("<|im_start|>user\nharbour?<|im_end|>\n<|im_start|>assistant\n"));
  EXPECT_EQ(requests[0].max_tokens, 30);
  EXPECT_EQ(requests[0].sampling.seed, 5);
  EXPECT_EQ(body["usage"]["prompt_tokens"], requests[0].prompt.size());
  EXPECT_EQ(body["usage"]["completion_tokens"], tokenizer_->Encode("A place for ships.").size());
}

TEST_F(ChatPipelineTest, AnswersTheSameRequestFromTheCacheInEitherForm) {
  ServerReply live = Ask({});
  EXPECT_EQ(Header(live, "X-Cache"), "MISS");
  const json usage = json::parse(live.body)["usage"];
  Sent(live);

  ServerReply body = Ask({});
  EXPECT_EQ(Header(body, "X-Cache"), "HIT");
  EXPECT_EQ(json::parse(body.body)["usage"], usage);
  Sent(body);
  ServerReply stream = Ask({{"stream", true}, {"stream_options", {{"include_usage", true}}}});
  EXPECT_EQ(Header(stream, "X-Cache"), "HIT");
  const auto events = Stream(stream).Events();
  std::string text;
  for (const json& event : events)
    if (event.is_object() && !event["choices"].empty())
      text += event["choices"][0]["delta"].value("content", "");
  EXPECT_EQ(text, "A place for ships.");
  EXPECT_EQ(events[events.size() - 2]["usage"], usage);
  EXPECT_EQ(events.back(), "done");
  Sent(stream);

  EXPECT_EQ(engine_.Requests().size(), 1);
  EXPECT_EQ(stats_.Snapshot().HitsTotal(), 2);
  EXPECT_EQ(stats_.Snapshot().misses, 1);
}

TEST_F(ChatPipelineTest, AnErrorInTheMiddleOfAStreamIsSaidAndNothingIsStored) {
  engine_.script = [this](const GenerationRequest& request) {
    auto events = Says(request, tokenizer_->Encode("A place"), FinishReason::kError);
    events.back().finished->error = "the device is gone";
    return events;
  };
  ServerReply reply = Ask({{"stream", true}});
  const auto events = Stream(reply).Events();
  EXPECT_EQ(events.back()["error"]["message"], "the device is gone");  // and no [DONE]
  Sent(reply);
  ServerReply body = Ask({});
  EXPECT_EQ(body.status, 500);
  EXPECT_EQ(json::parse(body.body)["error"]["message"], "the device is gone");
  Sent(body);
  EXPECT_EQ(store_.stats().entries, 0);
}

TEST_F(ChatPipelineTest, AClientThatLeavesAStreamEndsItsGenerations) {
  engine_.script = [this](const GenerationRequest& request) {
    auto events = Says(request, tokenizer_->Encode("A place"));
    events.pop_back();  // and goes on computing
    return events;
  };
  ServerReply reply = Ask({{"stream", true}, {"n", 3}});
  EXPECT_EQ(engine_.open_generations, 3);
  Stream(reply, Client(/*patience=*/1));
  EXPECT_EQ(engine_.open_generations, 0);
  EXPECT_EQ(engine_.cut_short, 3);
  Sent(reply);
  EXPECT_EQ(store_.stats().entries, 0);
}

TEST_F(ChatPipelineTest, AClientThatLeavesWhileItsBodyIsMadeEndsItsGeneration) {
  engine_.script = [](const GenerationRequest&) { return std::vector<GenerationEvent>(); };
  ServerRequest http = NoHeaders();
  int asked = 0;
  http.client_left = [&asked] { return ++asked == 3; };
  ServerReply reply = Ask({}, http);
  EXPECT_EQ(engine_.cut_short, 1);
  EXPECT_EQ(reply.status, 499);
  Sent(reply);
  EXPECT_EQ(store_.stats().entries, 0);
}

TEST_F(ChatPipelineTest, AStopStringCutsTheGenerationShortAndTheAnswerIsKept) {
  engine_.script = [this](const GenerationRequest& request) {
    auto events = Says(request, tokenizer_->Encode("A place for ships."));
    events.pop_back();
    return events;
  };
  ServerReply reply = Ask({{"stop", "for"}});
  EXPECT_EQ(json::parse(reply.body)["choices"][0]["message"]["content"], "A place ");
  EXPECT_EQ(json::parse(reply.body)["choices"][0]["stop_reason"], "for");
  EXPECT_EQ(engine_.cut_short, 1);
  Sent(reply);
  EXPECT_EQ(Header(Ask({{"stop", "for"}}), "X-Cache"), "HIT");
}

TEST_F(ChatPipelineTest, TurnsRequestsAwayWhenTheEnginesQueueIsLong) {
  engine_.waiting = 10;
  ServerReply reply = Ask({});
  EXPECT_EQ(reply.status, 429);
  EXPECT_EQ(Header(reply, "Retry-After"), "1");
  EXPECT_TRUE(engine_.Requests().empty());
}

TEST_F(ChatPipelineTest, AChoiceThatIsRefusedTakesTheOthersWithIt) {
  engine_.submit_error = [this](const GenerationRequest&) -> Status {
    if (engine_.open_generations < 2) return {};
    return MakeError(ErrorCode::kResourceExhausted, "the queue is full", "");
  };
  ServerReply reply = Ask({{"n", 3}});
  EXPECT_EQ(reply.status, 429);
  EXPECT_EQ(engine_.open_generations, 0);
  EXPECT_EQ(engine_.Requests().size(), 2);
}

TEST_F(ChatPipelineTest, SaysHowLongThePromptIsThatDoesNotFit) {
  ServerReply reply = Ask({{"max_tokens", 4090}});
  const size_t prompt = pipeline_
                            .BuildPrompts(*openai::ParseChatRequest(
                                R"({"messages":[{"role":"user","content":"harbour?"}]})", {}))
                            ->front()
                            .tokens.size();
  EXPECT_EQ(reply.status, 400);
  const json error = json::parse(reply.body)["error"];
  EXPECT_EQ(error["code"], "context_length_exceeded");
  EXPECT_THAT(error["message"].get<std::string>(),
              HasSubstr(fmt::format("takes 4096 tokens in all; the prompt has {} and max_tokens "
                                    "asks for 4090: at most {} fit",
                                    prompt, 4096 - prompt)));
}

TEST_F(ChatPipelineTest, EveryRequestIsInExactlyOneClassHoweverItEnded) {
  const auto requests = [this] { return stats_.Snapshot().Requests(); };
  ServerReply miss = Ask({});
  Sent(miss);
  EXPECT_EQ(requests(), 1);
  ServerReply hit = Ask({});
  Sent(hit);
  EXPECT_EQ(requests(), 2);
  engine_.waiting = 10;
  ServerReply overloaded = Ask({{"seed", 1}});
  Sent(overloaded);
  EXPECT_EQ(requests(), 3);
  ServerReply too_long = Ask({{"max_tokens", 4090}});
  Sent(too_long);
  EXPECT_EQ(requests(), 4);
  ServerRequest http = NoHeaders();
  http.header = [](const std::string& name) {
    return name == "Cache-Control" ? "only-if-cached" : "";
  };
  ServerReply unknown = Ask({{"seed", 2}}, http);
  EXPECT_EQ(unknown.status, 504);
  Sent(unknown);
  EXPECT_EQ(requests(), 5);
}

// The same pipeline behind the real server and its routes.
class RoutesTest : public ChatPipelineTest {
 protected:
  RoutesTest() {
    RegisterApiRoutes(server_, context_);
    EXPECT_TRUE(server_.Start());
  }
  std::string Get(const std::string& path) {
    RawClient client(server_.port());
    client.Send("GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    return client.ReadToEnd();
  }

  Auth auth_{{}};
  std::atomic<bool> ready_ = true;
  RouteContext context_{.pipeline = pipeline_,
                        .engine = engine_,
                        .tokenizer = *tokenizer_,
                        .metrics = metrics_,
                        .cache_stats = stats_,
                        .exact = exact_,
                        .cache_writer = writer_,
                        .auth = auth_,
                        .limits = {.vocab_size = 8192},
                        .model_names = {"m"},
                        .model_root = "m",
                        .ready = ready_};
  HttpServer server_{{}};
};

TEST_F(RoutesTest, HealthTurnsRedWhenTheEngineThreadIsSilentForTooLong) {
  EXPECT_THAT(Get("/health"), StartsWith("HTTP/1.1 200"));
  engine_.heartbeat_age_ms = kHeartbeatMaxMs;
  EXPECT_THAT(Get("/health"), StartsWith("HTTP/1.1 200"));
  engine_.heartbeat_age_ms = kHeartbeatMaxMs + 1;
  EXPECT_THAT(Get("/health"), StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(Get("/health"), HasSubstr("the engine thread hangs"));
  EXPECT_THAT(Get("/ready"), StartsWith("HTTP/1.1 200"));
  engine_.heartbeat_age_ms = 0;
  EXPECT_THAT(Get("/health"), StartsWith("HTTP/1.1 200"));
}

TEST_F(RoutesTest, AServerThatShutsDownTakesNoNewRequest) {
  ready_ = false;
  EXPECT_THAT(Get("/ready"), StartsWith("HTTP/1.1 503"));
  RawClient client(server_.port());
  client.Send(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2"
      "\r\n\r\n{}");
  EXPECT_THAT(client.ReadToEnd(), StartsWith("HTTP/1.1 503"));
  EXPECT_TRUE(engine_.Requests().empty());
}

}  // namespace
}  // namespace nextgate::gateway
