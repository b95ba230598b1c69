// What is recorded of an upstream's answer, and the two forms made into each other.
#include "gateway/upstream/recorded.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "gateway/upstream/convert.h"
#include "gateway/upstream/json_members.h"

namespace nextgate::gateway {
namespace {

using nlohmann::json;
using openai::Endpoint;

TEST(Recorded, EveryChunkComesBackByteByByteAndDiffsAreSmallJson) {
  std::mt19937 random(1);  // the bound is on what is typical
  const std::string_view words[] = {"a",    " harbour", "é", "日本", "\\n",
                                    "\\\"", "\\u00e9",  "",  "😀"};
  ChunkRecorder recorder;
  ChunkReader reader;
  size_t recorded = 0, came = 0;
  for (int i = 0; i < 5000; ++i) {
    std::string chunk =
        R"({"id":"chatcmpl-1","created":17,"model":"m","choices":[{"index":0,"delta":{"content":")";
    for (unsigned n = random() % 4; n > 0; --n) chunk += words[random() % std::size(words)];
    chunk += random() % 50 == 0 ? R"("},"finish_reason":null}],"usage":{"prompt_tokens":5}})"
                                : R"("},"finish_reason":null}]})";
    if (random() % 200 == 0) chunk = R"({"other":")" + chunk.substr(chunk.size() - 20) + "x}";
    if (!json::accept(chunk)) continue;
    const std::string extras = recorder.Chunk(chunk);
    ASSERT_TRUE(json::accept(extras)) << extras;
    const auto part = reader.Next(extras);
    ASSERT_TRUE(part);
    ASSERT_EQ(part->text, chunk);
    recorded += extras.size();
    came += chunk.size();
  }
  EXPECT_LT(3 * recorded, came);
}

TEST(Recorded, BodiesAndErrorsKeepTheirBytes) {
  ChunkReader reader;
  const std::string body = "{ \"a\" : [1.0, 2] }\n";
  auto part = reader.Next(ChunkRecorder::Body(body));
  ASSERT_TRUE(part && part->kind == ChunkReader::Kind::kBody);
  EXPECT_EQ(part->text, body);
  part = reader.Next(ChunkRecorder::ErrorEvent("{\"error\":1}"));
  ASSERT_TRUE(part && part->kind == ChunkReader::Kind::kError);
  EXPECT_EQ(part->text, "{\"error\":1}");
  for (const char* bad :
       {"", "x", "[]", "[\"diff\",9,0,\"x\"]", "[\"diff\",-1,0,\"x\"]", "[1,2,3,4]"})
    EXPECT_FALSE(ChunkReader().Next(bad)) << bad;
}

TEST(JsonMembers, EditsChangeNothingElse) {
  const std::string text = "{ \"a\" : 1 ,\n \"b\":{\"a\":[\"}\",2]}, \"c\" : \"x\\\"y\" }";
  const auto edited = [&](std::vector<MemberEdit> edits) { return WithMembers(text, edits); };
  EXPECT_EQ(edited({}), text);
  EXPECT_EQ(edited({{.name = "a", .value = "[7]"}}),
            "{ \"a\" : [7] ,\n \"b\":{\"a\":[\"}\",2]}, \"c\" : \"x\\\"y\" }");
  EXPECT_EQ(json::parse(edited({{.name = "a"}})), json::parse(R"({"b":{"a":["}",2]},"c":"x\"y"})"));
  EXPECT_EQ(json::parse(edited({{.name = "a"}, {.name = "b"}})), json::parse(R"({"c":"x\"y"})"));
  EXPECT_EQ(json::parse(edited({{.name = "c"}, {.name = "d", .value = "true"}})),
            json::parse(R"({"a":1,"b":{"a":["}",2]},"d":true})"));
  EXPECT_EQ(edited({{.name = "d", .value = "1", .add = false}}), text);
  EXPECT_EQ(WithMembers("{}", std::vector<MemberEdit>{{.name = "d", .value = "1"}}), "{\"d\":1}");
  EXPECT_EQ(WithMembers(R"({"a":1})", std::vector<MemberEdit>{{.name = "a"}}), "{}");
  EXPECT_EQ(MembersOf(R"({"\u0061":1})").front().name, "a");
}

TEST(JsonMembers, AgreesWithTheParserOnRandomObjects) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  std::function<json(int)> make = [&](int depth) -> json {
    switch (random() % (depth > 3 ? 4 : 6)) {
      case 0:
        return static_cast<int>(random() % 100) - 50;
      case 1:
        return "s\"}]{[,:\\" + std::to_string(random() % 9);
      case 2:
        return nullptr;
      case 3:
        return 0.5;
      case 4: {
        json list = json::array();
        for (unsigned n = random() % 4; n > 0; --n) list.push_back(make(depth + 1));
        return list;
      }
      default: {
        json object = json::object();
        for (unsigned n = random() % 4; n > 0; --n)
          object["k\"" + std::to_string(random() % 9)] = make(depth + 1);
        return object;
      }
    }
  };
  for (int round = 0; round < 2000; ++round) {
    json object = json::object();
    for (unsigned n = random() % 6; n > 0; --n)
      object[std::string(1, static_cast<char>('a' + random() % 8))] = make(0);
    const std::string text = object.dump(random() % 2 == 0 ? -1 : 2);
    const auto members = MembersOf(text);
    ASSERT_EQ(members.size(), object.size()) << text;
    for (const JsonMember& member : members)
      ASSERT_EQ(json::parse(member.value), object[member.name]) << text;
    std::vector<MemberEdit> edits;
    json expected = object;
    for (const char* name : {"a", "c", "z"}) {
      if (random() % 2 == 0) {
        edits.push_back({.name = name});
        expected.erase(name);
      } else {
        edits.push_back({.name = name, .value = "[1]"});
        expected[name] = {1};
      }
    }
    ASSERT_EQ(json::parse(WithMembers(text, edits)), expected) << text;
  }
}

TEST(Convert, ChunksAddUpToTheBodyWithEveryMember) {
  const std::vector<std::string> chunks = {
      R"({"id":"x","object":"chat.completion.chunk","created":1,"model":"m","system_fingerprint":"fp","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null})",
      R"({"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"reasoning_content":"hm"},"finish_reason":null}]})",
      R"({"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"Hel"},"logprobs":{"content":[{"token":"Hel"}]},"finish_reason":null}]})",
      R"({"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"lo"},"logprobs":{"content":[{"token":"lo"}]},"finish_reason":null}]})",
      R"({"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":""}}]},"finish_reason":null}]})",
      R"({"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}}]},"finish_reason":null}]})",
      R"({"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]},"finish_reason":null}]})",
      R"({"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls","stop_reason":null}]})",
      R"({"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}})"};
  const std::string body = BodyOfChunks(Endpoint::kChat, chunks);
  EXPECT_EQ(json::parse(body), json::parse(R"({
    "id":"x","object":"chat.completion","created":1,"model":"m","system_fingerprint":"fp",
    "choices":[{"index":0,"message":{"role":"assistant","content":"Hello","refusal":null,
      "reasoning_content":"hm","tool_calls":[{"id":"c1","type":"function",
        "function":{"name":"f","arguments":"{\"a\":1}"}}]},
      "logprobs":{"content":[{"token":"Hel"},{"token":"lo"}]},
      "finish_reason":"tool_calls","stop_reason":null}],
    "usage":{"prompt_tokens":3,"completion_tokens":2}})"));
  // And back: told as a stream, it adds up to the same again.
  EXPECT_EQ(json::parse(BodyOfChunks(Endpoint::kChat, ChunksOfBody(Endpoint::kChat, body, true))),
            json::parse(body));
}

TEST(Convert, ChoicesAreSortedAndCompletionsJoined) {
  const std::vector<std::string> chunks = {
      R"({"id":"x","object":"text_completion","choices":[{"index":1,"text":"b","logprobs":{"tokens":["b"]},"finish_reason":null}]})",
      R"({"id":"x","object":"text_completion","choices":[{"index":0,"text":"a","finish_reason":null}]})",
      R"({"id":"x","object":"text_completion","choices":[{"index":1,"text":"B","logprobs":{"tokens":["B"]},"finish_reason":"stop"},{"index":0,"text":"A","finish_reason":"length"}]})"};
  const std::string body = BodyOfChunks(Endpoint::kCompletion, chunks);
  EXPECT_EQ(json::parse(body), json::parse(R"({"id":"x","object":"text_completion","choices":[
    {"index":0,"text":"aA","finish_reason":"length"},
    {"index":1,"text":"bB","logprobs":{"tokens":["b","B"]},"finish_reason":"stop"}]})"));
  EXPECT_EQ(json::parse(BodyOfChunks(Endpoint::kCompletion,
                                     ChunksOfBody(Endpoint::kCompletion, body, true))),
            json::parse(body));
}

TEST(Convert, UsageIsToldOnlyToThoseWhoAsked) {
  const std::string body =
      R"({"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}})";
  EXPECT_EQ(ChunksOfBody(Endpoint::kChat, body, false).size(), 3u);
  const auto chunks = ChunksOfBody(Endpoint::kChat, body, true);
  ASSERT_EQ(chunks.size(), 4u);
  EXPECT_EQ(json::parse(chunks.back())["usage"]["prompt_tokens"], 1);
  EXPECT_TRUE(json::parse(chunks.back())["choices"].empty());
}

}  // namespace
}  // namespace nextgate::gateway
