// What must be equal is equal, what must differ differs.
#include "cache/normalise.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

namespace nextgate::cache {
namespace {

using nlohmann::json;

std::string Normal(std::string_view text) {
  const auto normalised = NormaliseText(text);
  return normalised ? *normalised : "!" + std::string(UnnormalisableCode(normalised.error()));
}

TEST(Normalise, WhatOnlyIsWrittenDifferentlyIsEqual) {
  const std::vector<std::vector<std::string>> groups = {
      {"What is a harbour?", "what is a harbour", "What is a harbour", "  what   is a\tharbour ? ",
       "What is a harbour.", "what is a harbour??", "What is a harbour!", "What is a harbour?\n",
       "what is a\u00a0harbour?", "What is a harbour？"},
      {"Define harbour.", "define harbour", "Define  harbour!", "Define harbour"},
      {"You paid.", "You paid", "you paid!"},
      {"You paid?", "you paid ?", "You paid??"},
      {"How do I tie a knot?", "how do I tie a knot"},
      {"Hello! What is it?", "hello! what is it", "hello! What is it"},
      {"什么是港口？", "什么是港口", "什么是港口。", " 什么是港口?"},
      {"Was heißt das?", "was heißt das?"},
      {"Что это?", "что это?"},
      {"Don't you like it?", "don't you like it ?"},
  };
  for (const auto& group : groups)
    for (const std::string& text : group) EXPECT_EQ(Normal(text), Normal(group[0])) << text;
}

TEST(Normalise, WhatMayMeanSomethingElseDiffers) {
  const std::vector<std::vector<std::string>> groups = {
      {"You paid.", "You paid?"},
      {"Do it.", "Do it?"},
      {"Have fun", "Have fun?"},
      {"他走了。", "他走了？"},
      {"Is it on?", "Is it not on?", "Isn't it on?", "Is it off?"},
      {"Turn on the light", "Turn off the light"},
      {"Polish the table", "polish the table"},
      {"Turkey recipes", "turkey recipes"},
      {"May is warm", "may is warm"},
      {"China's tea", "china's tea"},
      {"C is a letter", "c is a letter"},
      {"What is I in a circuit?", "What is i in a circuit?"},
      {"It ends so...", "It ends so"},
      {"It ends so…", "It ends so"},
      {"It ends so. Or not.", "It ends so, or not."},
      {"Go on. Paris is far.", "Go on. paris is far."},
      {"What is a harbour", "What is an harbour", "What is a harbor"},
      {"naïve", "naive"},
      {"a bank", "the bank"},
      {"one apple", "two apples"},
      {"well known", "well-known"},
      {"no, stop", "no stop"},
      {"don't", "don’t"},
  };
  for (const auto& group : groups)
    for (size_t i = 0; i < group.size(); ++i)
      for (size_t j = 0; j < i; ++j)
        EXPECT_NE(Normal(group[i]), Normal(group[j])) << group[i] << " | " << group[j];
}

TEST(Normalise, TextsWhoseLettersDoNotSayAllHaveNoSecondKey) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> by_code = {
      {"digits", {"Add 2 and 3", "the year 1999", "五加５", "part Ⅳ", "x²", "half ½"}},
      {"quotes",
       {"What is \"it\"?", "He said 'no'", "“it”", "‘it’", "«it»", "the dogs' bowl", "「港」"}},
      {"code", {"std::vector", "node.js",      "what does -v do",
                "a_b",         "foo(bar)",     "x = y",
                "`ls`",        "{}",           "<b>",
                "a/b",         "C#",           "cost in $",
                "an@example",  "[a]",          "a\\b",
                "a|b",         "use --help",   ".net",
                "print:x",     "a*b",          "a\u200db",
                "I ❤ it",      "tab;tab",      "a+b",
                "\xff\xfe",    "call f (x).g", "50％"}},
      {"line_break", {"a\nb", "a\r\nb", "a\u2028b", "a\vb"}},
      {"case",
       {"Tell US about it", "the US", "in Polish", "iPhone", "WHAT IS IT", "What Is It", "NASA",
        "a, Paris", "McDonald", "the O'Brien", "Işık", "ısı", "the C language", "ǅep"}},
      {"empty", {"", "   ", "?", "...", "!?", "( )"}},
  };
  for (const auto& [code, texts] : by_code)
    for (const std::string& text : texts) {
      const std::string got = Normal(text);
      EXPECT_TRUE(got.starts_with("!")) << text << " → " << got;
      if (code != "code" && code != "empty") {
        EXPECT_EQ(got, "!" + code) << text;
      }
    }
}

// Texts of random words: whatever is written around them is dropped, whatever changes them is not.
TEST(Normalise, RandomTextsKeepTheirWords) {
  const std::vector<std::string> words = {
      "harbour", "ship",       "not",   "never", "большой", "港口", "naïve", "no", "on",     "off",
      "I",       "well-known", "don't", "größe", "a",       "the",  "и",     "ό",  "without"};
  std::mt19937 random(20260728);
  const auto pick = [&](const auto& list) { return list[random() % list.size()]; };
  const std::vector<std::string> spaces = {" ", "  ", "\t", " \u00a0", "\u3000"};
  const std::vector<std::string> ends = {"", ".", "!", " .", "!!"};
  const auto write = [&](const std::vector<std::string>& text) {
    std::string out = random() % 2 ? "" : " \n";
    for (size_t i = 0; i < text.size(); ++i) out += (i > 0 ? pick(spaces) : "") + text[i];
    if (random() % 2 && out.find_first_not_of(" \n") != std::string::npos) {
      char& first = out[out.find_first_not_of(" \n")];
      if (first >= 'a' && first <= 'z' && text[0].size() > 1) first = static_cast<char>(first - 32);
    }
    return out + pick(ends) + (random() % 2 ? "" : " ");
  };
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> text(1 + random() % 6);
    for (std::string& word : text) word = pick(words);
    const auto one = NormaliseText(write(text)), two = NormaliseText(write(text));
    ASSERT_TRUE(one && two) << write(text);
    ASSERT_EQ(*one, *two);
    ASSERT_EQ(NormaliseText(*one).value_or("?"), *one);  // once is enough
    std::vector<std::string> other = text;
    const size_t at = random() % other.size();
    switch (random() % 3) {
      case 0:
        other[at] = pick(words);
        break;
      case 1:
        other.insert(other.begin() + static_cast<std::ptrdiff_t>(at), pick(words));
        break;
      default:
        std::swap(other[at], other[random() % other.size()]);
    }
    const auto changed = NormaliseText(write(other));
    ASSERT_TRUE(changed);
    if (other != text) {
      ASSERT_NE(*changed, *one) << write(other);
    }
  }
}

// Nothing that is read can break it, and what it makes stays what it is.
TEST(Normalise, AnyBytesAreReadAndTheResultIsStable) {
  std::mt19937 random(7);
  const std::string alphabet = "aB .!?\"'-()\n0…é港？`";
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (size_t left = random() % 12; left > 0; --left)
      text +=
          random() % 20 == 0 ? static_cast<char>(random()) : alphabet[random() % alphabet.size()];
    const auto normalised = NormaliseText(text);
    if (normalised) {
      ASSERT_EQ(NormaliseText(*normalised).value_or("none"), *normalised) << text;
    }
  }
}

std::string Material(const json& request, std::string_view partition = "") {
  const std::string mine =
      partition.empty() ? std::string(64, 'a') + ":model" : std::string(partition);
  return MakeKey(mine, *Canonicalise(request)).material;
}

json Chat(const std::string& text) {
  return {{"endpoint", "/v1/chat/completions"},
          {"model", "m"},
          {"messages",
           {{{"role", "system"}, {"content", "Be brief."}}, {{"role", "user"}, {"content", text}}}},
          {"temperature", 0.5}};
}

TEST(NormalisedMaterial, OnlyTheLastUserTextMayBeWrittenDifferently) {
  const auto of = [](const json& request) {
    return NormalisedMaterial(Material(request)).value_or("");
  };
  const std::string base = of(Chat("What is it?"));
  ASSERT_NE(base, "");
  EXPECT_EQ(of(Chat("what is it")), base);
  std::vector<json> others(8, Chat("What is it?"));
  others[0]["messages"][0]["content"] = "be brief.";
  others[1]["temperature"] = 0.6;
  others[2]["model"] = "M";
  others[3]["max_tokens"] = 5;
  others[4]["messages"][1]["name"] = "a";
  others[5]["messages"].insert(others[5]["messages"].begin(),
                               json{{"role", "user"}, {"content", "A"}});
  others[6]["messages"][1]["content"] = json::array({{{"type", "text"}, {"text", "What is it?"}}});
  others[7]["stop"] = "x";
  for (const json& other : others) {
    EXPECT_NE(of(other), base) << other;
    EXPECT_NE(of(other), "") << other;
  }
  json history = others[5];
  history["messages"][0]["content"] = "a";
  EXPECT_NE(of(history), of(others[5]));  // of the last one only
}

TEST(NormalisedMaterial, NeverAcrossScopesOrModels) {
  const std::string a(64, 'a'), b(64, 'b');
  const auto of = [&](const std::string& partition) {
    return *NormalisedMaterial(Material(Chat("What is it?"), partition));
  };
  EXPECT_NE(of(a + ":m"), of(b + ":m"));
  EXPECT_NE(of(a + ":m"), of(a + ":n"));
}

TEST(NormalisedMaterial, NotWhereThePromptMatters) {
  const auto code = [](const json& request) {
    const auto material = NormalisedMaterial(Material(request));
    return material ? "" : std::string(UnnormalisableCode(material.error()));
  };
  for (const auto& [name, value] :
       std::vector<std::pair<const char*, json>>{{"continue_final_message", true},
                                                 {"add_generation_prompt", false},
                                                 {"echo", true},
                                                 {"return_token_ids", true},
                                                 {"prompt_logprobs", 1}}) {
    json request = Chat("What is it?");
    request[name] = value;
    EXPECT_EQ(code(request), "prompt_matters") << name;
  }
  json none = Chat("What is it?");
  none["prompt_logprobs"] = -1;
  none["return_token_ids"] = none["continue_final_message"] = false;
  EXPECT_EQ(code(none), "");
  EXPECT_EQ(code({{"endpoint", "/v1/completions"}, {"prompt", "What is it?"}}), "not_chat");
  EXPECT_EQ(code({{"messages", {{{"role", "system"}, {"content", "a"}}}}}), "not_chat");
  json parts = Chat("a");
  parts["messages"][1]["content"] = json::array({{{"text", "a"}}, {{"text", "b"}}});
  EXPECT_EQ(code(parts), "not_one_text");
}

TEST(AliasTable, RemembersTheLastAndForgetsWhatDoesNotFit) {
  AliasTable table(64);
  for (uint64_t i = 0; i < 64; ++i) table.Put({.high = i, .low = i}, {.high = i, .low = 1});
  for (uint64_t i = 0; i < 64; ++i) EXPECT_EQ(table.Find({.high = i, .low = i})->high, i);
  table.Put({.high = 3, .low = 3}, {.high = 99, .low = 1});
  EXPECT_EQ(table.Find({.high = 3, .low = 3})->high, 99U);
  for (uint64_t i = 0; i < 8; ++i) table.Put({.high = 1000 + i, .low = 3}, {.high = i, .low = 1});
  EXPECT_FALSE(table.Find({.high = 3, .low = 3}));
  EXPECT_TRUE(table.Find({.high = 1000, .low = 3}));
  EXPECT_TRUE(table.Find({.high = 4, .low = 4}));
  AliasTable none(0);
  none.Put({.high = 1, .low = 1}, {});
  EXPECT_FALSE(none.Find({.high = 1, .low = 1}));
}

}  // namespace
}  // namespace nextgate::cache
