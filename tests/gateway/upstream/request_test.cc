#include "gateway/upstream/request.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cache/key.h"

namespace nextgate::gateway {
namespace {

using nlohmann::json;
using openai::ApiRequest;
using openai::Endpoint;

ApiRequest Read(const std::string& body, const std::string& model = "",
                Endpoint endpoint = Endpoint::kChat) {
  auto request = ReadForUpstream(endpoint, body, model);
  EXPECT_TRUE(request) << request.error().message;
  return *request;
}
std::string Chat(const std::string& fields) {
  return R"({"model":"m","messages":[{"role":"user","content":"hi"}])" +
         (fields.empty() ? "" : "," + fields) + "}";
}
// The canonical text; "reason field" of what is ineligible.
std::string Canonical(const ApiRequest& request) {
  const auto text = cache::Canonicalise(*request.canonical_fields);
  return text ? *text
              : std::string(cache::ReasonCode(text.error().reason)) + " " + text.error().detail;
}

TEST(UpstreamRequest, GoesOnByteByByte) {
  for (const std::string& body :
       {Chat(""), std::string("{ \"model\" : \"m\",\n \"x\":1.50, \"messages\":[] }"),
        Chat(R"("tools":[{"type":"function"}],"response_format":{"type":"json_object"})"),
        Chat(R"("temperature":9,"guided_regex":"a+")"), std::string("{not json"),
        std::string("\xff\xfe")})
    EXPECT_EQ(*Read(body).forwarded_body, body);
}

TEST(UpstreamRequest, ModelIsReplacedIfTheOperatorSaysSo) {
  EXPECT_EQ(*Read(Chat(R"("n":1)"), "other/\"m\"").forwarded_body,
            R"({"model":"other/\"m\"","messages":[{"role":"user","content":"hi"}],"n":1})");
  EXPECT_EQ(json::parse(*Read(R"({"messages":[]})", "other").forwarded_body)["model"], "other");
  // What it was called by the client makes no difference then.
  EXPECT_EQ(
      Canonical(Read(Chat(""), "other")),
      Canonical(Read(R"({"model":"x","messages":[{"role":"user","content":"hi"}]})", "other")));
  EXPECT_NE(Canonical(Read(Chat(""))), Canonical(Read(Chat(""), "other")));
}

TEST(UpstreamRequest, StreamsAreAskedForTheirUsage) {
  const auto options = [](const std::string& fields) {
    return json::parse(*Read(Chat(fields)).forwarded_body).value("stream_options", json());
  };
  EXPECT_EQ(options(R"("stream":true)"), json::parse(R"({"include_usage":true})"));
  EXPECT_EQ(options(R"("stream":true,"stream_options":null)"),
            json::parse(R"({"include_usage":true})"));
  EXPECT_EQ(options(R"("stream":true,"stream_options":{"include_usage":false,"x":1})"),
            json::parse(R"({"include_usage":true,"x":1})"));
  EXPECT_EQ(options(R"("stream":false)"), json());
  EXPECT_FALSE(Read(Chat(R"("stream":true)")).include_usage);
  EXPECT_TRUE(Read(Chat(R"("stream":true,"stream_options":{"include_usage":true})")).include_usage);
}

TEST(UpstreamRequest, CacheControlsStayHere) {
  const ApiRequest request = Read(Chat(R"("cache":{"no-store":true})"));
  EXPECT_EQ(*request.forwarded_body, Chat(""));
  EXPECT_EQ((*request.cache_controls)["no-store"], true);
  EXPECT_EQ(Canonical(request), Canonical(Read(Chat(""))));
}

TEST(UpstreamRequest, MarkersGoOnAndAreNotCompared) {
  const auto chat = [](const std::string& on_message, const std::string& on_part) {
    return R"({"model":"m","messages":[{"role":"system","content":"s")" + on_message +
           R"(},{"role":"user","content":[{"type":"text","text":"hi")" + on_part + "}]}]}";
  };
  const std::string plain = Canonical(Read(chat("", "")));
  const std::string marker = R"(,"cache_control":{"type":"ephemeral"})";
  const std::string with_ttl = R"(,"cache_control":{"ttl":"1h","type":"ephemeral"})";
  for (const std::string& body :
       {chat(marker, ""), chat("", marker), chat(with_ttl, with_ttl), chat(marker, with_ttl)}) {
    EXPECT_EQ(Canonical(Read(body)), plain) << body;
    EXPECT_EQ(*Read(body).forwarded_body, body);
  }
  for (const char* other : {R"(,"cache_control":{"type":"forever"})", R"(,"cache_control":1)",
                            R"(,"cache_control":{"type":"ephemeral","ttl":5})"})
    EXPECT_NE(Canonical(Read(chat(other, ""))), plain) << "an upstream may refuse " << other;
}

TEST(UpstreamRequest, NoDefaultsOfOursAreFilledIn) {
  const std::string canonical = Canonical(Read(Chat("")));
  EXPECT_EQ(json::parse(canonical), json::parse(Chat(R"("endpoint":"chat.completions")")));
  EXPECT_NE(Canonical(Read(Chat(R"("top_p":1)"))), canonical);
  EXPECT_EQ(Canonical(Read(Chat(R"("stream":true,"user":"u","top_p":null)"))), canonical);
}

TEST(UpstreamRequest, WhatIsNotUnderstoodIsNotCached) {
  EXPECT_EQ(Canonical(Read(Chat(R"("guided_regex":"a+")"))), "unknown_field guided_regex");
  for (const std::string& body :
       {std::string("{not json"), Chat(R"("stream":"yes")"), Chat(R"("temperature":"0")"),
        Chat(R"("stream":true,"stream_options":{"continuous_usage_stats":true})"),
        Chat(R"("seed":1,"seed":2)"), Chat(R"("endpoint":"x")"),
        Chat(R"("metadata":{"a":[{"b":1,"b":2}]})")})
    EXPECT_TRUE(Canonical(Read(body)).starts_with("unknown_field")) << body;
}

TEST(UpstreamRequest, ABodyThatReadersReadDifferentlyIsMarked) {
  EXPECT_FALSE(Read(Chat(R"("n":1)")).ambiguous);
  for (const char* fields : {R"("model":"other")", R"("MODEL":"other")", R"("n":1,"n":2)",
                             R"("metadata":{"a":[{"b":1,"b":1}]})"})
    EXPECT_TRUE(Read(Chat(fields)).ambiguous) << fields;
  EXPECT_TRUE(Read("{not json").ambiguous);
}

TEST(UpstreamRequest, TheFactsForThePolicyAreFound) {
  const ApiRequest plain = Read(Chat(R"("temperature":0.5,"seed":7,"max_tokens":9)"));
  EXPECT_EQ(plain.temperature_given, 0.5);
  EXPECT_TRUE(plain.sampling.seed);
  EXPECT_EQ(plain.max_tokens, 9);
  EXPECT_EQ(plain.prompt_bytes, 2);
  EXPECT_EQ(plain.last_user_text, "hi");
  EXPECT_FALSE(plain.has_tools || plain.has_images);
  EXPECT_TRUE(Read(Chat(R"("tools":[{"type":"function"}])")).has_tools);
  EXPECT_TRUE(Read(R"({"messages":[{"role":"tool","content":"x"}]})").has_tools);
  EXPECT_EQ(Read(R"({"prompt":["ab","now"]})", "", Endpoint::kCompletion).last_user_text,
            "ab\nnow");
  const ApiRequest parts = Read(
      R"({"messages":[{"role":"user","content":[{"type":"text","text":"abc"},{"type":"image_url","image_url":{"url":"x"}}]}]})");
  EXPECT_TRUE(parts.has_images);
  EXPECT_EQ(parts.prompt_bytes, 3);
  EXPECT_EQ(Read(R"({"prompt":["ab","c"],"n":2})", "", Endpoint::kCompletion).n, 4);
  EXPECT_EQ(Read(R"({"prompt":[1,2,3]})", "", Endpoint::kCompletion).prompt_bytes, 12);
}

TEST(UpstreamRequest, OnlyWhatThisServerCannotHandleIsRefused) {
  std::string deep = R"({"x":)" + std::string(100, '[') + std::string(100, ']') + "}";
  EXPECT_FALSE(ReadForUpstream(Endpoint::kChat, deep, ""));
  EXPECT_FALSE(ReadForUpstream(Endpoint::kChat, "[1]", ""));
  EXPECT_TRUE(ReadForUpstream(Endpoint::kChat, "", ""));
}

}  // namespace
}  // namespace nextgate::gateway
