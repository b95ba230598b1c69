// A ChatPipeline over an engine whose answers the test decides; tokenizer, template and caches are the
// real ones.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "cache/memory_store.h"
#include "gateway/chat_pipeline.h"
#include "gateway/engine_generator.h"
#include "tests/support/fake_engine.h"

namespace nextgate::gateway {

using nlohmann::json;

inline const std::string kModelDir = NEXTGATE_SOURCE_DIR "/models/dictionary";

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

  // The text of the first choice, as far as it came.
  std::string Text() const {
    std::string text;
    for (const json& event : Events())
      if (event.is_object() && event.contains("choices") && !event["choices"].empty())
        text += event["choices"][0]["delta"].value("content", "");
    return text;
  }

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

inline std::string Header(const ServerReply& reply, std::string_view name) {
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
    engine_.script = [this](const engine::GenerationRequest& request) {
      return engine::Says(request, tokenizer_->Encode("A place for ships."));
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

  // For another generator over the same tokenizer, and a pipeline over the same caches.
  EngineGenerator::Parts PartsOf(engine::Engine& engine, const ChatTemplate& chat_template) const {
    return {.engine = engine,
            .tokenizer = *tokenizer_,
            .chat_template = &chat_template,
            .prompts = prompts_,
            .waiting_max = 10,
            .choices_max = 100};
  }
  ChatPipeline::Services ServicesOf(Generator& generator) {
    return {.generator = generator,
            .exact = exact_,
            .flights = flights_,
            .writer = writer_,
            .stats = stats_,
            .policy = {},
            .partitioner = partitioner_,
            .metrics = metrics_,
            .access_log = false,
            .live = &live_};
  }

  std::unique_ptr<engine::Tokenizer> tokenizer_;
  std::unique_ptr<ChatTemplate> template_;
  PromptBuilder prompts_;
  engine::FakeEngine engine_;
  cache::MemoryStore store_{cache::MemoryStore::Options{.bytes_max = 1 << 20}};
  cache::Invalidations invalidations_;
  cache::ExactCache exact_{store_, nullptr, Clock::System(), &invalidations_};
  Flights flights_;
  cache::Writer writer_{exact_};
  cache::CacheStats stats_;
  cache::Partitioner partitioner_{"secret"};
  Metrics metrics_{"m"};
  LiveRequests live_;
  EngineGenerator generator_{PartsOf(engine_, *template_)};
  ChatPipeline pipeline_{ServicesOf(generator_)};
};

}  // namespace nextgate::gateway
