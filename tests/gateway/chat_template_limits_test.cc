// Templates that nest, recurse, loop or multiply text without end: each is refused, none ends the process.
#include "gateway/chat_template_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "gateway/chat_template.h"

namespace nextgate::gateway {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::string Times(int count, const std::string& text) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

// "" if it parses, else why not.
std::string ParseError(const std::string& source) {
  const auto opened = ChatTemplate::FromSource(source, "", "", "test");
  return opened ? "" : opened.error().message;
}

// What a conversation of one message becomes, or the error's text.
std::string RenderOrError(const std::string& source) {
  const auto opened = ChatTemplate::FromSource(source, "", "", "test");
  if (!opened) return opened.error().message;
  const auto messages = nlohmann::ordered_json::parse(R"([{"role": "user", "content": "text"}])");
  const auto chat = (*opened)->Render({.messages = &messages});
  if (!chat) {
    EXPECT_EQ(chat.error().code, ErrorCode::kInvalidArgument);
    return chat.error().message;
  }
  std::string text;
  for (const auto& piece : chat->pieces) text += piece.text;
  return text;
}

// Only the conversation of RenderOrError runs it; the engine's analysis at the start does not.
std::string OnlyForUs(const std::string& source) {
  return "{% if messages[0].content == 'text' %}" + source + "{% endif %}";
}

TEST(ChatTemplateLimits, DeepSyntaxIsRefusedBeforeItIsParsed) {
  constexpr int kMany = 20'000;
  for (const auto& [open, middle, close] :
       std::vector<std::tuple<std::string, std::string, std::string>>{{"(", "1", ")"},
                                                                      {"[", "1", "]"},
                                                                      {"{1: ", "1", "}"},
                                                                      {"1 + ", "1", ""},
                                                                      {"not ", "1", ""},
                                                                      {"1 if 1 else ", "1", ""},
                                                                      {"", "messages", ".a"},
                                                                      {"", "messages", "[0]"},
                                                                      {"", "range", "()"},
                                                                      {"", "'a'", " | trim"},
                                                                      {"a(b[", "1", "])"},
                                                                      {"(1, ", "1", ")"}})
    EXPECT_THAT(ParseError("{{ " + Times(kMany, open) + middle + Times(kMany, close) + " }}"),
                HasSubstr("inside each other"))
        << open << middle << close;
  for (const auto& [open, close] : std::vector<std::pair<std::string, std::string>>{
           {"{% if 1 %}", "{% endif %}"},
           {"{% for x in [1] %}", "{% endfor %}"},
           {"{% macro m() %}", "{% endmacro %}"},
           {"{% filter trim %}", "{% endfilter %}"},
           {"{% call m() %}", "{% endcall %}"},
           {"{% set x %}", "{% endset %}"},
           {"{% if 1 %}" + Times(50, "{% elif 1 %}"), "{% endif %}"}})
    EXPECT_THAT(ParseError(Times(kMany, open) + Times(kMany, close)), HasSubstr("blocks")) << open;
}

TEST(ChatTemplateLimits, WhatRealTemplatesNestIsLet) {
  EXPECT_EQ(RenderOrError("{{ " + Times(90, "(") + "1" + Times(90, ")") + " }}"), "1");
  EXPECT_EQ(RenderOrError("{{ 0" + Times(500, " + 1") + " }}"), "500");
  EXPECT_EQ(RenderOrError("{{ [" + Times(20'000, "1 + 1, ") + "1] | length }}"), "20001");
  EXPECT_EQ(RenderOrError(Times(100, "{% if 1 %}") + "x" + Times(100, "{% endif %}")), "x");
  EXPECT_EQ(RenderOrError(Times(5000, "{% set x = 1 %}{% if x %}{% else %}{% endif %}") + "y"),
            "y");
  EXPECT_EQ(RenderOrError("{% if 0 %}" + Times(150, "{% elif 0 %}") + "{% else %}z{% endif %}"),
            "z");
}

TEST(ChatTemplateLimits, ATemplateThatLoopsOrMultipliesWithoutEndIsStopped) {
  const std::string loop = "{% for a in range(100000) %}";
  const std::string end = "{% endfor %}";
  const std::string nested = "{% set l = ['x'] %}" + Times(60, "{% set l = [l, l] %}");
  for (const std::string& source : std::vector<std::string>{
           "{% for x in range(1000000000) %}x{% endfor %}",
           loop + loop + "x" + end + end,
           loop + loop + end + end,
           "{% set x = 'ab' %}" + Times(60, "{% set x = x ~ x %}"),
           "{% set x = 'ab' %}" + Times(60, "{% set x = [x, x] | join %}"),
           "{% set x = [1] %}" + Times(60, "{% set x = x + x %}"),
           "{{ 'ab' * 1000000000000 }}",
           "{{ '' * 1000000000000 }}",
           "{% set x = 'a' * 1000000 %}{{ x.replace('a', x) }}",
           "{{ ('\n' * 1000000) | indent(1000, true, true) }}",
           nested + "{{ l }}",
           nested + "{{ l | tojson }}",
           nested + "{{ l | string }}",
       })
    EXPECT_THAT(RenderOrError(OnlyForUs(source)), StartsWith("the chat template "))
        << source.substr(0, 80);
}

// On a stack as small as a connection thread's.
std::string RenderOnAWorker(std::string source) {
  struct Work {
    std::string source, result;
  } work{std::move(source), ""};
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr size_t kStackBytes = 1024 << 10;
#else
  constexpr size_t kStackBytes = 256 << 10;
#endif
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  pthread_t thread;
  EXPECT_EQ(pthread_create(
                &thread, &attributes,
                [](void* argument) -> void* {
                  auto* work = static_cast<Work*>(argument);
                  work->result = RenderOrError(work->source);
                  return nullptr;
                },
                &work),
            0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  return work.result;
}

TEST(ChatTemplateLimits, CyclesAndValuesNestedWithoutEndAreStopped) {
  const std::string cycle = "{% set l = [] %}{% set _ = l.append(l) %}";
  for (const char* use : {"{{ l }}", "{{ l | string }}", "{{ l | tojson }}"})
    EXPECT_THAT(RenderOnAWorker(OnlyForUs(cycle + use)), StartsWith("the chat template ")) << use;
  // Nor are they leaked (LeakSanitizer tells).
  EXPECT_EQ(RenderOrError(cycle + "ok"), "ok");
  EXPECT_EQ(RenderOrError("{% set n = namespace(a={}) %}{% set n.me = {'n': [n]} %}ok"), "ok");
  const std::string deep =
      "{% set n = namespace(v=[]) %}{% for i in range(9000) %}{% set n.v = [n.v] %}{% endfor %}";
  EXPECT_EQ(RenderOnAWorker(OnlyForUs(deep + "ok")),
            "ok");  // building and freeing it needs no stack
  for (const char* use : {"{{ n.v }}", "{{ n.v | tojson }}", "{{ n.v | string }}"})
    EXPECT_THAT(RenderOnAWorker(OnlyForUs(deep + use)), StartsWith("the chat template ")) << use;
  EXPECT_THAT(
      RenderOnAWorker(OnlyForUs("{% set n = namespace(v=(1, 1)) %}{% for i in range(9000) %}"
                                "{% set n.v = (n.v, 1) %}{% endfor %}{{ {n.v: 1} }}")),
      HasSubstr("nests tuples too deeply"));
}

TEST(ChatTemplateLimits, RecursionStopsBeforeTheStackOfAWorkerEnds) {
  const std::string one = "{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}";
  const std::string two =
      "{% macro a() %}{% for x in [1] %}{{ b() }}{% endfor %}{% endmacro %}"
      "{% macro b() %}{% if 1 %}{{ a() }}{% endif %}{% endmacro %}{{ a() }}";
  for (const std::string& source : {one, two}) {
    EXPECT_THAT(RenderOnAWorker(source), HasSubstr("does not parse: for a short conversation it "
                                                   "calls or nests itself too deeply"));
    EXPECT_THAT(RenderOnAWorker(OnlyForUs(source)),
                HasSubstr("the chat template calls or nests itself too deeply"));
  }
  EXPECT_THAT(RenderOnAWorker("{{ 0" + Times(900, " + 1") + " }}"),
              testing::AnyOf("900", HasSubstr("too deeply")));
  EXPECT_EQ(RenderOnAWorker("{% macro m(x) %}{% if x > 0 %}{{ x }}{{ m(x - 1) }}{% endif %}"
                            "{% endmacro %}{{ m(5) }}"),
            "54321");
}

// Files that somebody else wrote, with a few characters changed: an error or another text, and nothing worse.
TEST(ChatTemplateLimits, MutatedTemplatesAndConfigurationsAreSurvived) {
  const auto read = [](const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const std::string folder = NEXTGATE_SOURCE_DIR "/models/dictionary/";
  const std::string jinja = read(folder + "chat_template.jinja");
  auto config = nlohmann::ordered_json::parse(read(folder + "tokenizer_config.json"));
  config["chat_template"] = jinja;
  const auto messages = nlohmann::ordered_json::parse(
      R"([{"role": "system", "content": "S"}, {"role": "user", "content": "text"}])");
  const std::string_view pieces[] = {
      "{%", "%}", "{{",  "}}", "(",     ")",      "[",     "]",        "'", "\"",  "|",
      ".",  "-",  "~",   "=",  ",",     ":",      " not ", "\\",       "{", "}",   "\x80",
      "in", "is", "for", "if", "macro", "endfor", "endif", "messages", "0", "loop"};
  char folder_name[] = "/tmp/nextgate_template_XXXXXX";
  const std::filesystem::path dir = ::mkdtemp(folder_name);
  std::mt19937 random(20261125);
  int opened = 0;
  for (int round = 0; round < 600; ++round) {
    const bool is_config = round % 2 == 1;
    std::string text = is_config ? config.dump() : jinja;
    for (int n = 1 + static_cast<int>(random() % 3); n > 0; --n) {
      const size_t at = random() % text.size();
      const size_t length = random() % 3 == 0 ? random() % 12 : 0;
      text.replace(at, std::min(length, text.size() - at), pieces[random() % std::size(pieces)]);
      if (random() % 8 == 0) text.resize(1 + random() % text.size());
    }
    std::filesystem::remove(dir / "chat_template.jinja");
    std::ofstream(dir / (is_config ? "tokenizer_config.json" : "chat_template.jinja"),
                  std::ios::binary)
        << text;
    if (const auto parsed = ChatTemplate::Open(dir.string())) {
      (void)(*parsed)->Render({.messages = &messages});
      ++opened;
    }
    std::filesystem::remove(dir / "tokenizer_config.json");
  }
  std::filesystem::remove_all(dir);
  EXPECT_GT(opened, 50);  // else the mutations are too coarse to get anywhere
  EXPECT_LT(opened, 550);
}

// The limits are far from what conversations need.
TEST(ChatTemplateLimits, ALongConversationStaysFarBelowThem) {
  const auto opened = ChatTemplate::Open(NEXTGATE_SOURCE_DIR "/models/dictionary");
  ASSERT_TRUE(opened) << opened.error().message;
  auto messages = nlohmann::ordered_json::array();
  for (int i = 0; i < 8192; ++i)
    messages.push_back(
        {{"role", i % 2 == 0 ? "user" : "assistant"}, {"content", std::string(1000, 'x')}});
  const auto chat = (*opened)->Render({.messages = &messages});
  ASSERT_TRUE(chat) << chat.error().message;
  ASSERT_FALSE(chat->message_texts.empty());
  EXPECT_EQ(chat->message_texts.back().message, 8191);
}

}  // namespace
}  // namespace nextgate::gateway
