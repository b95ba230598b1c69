#include "engine/encoder/text_tokenizer.h"

#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

namespace nextgate::engine {
namespace {

using nlohmann::json;
using Ids = std::vector<int32_t>;

json SmallTokenizer() {
  const json added = {{"id", 3},         {"content", "[SEP]"}, {"single_word", false},
                      {"lstrip", false}, {"rstrip", false},    {"normalized", false},
                      {"special", true}};
  const auto special = [](const char* name) {
    return json{{"SpecialToken", {{"id", name}, {"type_id", 0}}}};
  };
  return {{"added_tokens", json::array({added})},
          {"normalizer",
           {{"type", "BertNormalizer"},
            {"clean_text", true},
            {"handle_chinese_chars", true},
            {"strip_accents", nullptr},
            {"lowercase", true}}},
          {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
          {"post_processor",
           {{"type", "TemplateProcessing"},
            {"single", json::array({special("[CLS]"),
                                    {{"Sequence", {{"id", "A"}, {"type_id", 0}}}},
                                    special("[SEP]")})},
            {"special_tokens",
             {{"[CLS]", {{"ids", json::array({2})}}}, {"[SEP]", {{"ids", json::array({3})}}}}}}},
          {"model",
           {{"type", "WordPiece"},
            {"unk_token", "[UNK]"},
            {"continuing_subword_prefix", "##"},
            {"max_input_chars_per_word", 8},
            {"vocab",
             {{"[PAD]", 0},
              {"[UNK]", 1},
              {"[CLS]", 2},
              {"[SEP]", 3},
              {"un", 4},
              {"##able", 5},
              {"##a", 6},
              {"do", 7},
              {"好", 8},
              {"!", 9},
              {"unab", 10}}}}}};
}

TextTokenizer Opened(const json& document = SmallTokenizer()) {
  auto parts = ParseTextTokenizerJson(document.dump(), "tokenizer.json");
  EXPECT_TRUE(parts) << parts.error().message;
  return TextTokenizer(std::move(*parts));
}

// The message of the error when `edit` was applied; empty if there is none.
std::string ErrorAfter(const std::function<void(json&)>& edit) {
  json document = SmallTokenizer();
  edit(document);
  const auto parts = ParseTextTokenizerJson(document.dump(), "tokenizer.json");
  return parts ? "" : parts.error().message;
}

TEST(WordPiece, TakesTheLongestPieceAndGivesUpTheWholeWordWhereThereIsNone) {
  const TextTokenizer wordpiece = Opened();
  EXPECT_EQ(wordpiece.Encode("doable", 99).ids, (Ids{2, 7, 5, 3}));
  EXPECT_EQ(wordpiece.Encode("unable", 99).ids, (Ids{2, 1, 3}));  // unab + ##le, never un + ##able
  const TextIds mixed = wordpiece.Encode("Do好é! xyz", 99);
  EXPECT_EQ(mixed.ids, (Ids{2, 7, 8, 1, 9, 1, 3}));
  EXPECT_EQ(mixed.num_unknown, 2);
}

TEST(WordPiece, AWordLongerThanItsLimitInCharactersIsUnknown) {
  const TextTokenizer wordpiece = Opened();
  EXPECT_EQ(wordpiece.Encode("unaaaaaa", 99).ids, (Ids{2, 4, 6, 6, 6, 6, 6, 6, 3}));
  EXPECT_EQ(wordpiece.Encode("unaaaaaaa", 99).ids, (Ids{2, 1, 3}));
}

TEST(WordPiece, CutsTheTextAndKeepsTheSpecialTokens) {
  const TextTokenizer wordpiece = Opened();
  for (int64_t tokens_max = 2; tokens_max < 8; ++tokens_max) {
    const TextIds ids = wordpiece.Encode("do do do do", tokens_max);
    EXPECT_EQ(static_cast<int64_t>(ids.ids.size()), std::min<int64_t>(tokens_max, 6));
    EXPECT_EQ(ids.ids.front(), 2);
    EXPECT_EQ(ids.ids.back(), 3);
    EXPECT_EQ(ids.truncated, tokens_max < 6);
  }
}

TEST(WordPiece, WhatItCutsItDoesNotCompute) {
  // 64 MB of words: seconds if they were all looked at.
  std::string text;
  for (int i = 0; i < 1 << 20; ++i)
    text += "do! un! doable do! un! doable do! un! doable do! un! doable ab! ";
  EXPECT_EQ(Opened().Encode(text, 256).ids.size(), 256u);
}

TEST(WordPiece, TypedSpecialTokensAreRecognisedAndAddedOnesAreNoPieces) {
  json document = SmallTokenizer();
  document["added_tokens"][0]["content"] = "unx";
  document["added_tokens"][0]["id"] = 20;
  const TextTokenizer wordpiece = Opened(document);
  EXPECT_EQ(wordpiece.size(), 21);
  EXPECT_EQ(wordpiece.Encode("unx", 99).ids, (Ids{2, 20, 3}));
  EXPECT_EQ(wordpiece.Encode("UNX", 99).ids, (Ids{2, 1, 3}));
  EXPECT_EQ(Opened().Encode("do[SEP]do", 99).ids, (Ids{2, 7, 3, 7, 3}));
}

TEST(WordPiece, InvalidBytesAndControlCharactersAreNothing) {
  EXPECT_EQ(Opened()
                .Encode(std::string("d\x00\xFF\xE5o\xC2\xAD"
                                    "able",
                                    11),
                        99)
                .ids,
            (Ids{2, 7, 5, 3}));
}

TEST(WordPieceJson, RefusesByNameWhatItDoesNotDo) {
  const std::vector<std::pair<std::function<void(json&)>, const char*>> cases = {
      {[](json& d) { d["model"]["type"] = "BPE"; }, "model.type"},
      {[](json& d) { d["model"].erase("vocab"); }, "model.vocab"},
      {[](json& d) { d["model"]["unk_token"] = "?"; }, "model.unk_token"},
      {[](json& d) { d["model"]["max_input_chars_per_word"] = -1; }, "max_input_chars_per_word"},
      {[](json& d) { d["model"]["continuing_subword_prefix"] = nullptr; }, "continuing_subword"},
      {[](json& d) { d["normalizer"]["type"] = "NFC"; }, "normalizer.type"},
      {[](json& d) { d["normalizer"]["lowercase"] = 1; }, "normalizer.lowercase"},
      {[](json& d) { d["pre_tokenizer"]["type"] = "Whitespace"; }, "pre_tokenizer.type"},
      {[](json& d) { d["added_tokens"][0]["rstrip"] = true; }, "rstrip"},
      {[](json& d) { d["added_tokens"][0]["id"] = 4; }, "[SEP]"},
      {[](json& d) { d["post_processor"]["type"] = "ByteLevel"; }, "post_processor.type"},
      {[](json& d) { d["post_processor"]["single"].erase(1); }, "post_processor.single"},
      {[](json& d) { d["post_processor"]["single"][0]["SpecialToken"]["type_id"] = 1; }, "type_id"},
      {[](json& d) { d["post_processor"]["special_tokens"].erase("[SEP]"); }, "special_tokens"},
      {[](json& d) { d["post_processor"]["special_tokens"]["[SEP]"]["ids"] = {11}; }, "11"},
      {[](json& d) {
         d["post_processor"] = {{"type", "BertProcessing"}, {"cls", "x"}};
       },
       ".cls"},
  };
  EXPECT_EQ(ErrorAfter([](json&) {}), "");
  for (const auto& [edit, named] : cases) {
    const std::string message = ErrorAfter(edit);
    EXPECT_TRUE(message.starts_with("tokenizer.json: ")) << message;
    EXPECT_NE(message.find(named), std::string::npos) << named << ": " << message;
  }
}

TEST(BertNormalizer, ASpaceDividesWhatMayBeNormalisedApart) {
  const BertNormalizer all;
  const std::string left = "Ça\u0323\u0301", right = " \u0301好İ\u00A0x";
  EXPECT_EQ(all.Normalize(left) + all.Normalize(right), all.Normalize(left + right));
  EXPECT_EQ(all.Normalize("A\u0301\tB\u200B"), "a b");
  const BertNormalizer none{false, false, false, false};
  EXPECT_EQ(none.Normalize(left + right), left + right);
}

}  // namespace
}  // namespace nextgate::engine
