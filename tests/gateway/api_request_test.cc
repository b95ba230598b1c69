#include "gateway/openai/api_request.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace nextgate::gateway::openai {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const ParseLimits kLimits = {.vocab_size = 100, .max_logprobs = 20, .max_messages = 3};

std::string Chat(const std::string& fields) {
  return R"({"messages": [{"role": "user", "content": "hi"}])" +
         (fields.empty() ? "" : ", " + fields) + "}";
}

std::string ChatError(const std::string& fields) {
  const auto request = ParseChatRequest(Chat(fields), kLimits);
  return request ? "no error" : request.error().message;
}

TEST(ChatRequest, FillsEveryDefault) {
  const auto r = ParseChatRequest(Chat(""), kLimits);
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r->sampling.temperature, 1.0);
  EXPECT_EQ(r->sampling.top_p, 1.0);
  EXPECT_EQ(r->n, 1);
  EXPECT_FALSE(r->max_tokens || r->sampling.seed || r->temperature_given);
  EXPECT_EQ(r->num_logprobs, -1);
  EXPECT_TRUE(r->skip_special_tokens && r->add_generation_prompt);
  EXPECT_EQ(r->last_user_text, "hi");
}

TEST(ChatRequest, TheCheckpointsDefaultsHoldUntilTheRequestSaysOtherwise) {
  ParseLimits limits = kLimits;
  limits.defaults = {.temperature = 0.7, .top_p = 0.8, .top_k = 20};
  const auto r = ParseChatRequest(Chat(R"("top_p": 0.5)"), limits);
  ASSERT_TRUE(r);
  EXPECT_EQ(r->sampling.temperature, 0.7);
  EXPECT_EQ(r->sampling.top_p, 0.5);
  EXPECT_EQ(r->sampling.top_k, 20);
  EXPECT_FALSE(r->temperature_given);
}

TEST(ChatRequest, AcceptsTheEdgesOfEveryRange) {
  for (const char* fields : {R"("temperature": 0)",
                             R"("temperature": 2)",
                             R"("top_p": 1)",
                             R"("top_p": 1e-9)",
                             R"("n": 128)",
                             R"("top_k": -1)",
                             R"("min_p": 0)",
                             R"("min_p": 1)",
                             R"("presence_penalty": -2)",
                             R"("frequency_penalty": 2)",
                             R"("max_tokens": 1)",
                             R"("max_tokens": 32.0)",
                             R"("logprobs": true, "top_logprobs": 20)",
                             R"("stop": "x")",
                             R"("stop": null)",
                             R"("logit_bias": {"0": -100, "99": 100})",
                             R"("seed": -9223372036854775808)",
                             R"("stream": true, "stream_options": {"include_usage": true})",
                             R"("tools": [])",
                             R"("response_format": {"type": "text"})",
                             R"("tool_choice": "none")",
                             R"("max_completion_tokens": 5, "max_tokens": 9)"})
    EXPECT_EQ(ChatError(fields), "no error") << fields;
}

TEST(ChatRequest, ErrorsNameTheFieldWhatWasExpectedAndWhatCame) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("temperature": "hot")",
       "temperature: expected a number of at least 0 and at most 2, got a string of 3 bytes"},
      {R"("temperature": 2.01)", "got 2.01"},
      {R"("top_p": 0)", "top_p: expected a number above 0"},
      {R"("n": 1.5)", "n: expected a whole number from 1 to 128, got 1.5"},
      {R"("n": true)", "n: expected a whole number"},
      {R"("max_tokens": 99999999999999999999)", "max_tokens: expected a whole number"},
      {R"("stop": ["a", 1])", "stop: expected strings that are not empty, got 1"},
      {R"("stop": "")", "stop: expected strings that are not empty"},
      {R"("stop": {"a": 1})", "stop: expected strings"},
      {R"("stop_token_ids": [100])", "stop_token_ids: expected token ids from 0 to 99, got 100"},
      {R"("stop_token_ids": 5)", "stop_token_ids: expected a list of token ids, got 5"},
      {R"("logit_bias": {"100": 1})",
       "logit_bias: expected token ids from 0 to 99 in plain decimals as keys"},
      {R"("logit_bias": {"5": 60, "05": -100})", "logit_bias: expected token ids"},
      {R"("logit_bias": {"+5": 1})", "logit_bias: expected token ids"},
      {R"("logit_bias": {"1": 101})", "logit_bias: expected numbers from -100 to 100, got 101"},
      {R"("logit_bias": [1])", "logit_bias: expected an object"},
      {R"("top_logprobs": 3)", "top_logprobs: needs logprobs: true"},
      {R"("stream": 1)", "stream: expected true or false, got 1"},
      {R"("stream_options": {})", "stream_options: only allowed with stream: true"},
      {R"("stream": true, "stream_options": {"include_usage": 3})",
       "include_usage: expected true or false"},
      {R"("stream": true, "prompt_logprobs": 1)", "prompt_logprobs: not available in a stream"},
      {R"("min_tokens": 5, "max_tokens": 4)", "min_tokens: 5 is more than max_tokens 4"},
      {R"("tools": [{"type": "function"}])", "tools: not supported yet"},
      {R"("response_format": {"type": "json_object"})", "response_format: not supported yet"},
      {R"("guided_regex": "a")", "guided_regex: not supported yet"},
      {R"("echo": true)", "echo: not supported for chat yet"},
      {R"("repetition_detection": {"min_count": 3})", "repetition_detection: not supported yet"},
      {R"("vllm_xargs": {"a": 1})", "vllm_xargs: not supported yet"},
      {R"("stream": true, "stream_options": {"continuous_usage_stats": true})",
       "stream_options.continuous_usage_stats: not supported yet"},
      {R"("user": 5)", "user: expected string, got 5"},
      {R"("metadata": 3)", "metadata: expected object, got 3"},
      {R"("parallel_tool_calls": "x")", "parallel_tool_calls: expected boolean, got a string"},
      {R"("cache_salt": "")", "cache_salt: expected a string that is not empty"},
      {R"("chat_template_kwargs": 1)", "chat_template_kwargs: expected an object, got 1"},
      {R"("model": 1)", "model: expected a string, got 1"},
  };
  for (const auto& [fields, message] : cases)
    EXPECT_THAT(ChatError(fields), HasSubstr(message)) << fields;
}

TEST(ChatRequest, MessagesAreChecked) {
  const std::pair<const char*, const char*> cases[] = {
      {"null", "expected a list of at least one message, got nothing"},
      {"[]", "got a list of 0"},
      {R"(["x"])", "messages[0]: expected an object"},
      {R"([{"content": "x"}])", "messages[0].role: expected one of system"},
      {R"([{"role": "wizard", "content": "x"}])", "messages[0].role"},
      {R"([{"role": "user"}])", "messages[0].content: missing"},
      {R"([{"role": "user", "content": 5}])",
       "messages[0].content: expected a string or a list of parts, got 5"},
      {R"([{"role": "user", "content": [{"type": "image_url"}]}])",
       "only parts of type text with a string are supported, got type image_url"},
      {R"([{"role":"user","content":"a"},{"role":"user","content":"a"},{"role":"user","content":"a"},{"role":"user","content":"a"}])",
       "at most 3 are allowed, got 4"},
  };
  for (const auto& [messages, message] : cases) {
    const auto r = ParseChatRequest(fmt::format(R"({{"messages": {}}})", messages), kLimits);
    ASSERT_FALSE(r) << messages;
    EXPECT_THAT(r.error().message, HasSubstr(message));
    EXPECT_EQ(r.error().param, "messages");
  }
}

TEST(ChatRequest, MarkersAreTakenOutOfMessagesAndTheirPartsAndRemembered) {
  ParseLimits limits = kLimits;
  limits.max_messages = 9;
  const auto parse = [&](bool marked) {
    const char* on = R"(, "cache_control": {"type": "ephemeral"})";
    const char* with_ttl = R"(, "cache_control": {"type": "ephemeral", "ttl": "1h"})";
    const char* off = R"(, "cache_control": null)";
    return ParseChatRequest(
        fmt::format(R"({{"messages": [{{"role": "system", "content": "s"{}}},
                       {{"role": "user", "content": "u"{}}},
                       {{"role": "user", "content": [{{"type": "text", "text": "a"{}}},
                                                     {{"type": "text", "text": "b"}}]}},
                       {{"role": "assistant", "tool_calls": []{}}},
                       {{"role": "user", "content": "v"}}]}})",
                    marked ? on : "", marked ? off : "", marked ? with_ttl : "", marked ? on : ""),
        limits);
  };
  const auto marked = parse(true);
  ASSERT_TRUE(marked) << marked.error().message;
  EXPECT_THAT(marked->marked_messages, ElementsAre(0, 2, 3));
  const auto plain = parse(false);
  EXPECT_TRUE(plain->marked_messages.empty());
  EXPECT_EQ(*marked->messages, *plain->messages);
  EXPECT_EQ(*marked->canonical_fields, *plain->canonical_fields);
  EXPECT_EQ(marked->prompt_bytes, plain->prompt_bytes);
  EXPECT_EQ(marked->last_user_text, "v");
}

TEST(ChatRequest, BadMarkersAreNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {"true", R"(expected {"type": "ephemeral"}, got true)"},
      {R"("ephemeral")", R"(expected {"type": "ephemeral"}, got a string of 9 bytes)"},
      {"[]", "got a list of 0"},
      {"{}", "type: expected 'ephemeral', got nothing"},
      {R"({"type": "persistent"})", "type: expected 'ephemeral', got 'persistent'"},
      {R"({"type": 5})", "type: expected 'ephemeral', got 5"},
      {R"({"type": null})", "type: expected 'ephemeral', got null"},
      {R"({"type": "ephemeral", "ttl": 300})", "ttl: expected a string, got 300"},
  };
  for (const auto& [marker, message] : cases) {
    const std::string where[] = {
        fmt::format(R"([{{"role": "user", "content": "x", "cache_control": {}}}])", marker),
        fmt::format(
            R"([{{"role": "user", "content": [{{"type": "text", "text": "x", "cache_control": {}}}]}}])",
            marker)};
    const std::string fields[] = {"messages[0].cache_control",
                                  "messages[0].content[0].cache_control"};
    for (size_t i = 0; i < 2; ++i) {
      const auto r = ParseChatRequest(fmt::format(R"({{"messages": {}}})", where[i]), kLimits);
      ASSERT_FALSE(r) << where[i];
      EXPECT_THAT(r.error().message, StartsWith(fields[i]));
      EXPECT_THAT(r.error().message, HasSubstr(message));
      EXPECT_EQ(r.error().param, "messages");
    }
  }
}

TEST(ChatRequest, LastUserTextJoinsPartsAndCountsBytes) {
  const auto r = ParseChatRequest(
      R"({"messages": [{"role": "system", "content": "1234"}, {"role": "user", "content": [{"type": "text", "text": "ab"}, {"type": "text", "text": "c"}]}]})",
      kLimits);
  ASSERT_TRUE(r);
  EXPECT_EQ(r->last_user_text, "abc");
  EXPECT_EQ(r->prompt_bytes, 7);
}

TEST(ChatRequest, AHistoryWithCallsOfToolsIsSeen) {
  const auto has_tools = [](const std::string& messages) {
    const auto r = ParseChatRequest(fmt::format(R"({{"messages": [{}]}})", messages), kLimits);
    EXPECT_TRUE(r) << r.error().message;
    return r && r->has_tools;
  };
  EXPECT_FALSE(has_tools(R"({"role": "user", "content": "a tool"})"));
  EXPECT_TRUE(has_tools(R"({"role": "tool", "content": "4"})"));
  EXPECT_TRUE(has_tools(R"({"role": "assistant", "tool_calls": []})"));
}

TEST(CompletionRequest, ItsPromptsAreTheTextThatIsLookedAtForTimeWords) {
  const auto r = ParseCompletionRequest(R"({"prompt": ["one", "two"]})", kLimits);
  ASSERT_TRUE(r);
  EXPECT_EQ(r->last_user_text, "one\ntwo");
  EXPECT_EQ(ParseCompletionRequest(R"({"prompt": [1, 2]})", kLimits)->last_user_text, "");
}

TEST(ChatRequest, UnknownFieldsAreNamedAndIgnored) {
  const auto r = ParseChatRequest(Chat(R"("user": "me", "frobnicate": 1)"), kLimits);
  ASSERT_TRUE(r);
  EXPECT_THAT(r->ignored_fields, ElementsAre("frobnicate"));
  EXPECT_FALSE(r->canonical_fields->contains("frobnicate"));
}

TEST(Body, IsAnObjectOfValidUtf8NestedModestly) {
  const std::pair<std::string, const char*> cases[] = {
      {"", "not valid JSON"},
      {"{", "not valid JSON"},
      {"[]", "expected a JSON object, got a list of 0"},
      {"\"x\"", "expected a JSON object"},
      {"{\"a\": \"\xff\"}", "not valid UTF-8 at byte 7"},
      {"{\"a\": \"\\ud800\"}", "not valid JSON"},
      {"{\"a\": " + std::string(100, '[') + std::string(100, ']') + "}", "nested deeper than 64"},
      {"{\"a\": " + std::string(1'000'000, '['), "nested deeper than 64"},
      {"{\"a\": 1e999}", "not valid JSON"},
      {std::string("{\"a\": 1}\0}", 10), "not valid JSON"},
  };
  for (const auto& [body, message] : cases) {
    const auto parsed = ParseBody(body);
    ASSERT_FALSE(parsed) << body.substr(0, 30);
    EXPECT_THAT(parsed.error().message, HasSubstr(message));
  }
}

std::string Repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

// Bodies that took hours to parse when each object was looked for in its list, or each member in its object.
TEST(Body, OfManySmallPartsIsReadOrRefusedAtOnce) {
  const auto many = ParseBody("{\"a\": [" + Repeated("{},", 2'000'000) + "0]}");
  ASSERT_TRUE(many);
  EXPECT_EQ((**many)["a"].size(), 2'000'001u);
  std::string members;
  for (int i = 0; i < 1'000'000; ++i) members += fmt::format("\"{}\": 0, ", i);
  const std::string wide = "{" + members + "\"a\": 0}";
  ASSERT_FALSE(ParseBody(wide));
  EXPECT_THAT(ParseBody(wide).error().message, HasSubstr("more than 4096 members"));
  members.resize(members.find("\"4000\""));
  const std::string narrow = "{" + members + "\"a\": 0}";
  EXPECT_TRUE(ParseBody(narrow));
  EXPECT_FALSE(ParseBody("{\"a\": [" + Repeated(narrow + ",", 20) + "0]}"));
}

TEST(CompletionRequest, TakesTextIdsAndArraysOfEither) {
  const auto prompts = [](const std::string& prompt) {
    const auto r = ParseCompletionRequest(fmt::format(R"({{"prompt": {}}})", prompt), kLimits);
    EXPECT_TRUE(r) << r.error().message;
    return r ? r->prompts : std::vector<CompletionPrompt>();
  };
  using Ids = std::vector<int32_t>;
  EXPECT_THAT(prompts(R"("a")"), ElementsAre(CompletionPrompt("a")));
  EXPECT_THAT(prompts("[1, 2]"), ElementsAre(CompletionPrompt(Ids{1, 2})));
  EXPECT_THAT(prompts(R"(["a", "b"])"), ElementsAre(CompletionPrompt("a"), CompletionPrompt("b")));
  EXPECT_THAT(prompts("[[1], [2, 3]]"),
              ElementsAre(CompletionPrompt(Ids{1}), CompletionPrompt(Ids{2, 3})));
}

TEST(CompletionRequest, BadPromptsAreNamed) {
  for (const char* prompt :
       {"null", "[]", "5", "[100]", "[-1]", "[[]]", "[1, \"a\"]", "[\"a\", 1]", "{}"}) {
    const auto r = ParseCompletionRequest(fmt::format(R"({{"prompt": {}}})", prompt), kLimits);
    ASSERT_FALSE(r) << prompt;
    EXPECT_THAT(r.error().message, HasSubstr("prompt")) << prompt;
  }
  EXPECT_FALSE(ParseCompletionRequest(R"({"prompt": "a", "max_tokens": 0})", kLimits));
  EXPECT_TRUE(ParseCompletionRequest(R"({"prompt": "a", "max_tokens": 0, "echo": true})", kLimits));
}

TEST(ApiRequest, WithoutALimitTheCheckpointsMaxNewTokensHoldsForChats) {
  ParseLimits limits = kLimits;
  EXPECT_EQ(ParseChatRequest(Chat(""), limits)->max_tokens_default, std::nullopt);
  limits.defaults.max_new_tokens = 12;
  const auto chat = ParseChatRequest(Chat(""), limits);
  EXPECT_EQ(chat->max_tokens, std::nullopt);
  EXPECT_EQ(chat->max_tokens_default, 12);
  EXPECT_EQ(ParseChatRequest(Chat(R"("max_tokens": 30)"), limits)->max_tokens, 30);
  EXPECT_EQ(ParseCompletionRequest(R"({"prompt": "a"})", limits)->max_tokens_default, 16)
      << "completions have a default of their own";
  EXPECT_NE(*chat->canonical_fields, *ParseChatRequest(Chat(""), kLimits)->canonical_fields)
      << "another limit is another answer";
}

TEST(ApiRequest, ABoundOnTheServerHoldsForEveryRequest) {
  ParseLimits limits = kLimits;
  limits.defaults.max_new_tokens = limits.max_tokens_bound = 12;
  EXPECT_EQ(ParseChatRequest(Chat(""), limits)->max_tokens_default, 12);
  EXPECT_EQ(ParseChatRequest(Chat(R"("max_tokens": 30)"), limits)->max_tokens, 12);
  EXPECT_EQ(ParseChatRequest(Chat(R"("max_tokens": 5)"), limits)->max_tokens, 5);
  EXPECT_EQ(ParseCompletionRequest(R"({"prompt": "a"})", limits)->max_tokens_default, 12);
  EXPECT_EQ(ParseCompletionRequest(R"({"prompt": "a", "max_tokens": 30})", limits)->max_tokens, 12);
}

}  // namespace
}  // namespace nextgate::gateway::openai
