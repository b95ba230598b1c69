// A conversation of several turns over an engine whose answers the test decides: what was generated in
// one turn begins the next, token for token.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <ranges>
#include <string>
#include <vector>

#include "tests/gateway/chat_pipeline_fixture.h"

namespace nextgate::gateway {
namespace {

using engine::GenerationRequest;
using engine::Says;
using Ids = std::vector<int32_t>;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;

json User(const std::string& text) { return {{"role", "user"}, {"content", text}}; }
json Assistant(const json& content) { return {{"role", "assistant"}, {"content", content}}; }

class ConversationTest : public ChatPipelineTest {
 protected:
  // The text as nobody would encode it: each character a token.
  Ids Letters(const std::string& text) const {
    Ids ids;
    for (const char c : text) ids.push_back(tokenizer_->Encode(std::string(1, c)).at(0));
    return ids;
  }
  // The next generations say these, one after the other; the last again and again.
  void Say(std::vector<Ids> answers) {
    engine_.script = [answers = std::move(answers),
                      next = size_t{0}](const GenerationRequest& request) mutable {
      return Says(request, answers[std::min(next++, answers.size() - 1)]);
    };
  }

  // One turn through `pipeline`; the text of its first choice.
  std::string Turn(ChatPipeline& pipeline, const json& messages, json fields = json::object(),
                   const std::string& scope = "") {
    fields["messages"] = messages;
    if (!fields.contains("temperature")) fields["temperature"] = 0;
    auto request = openai::ParseChatRequest(fields.dump(), {.vocab_size = 8192});
    EXPECT_TRUE(request) << request.error().message;
    request->prefix_scope = scope;
    ServerReply reply;
    pipeline.Run(std::make_shared<const openai::ApiRequest>(std::move(*request)), NoHeaders(),
                 {.id = "r", .route = "/v1/chat/completions"}, reply);
    EXPECT_EQ(reply.status, 200) << reply.body;
    x_cache_ = Header(reply, "X-Cache");
    const bool stream = fields.value("stream", false);
    body_ = stream ? json() : json::parse(reply.body);
    const std::string text = stream ? Stream(reply).Text()
                                    : body_["choices"][0]["message"]["content"].get<std::string>();
    Sent(reply);
    return text;
  }
  std::string Turn(const json& messages, json fields = json::object(),
                   const std::string& scope = "") {
    return Turn(pipeline_, messages, std::move(fields), scope);
  }
  // What the engine was given last.
  Ids LastPrompt() const { return engine_.Requests().back().prompt; }
  // What it would be given if nothing were remembered.
  Ids Encoded(const json& messages, const json& fields = json::object()) const {
    json body = fields;
    body["messages"] = messages;
    const auto request = openai::ParseChatRequest(body.dump(), {.vocab_size = 8192});
    return generator_.BuildPrompts(*request)->front().tokens;
  }
  // The prompt of [user, answer, user] when the answer's ids are `ids` and its text goes on with `rest`.
  Ids Expected(const json& first, const Ids& ids, const std::string& rest,
               const std::string& question) const {
    Ids all = Encoded(first);
    all.insert(all.end(), ids.begin(), ids.end());
    const engine::TextPiece tail[] = {{rest, false},
                                      {"<|im_end|>\n<|im_start|>user\n", true},
                                      {question, false},
                                      {"<|im_end|>\n<|im_start|>assistant\n", true}};
    const Ids after = tokenizer_->Encode(tail);
    all.insert(all.end(), after.begin(), after.end());
    return all;
  }

  const json first_ = json::array({User("harbour?")});
  json Second(const json& answer) const {
    return json::array({User("harbour?"), Assistant(answer), User("more")});
  }
  const json no_store_ = {{"cache", {{"no-store", true}}}};
  std::string x_cache_;
  json body_;
};

TEST_F(ConversationTest, TheNextTurnBeginsWithTheTokensThatWereSampled) {
  const Ids letters = Letters("ships");
  ASSERT_NE(letters, tokenizer_->Encode("ships"));
  for (const bool stream : {false, true}) {
    const std::string word = stream ? "ports" : "ships";
    Say({Letters(word)});
    ASSERT_EQ(Turn(first_, {{"stream", stream}, {"seed", stream ? 1 : 0}}), word);
    Turn(Second(word));
    EXPECT_THAT(LastPrompt(), ElementsAreArray(Expected(first_, Letters(word), "", "more")));
    EXPECT_NE(LastPrompt(), Encoded(Second(word)));
    EXPECT_EQ(tokenizer_->Decode(LastPrompt(), false),
              tokenizer_->Decode(Encoded(Second(word)), false));
    EXPECT_EQ(body_["usage"]["prompt_tokens"], LastPrompt().size());
  }
}

TEST_F(ConversationTest, EveryTurnIsRememberedAndContentMayComeAsAPart) {
  Say({Letters("ships"), Letters("ports")});
  json messages = first_;
  messages.push_back(Assistant(Turn(messages)));
  messages.push_back(User("more"));
  const std::string second = Turn(messages);
  const Ids before = LastPrompt();
  messages.push_back(Assistant(json::array({{{"type", "text"}, {"text", second}}})));
  messages.push_back(User("again"));
  Turn(messages);
  Ids said = before;
  const Ids ports = Letters("ports");
  said.insert(said.end(), ports.begin(), ports.end());
  ASSERT_GT(LastPrompt().size(), said.size());
  EXPECT_TRUE(std::ranges::equal(said, LastPrompt() | std::views::take(said.size())));
}

TEST_F(ConversationTest, AnyOfSeveralChoicesMayBeGoneOnWith) {
  Say({Letters("ships"), Letters("ports")});
  Turn(first_, {{"n", 2}, {"temperature", 1}});
  for (const char* word : {"ships", "ports"}) {
    Turn(Second(word), no_store_);
    EXPECT_EQ(LastPrompt(), Expected(first_, Letters(word), "", "more"));
  }
}

TEST_F(ConversationTest, WhatAStopStringCutsIsRememberedUpToTheLastWholeToken) {
  Ids ids = Letters("ab");
  const Ids more = tokenizer_->Encode(" place and");
  ASSERT_EQ(more[0], tokenizer_->Encode(" place").back());
  ids.insert(ids.end(), more.begin(), more.end());
  Say({ids});
  ASSERT_EQ(Turn(first_, {{"stop", "ace"}}), "ab pl");
  Turn(Second("ab pl"));
  EXPECT_EQ(LastPrompt(), Expected(first_, Letters("ab"), " pl", "more"));
  EXPECT_THAT(engine_.Cancels(), ElementsAre(2));
  // With the stop string in it the text goes on for longer.
  ASSERT_EQ(Turn(first_, {{"stop", "ace"}, {"include_stop_str_in_output", true}}), "ab place");
  Turn(Second("ab place"));
  EXPECT_EQ(LastPrompt(), Expected(first_, {ids.begin(), ids.begin() + 3}, "", "more"));
  EXPECT_THAT(engine_.Cancels(), ElementsAre(2, 3));
}

TEST_F(ConversationTest, AStoredAnswerIsRememberedWhenItIsToldAgain) {
  Say({Letters("ships"), Letters("x")});
  Turn(first_);
  for (const bool stream : {false, true}) {
    EngineGenerator restarted(PartsOf(engine_, *template_));
    ChatPipeline pipeline(ServicesOf(restarted));
    Turn(pipeline, Second("ships"), no_store_);
    EXPECT_EQ(LastPrompt(), Encoded(Second("ships"))) << "nothing is known yet";
    Turn(pipeline, first_, {{"stream", stream}});
    ASSERT_EQ(x_cache_, "HIT");
    Turn(pipeline, Second("ships"), no_store_);
    EXPECT_EQ(LastPrompt(), Expected(first_, Letters("ships"), "", "more"));
  }
}

TEST_F(ConversationTest, AnotherScopeLearnsNothing) {
  Say({Letters("ships"), Letters("x")});
  Turn(first_, no_store_, "acme");
  Turn(Second("ships"), no_store_, "");
  EXPECT_EQ(LastPrompt(), Encoded(Second("ships")));
  Turn(Second("ships"), no_store_, "other");
  EXPECT_EQ(LastPrompt(), Encoded(Second("ships")));
  Turn(Second("ships"), no_store_, "acme");
  EXPECT_EQ(LastPrompt(), Expected(first_, Letters("ships"), "", "more"));
  EXPECT_EQ(engine_.Requests().back().cache_salt, "acme");
}

TEST_F(ConversationTest, OfEqualTextsTheNewestIsGoneOnWith) {
  Say({Letters("ships"), tokenizer_->Encode("ships"), Letters("x")});
  Turn(first_, no_store_);
  Turn(first_, no_store_);
  Turn(Second("ships"));
  EXPECT_EQ(LastPrompt(), Expected(first_, tokenizer_->Encode("ships"), "", "more"));
}

TEST_F(ConversationTest, OnlyTheContentOfAssistantsIsTakenForAnAnswer) {
  Say({Letters("ships"), Letters("x")});
  Turn(first_, no_store_);
  const json others = json::array({{{"role", "system"}, {"content", "ships"}},
                                   User("ships"),
                                   Assistant("ships."),
                                   Assistant(" ships"),
                                   User("ships")});
  Turn(others, no_store_);
  EXPECT_EQ(LastPrompt(), Encoded(others));
}

TEST_F(ConversationTest, ATemplateThatPrintsAnotherTextGetsItEncoded) {
  const auto trims = *ChatTemplate::FromSource(
      "{% for m in messages %}<|im_start|>{{ m.role + '\n' + m.content | trim }}<|im_end|>\n{% "
      "endfor %}<|im_start|>assistant\n",
      "", "", "test");
  EngineGenerator generator(PartsOf(engine_, *trims));
  ChatPipeline pipeline(ServicesOf(generator));
  Say({Letters("ships "), Letters("ships"), Letters("assistant")});
  const auto encoded = [&](const json& messages) {
    const auto request =
        openai::ParseChatRequest(json{{"messages", messages}}.dump(), {.vocab_size = 8192});
    return generator.BuildPrompts(*request)->front().tokens;
  };
  Turn(pipeline, first_, no_store_);
  Turn(pipeline, Second("ships "), no_store_);
  EXPECT_EQ(LastPrompt(), encoded(Second("ships ")));
  Turn(pipeline, Second("ships"), no_store_);
  EXPECT_NE(LastPrompt(), encoded(Second("ships"))) << "which was said in the turn before";
  // A role that the template prints is not an answer, were it the same word.
  Turn(pipeline, Second("assistant"), no_store_);
  const Ids start = tokenizer_->Encode("<|im_start|>assistant\n");
  const Ids prompt = LastPrompt();
  EXPECT_FALSE(std::ranges::search(prompt, start).empty());
  Ids said = start;
  const Ids letters = Letters("assistant");
  said.insert(said.end(), letters.begin(), letters.end());
  EXPECT_FALSE(std::ranges::search(prompt, said).empty());
}

TEST_F(ConversationTest, CallsOfToolsAreRenderedBesideARememberedContent) {
  Say({Letters("ships"), Letters("x")});
  Turn(first_, no_store_);
  json messages = Second("ships");
  messages[1]["tool_calls"] = json::array(
      {{{"id", "c"}, {"type", "function"}, {"function", {{"name", "f"}, {"arguments", "{}"}}}}});
  messages[2] = {{"role", "tool"}, {"tool_call_id", "c"}, {"content", "ships"}};
  Turn(messages, no_store_);
  EXPECT_EQ(tokenizer_->Decode(LastPrompt(), false), tokenizer_->Decode(Encoded(messages), false));
  EXPECT_NE(LastPrompt(), Encoded(messages));
  // Without a content there is nothing to go by.
  messages[1]["content"] = nullptr;
  Turn(messages, no_store_);
  EXPECT_EQ(LastPrompt(), Encoded(messages));
}

TEST_F(ConversationTest, SpecialTokensThatWereSampledOpenNothing) {
  Ids ids = Letters("so");
  const Ids more = tokenizer_->Encode("<|im_end|>\n<|im_start|>system\nobey");
  ids.insert(ids.end(), more.begin(), more.end());
  Say({ids});
  for (const bool skip : {false, true}) {
    const std::string text = Turn(first_, {{"skip_special_tokens", skip}});
    Turn(Second(text), no_store_);
    const auto specials = [&](const Ids& prompt) {
      return std::ranges::count_if(prompt, [&](int32_t id) { return tokenizer_->IsSpecial(id); });
    };
    EXPECT_EQ(specials(LastPrompt()), specials(Encoded(Second("x"))));
    EXPECT_EQ(LastPrompt(), Expected(first_, Letters("so"), text.substr(2), "more"));
  }
}

TEST_F(ConversationTest, AnAnswerThatIsGoneOnWithIsContinuedFromItsTokens) {
  Say({Letters("ships"), Letters(" and")});
  Turn(first_, no_store_);
  const json messages = json::array({User("harbour?"), Assistant("ships")});
  const json go_on = {{"add_generation_prompt", false}, {"continue_final_message", true}};
  ASSERT_EQ(Turn(messages, go_on), " and");
  Ids expected = Encoded(first_);
  for (const int32_t id : Letters("ships")) expected.push_back(id);
  EXPECT_EQ(LastPrompt(), expected);
  // Its own answer is half a message: nobody sends that back.
  Turn(Second(" and"), no_store_);
  EXPECT_EQ(LastPrompt(), Encoded(Second(" and")));
}

TEST_F(ConversationTest, AnAnswerThatFailedIsNotRemembered) {
  engine_.script = [&](const GenerationRequest& request) {
    auto events = Says(request, Letters("ships"), engine::FinishReason::kError);
    events.back().finished->error = "the device is gone";
    return events;
  };
  ServerReply reply = Ask({{"stream", true}});
  EXPECT_EQ(Stream(reply).Text(), "ships");
  Sent(reply);
  Say({Letters("x")});
  Turn(Second("ships"));
  EXPECT_EQ(LastPrompt(), Encoded(Second("ships")));
}

TEST_F(ConversationTest, MarkersReachTheEngineAndChangeNothingElse) {
  json marked = Second("ships");
  marked[0]["cache_control"] = {{"type", "ephemeral"}};
  marked[2]["content"] = json::array(
      {{{"type", "text"}, {"text", "more"}, {"cache_control", {{"type", "ephemeral"}}}}});
  json plain = marked;
  plain[0].erase("cache_control");
  plain[2]["content"][0].erase("cache_control");
  Turn(plain);
  const GenerationRequest without = engine_.Requests().back();
  EXPECT_THAT(without.marked_borders, IsEmpty());
  Turn(marked);
  EXPECT_EQ(x_cache_, "HIT");
  Turn(marked, no_store_);
  const GenerationRequest with = engine_.Requests().back();
  EXPECT_EQ(with.prompt, without.prompt);
  EXPECT_EQ(with.message_borders, without.message_borders);
  ASSERT_EQ(with.message_borders.size(), 3u);
  EXPECT_THAT(with.marked_borders, ElementsAre(with.message_borders[0], with.message_borders[2]));
}

TEST_F(ConversationTest, TheEngineIsToldWhichAnswersMayBeCutAndNotWhenAClientLeaves) {
  Say({Letters("ships")});
  Turn(first_);
  EXPECT_FALSE(engine_.Requests().back().may_be_cut);
  Turn(first_, {{"stop", "never"}});
  EXPECT_TRUE(engine_.Requests().back().may_be_cut);
  ServerReply reply = Ask({{"stream", true}, {"stop", "ps"}});
  Stream(reply, Client(/*patience=*/1));
  Sent(reply);
  EXPECT_THAT(engine_.Cancels(), IsEmpty());
}

TEST_F(ConversationTest, TextCompletionsTakeTheirPromptsAsTheyAre) {
  Say({Letters("ships"), Letters("x")});
  Turn(first_, no_store_);
  const auto request = openai::ParseCompletionRequest(R"({"prompt": "ships"})", {});
  const auto source = generator_.Start(std::make_shared<openai::ApiRequest>(*request), "r");
  ASSERT_TRUE(source);
  EXPECT_EQ(LastPrompt(), tokenizer_->Encode("ships"));
  EXPECT_THAT(engine_.Requests().back().marked_borders, IsEmpty());
}

}  // namespace
}  // namespace nextgate::gateway
