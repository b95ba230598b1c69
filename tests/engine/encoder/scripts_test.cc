#include "engine/encoder/scripts.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace nextgate::engine {
namespace {

TEST(Scripts, LettersOfOneScriptAreTogetherAndOthersApart) {
  const std::vector<std::u32string> scripts = {
      U"azAZéßłạꜣＡ", U"αΩἀ", U"яЁҐᲀꙀ", U"ԱՖﬓ",       U"אתﬠ", U"عيےﭖﻻ",     U"अहऽ",
      U"অক",          U"ਅਕ",  U"અક",           U"அக",        U"అక",  U"ಅಕ",        U"അക",
      U"අක",          U"กฮ",  U"ກຮ",           U"ཀཧ",        U"ကအ",  U"აჰᲐ", U"ㄱㅎ한글ᄀ",
      U"አበ",          U"កខ",  U"ぁんァンｶ",    U"一龍々豈𠀀"};
  std::set<int32_t> seen = {0};
  for (const std::u32string& script : scripts) {
    for (const char32_t letter : script)
      EXPECT_EQ(ScriptOf(letter), ScriptOf(script[0])) << std::hex << uint32_t{letter};
    EXPECT_TRUE(seen.insert(ScriptOf(script[0])).second) << std::hex << uint32_t{script[0]};
  }
}

TEST(Scripts, WhatAllScriptsShareIsOfNone) {
  for (const char32_t one :
       U"09 .,?!@[`{~\u00a0\u00bf\u00d7\u0301\u2019\u20ac\u2192\u3000\u3002\uff01\uff10\U0001f600")
    EXPECT_EQ(ScriptOf(one), 0) << std::hex << uint32_t{one};
  EXPECT_EQ(ScriptOf(0x10FFFF), 0);
}

Vocabulary Of(const std::vector<std::string>& pieces) {
  std::vector<Vocabulary::Entry> entries;
  for (const std::string& piece : pieces)
    entries.push_back({piece, static_cast<int64_t>(entries.size())});
  return *Vocabulary::Build(entries);
}

TEST(Scripts, LettersAreOnlySpelledWhereNoWordsOfTheScriptAre) {
  const auto spelled = SpelledOnly(
      Of({"[CLS]", "[UNK]", "a", "##b", "word", "7", "?", "я", "##я", "##ович", "語", "##語"}),
      "##");
  EXPECT_EQ(spelled, (std::vector<bool>{false, false, false, false, false, false, false, true, true,
                                        true, false, false}))
      << "a sixth is Han";
}

TEST(Scripts, AFewLettersOfHanAreNotChinese) {
  std::vector<std::string> pieces = {"你", "好"};
  for (int i = 0; i < 98; ++i) pieces.push_back("word" + std::to_string(i));
  EXPECT_TRUE(SpelledOnly(Of(pieces), "##")[0]);
  pieces.insert(pieces.end(), {"天", "地", "人"});
  EXPECT_FALSE(SpelledOnly(Of(pieces), "##")[0]);
}

}  // namespace
}  // namespace nextgate::engine
