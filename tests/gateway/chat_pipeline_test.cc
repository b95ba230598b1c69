// The story of one request over an engine whose answers the test decides.
#include "gateway/chat_pipeline.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "gateway/routes.h"
#include "tests/gateway/chat_pipeline_fixture.h"
#include "tests/gateway/raw_client.h"

namespace nextgate::gateway {
namespace {

using engine::FinishReason;
using engine::GenerationEvent;
using engine::GenerationRequest;
using engine::Says;
using ::testing::HasSubstr;
using ::testing::StartsWith;

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
  const Client client = Stream(stream);
  const auto events = client.Events();
  EXPECT_EQ(client.Text(), "A place for ships.");
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
  const size_t prompt = generator_
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

TEST_F(ChatPipelineTest, MoreAnswersThanTheQueueHoldsAreRefusedForGood) {
  ServerReply reply = Ask({{"n", 128}});  // the fixture's engine takes 100 at once
  EXPECT_EQ(reply.status, 400);
  EXPECT_THAT(reply.body, HasSubstr("1 prompts with n = 128 are 128 answers: at most 100"));
  EXPECT_EQ(Ask({{"n", 100}}).status, 200);
}

TEST_F(ChatPipelineTest, AStreamTellsThePromptsTokensFirst) {
  for (const bool cached : {false, true}) {
    ServerReply reply = Ask({{"stream", true}, {"return_token_ids", true}});
    const std::vector<json> events = Stream(reply).Events();
    std::vector<json> with_prompt;
    for (const json& event : events)
      if (event.contains("prompt_token_ids")) with_prompt.push_back(event);
    ASSERT_EQ(with_prompt.size(), 1) << cached;
    EXPECT_EQ(with_prompt[0]["prompt_token_ids"], json(engine_.Requests()[0].prompt));
    EXPECT_FALSE(with_prompt[0]["choices"][0]["token_ids"].empty());
    EXPECT_EQ(Header(reply, "X-Cache"), cached ? "HIT" : "MISS");
    Sent(reply);
  }
}

TEST_F(ChatPipelineTest, AnotherTemplateOrOtherStopTokensAreAnotherModelToTheAnswerCache) {
  const auto other = *ChatTemplate::FromSource("{{ messages[0].content }}", "", "", "test");
  const EngineGenerator generator(PartsOf(engine_, *other));
  EXPECT_NE(generator.fingerprint(), generator_.fingerprint());
  engine::FakeEngine other_engine({7});
  const EngineGenerator other_stops(PartsOf(other_engine, *template_));
  EXPECT_NE(other_stops.fingerprint(), generator_.fingerprint());
  const EngineGenerator same(PartsOf(engine_, *template_));
  EXPECT_EQ(same.fingerprint(), generator_.fingerprint());
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
  Admission admission_{metrics_, nullptr};
  std::atomic<bool> ready_ = true;
  Recorder recorder_{.metrics = metrics_, .access_log = false};
  openai::ParseLimits limits_{.vocab_size = 8192, .model_default = "m"};
  std::vector<std::string> names_ = {"m"};
  RequestReader reader_{.limits = limits_, .model_names = names_};
  RouteContext context_{.pipeline = pipeline_,
                        .generator = &generator_,
                        .engine = &engine_,
                        .tokenizer = tokenizer_.get(),
                        .metrics = metrics_,
                        .recorder = recorder_,
                        .cache_stats = stats_,
                        .exact = exact_,
                        .auth = auth_,
                        .admission = admission_,
                        .reader = reader_,
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
