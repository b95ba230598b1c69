// Small Unigram tokenizers; the genuine pipelines are in the goldens. Ids were checked with
// `tokenizers` 0.23.
#include "engine/encoder/unigram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/encoder/text_tokenizer.h"

namespace nextgate::engine {
namespace {

using nlohmann::json;
using Ids = std::vector<int32_t>;

json Added(int id, const char* content, bool lstrip, bool normalized) {
  return {{"id", id},        {"content", content},       {"single_word", false}, {"lstrip", lstrip},
          {"rstrip", false}, {"normalized", normalized}, {"special", true}};
}

json SmallTokenizer() {
  const auto special = [](const char* name) {
    return json{{"SpecialToken", {{"id", name}, {"type_id", 0}}}};
  };
  const auto vocab = json::array(
      {json::array({"<s>", 0}), json::array({"<unk>", 0.0}), json::array({"▁", -2.0}),
       json::array({"a", -3.0}), json::array({"b", -3.0}), json::array({"▁a", -4.0}),
       json::array({"ab", -6.0}), json::array({"ba", -5.5}), json::array({"c", -50.0}),
       json::array({"<0xE5>", -9}), json::array({"<0xA5>", -9}), json::array({"<0xBD>", -9})});
  return {
      {"added_tokens",
       json::array({Added(0, "<s>", false, false), Added(12, "<mask>", true, true)})},
      {"normalizer", nullptr},
      {"pre_tokenizer", {{"type", "Metaspace"}, {"replacement", "▁"}, {"add_prefix_space", true}}},
      {"post_processor",
       {{"type", "TemplateProcessing"},
        {"single", json::array({special("<s>"), {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}})},
        {"special_tokens", {{"<s>", {{"ids", json::array({0})}}}}}}},
      {"model", {{"type", "Unigram"}, {"unk_id", 1}, {"vocab", vocab}}}};
}

TextTokenizer Opened(const json& document = SmallTokenizer()) {
  auto parts = ParseTextTokenizerJson(document.dump(), "tokenizer.json");
  EXPECT_TRUE(parts) << parts.error().message;
  return TextTokenizer(std::move(*parts));
}

Ids IdsOf(
    const std::string& text, const std::function<void(json&)>& edit = [](json&) {}) {
  json document = SmallTokenizer();
  edit(document);
  Ids ids = Opened(document).Encode(text, 1000).ids;
  EXPECT_EQ(ids.at(0), 0);
  ids.erase(ids.begin());
  return ids;
}

Result<TextTokenizerParts> Edited(const std::function<void(json&)>& edit) {
  json document = SmallTokenizer();
  edit(document);
  return ParseTextTokenizerJson(document.dump(), "tokenizer.json");
}

TEST(Unigram, TakesTheWayWithTheHighestSumAndOfEqualOnesTheFirstFound) {
  EXPECT_EQ(IdsOf("a"), (Ids{5}));          // ▁a: −4, ▁ a: −5
  EXPECT_EQ(IdsOf("aab"), (Ids{5, 6}));     // a b and ab are −6: the piece that begins first
  EXPECT_EQ(IdsOf("bba"), (Ids{2, 4, 7}));  // ba: −5.5, b a: −6
  EXPECT_EQ(IdsOf("aba"), (Ids{5, 7}));     // ▁a ba: −9.5
  EXPECT_EQ(IdsOf("a a"), (Ids{5, 5}));
  EXPECT_EQ(IdsOf(""), (Ids{}));
}

TEST(Unigram, WhatIsUnknownSideBySideIsOneToken) {
  EXPECT_EQ(IdsOf("xyz"), (Ids{2, 1}));
  EXPECT_EQ(IdsOf("xaxx好a"), (Ids{2, 1, 3, 1, 3}));
  EXPECT_EQ(Opened().Encode("xaxx好a", 99).num_unknown, 2);
  // A piece is never worth less than an unknown character.
  EXPECT_EQ(IdsOf("c"), (Ids{2, 8}));
  // With scores above 10 it may be; together they are looked for once more.
  const auto high = [](json& d) {
    for (json& piece : d["model"]["vocab"]) piece[1] = piece[1].get<double>() + 100;
    d["model"]["vocab"].push_back({"xy", 55});
    d["added_tokens"].erase(1);
  };
  EXPECT_EQ(IdsOf("xy", high), (Ids{2, 12}));
  EXPECT_EQ(IdsOf("xyx", high), (Ids{2, 1}));
}

TEST(Unigram, BytesStandForWhatIsUnknownIfThereAreAllOfThem) {
  const auto fallback = [](json& d) { d["model"]["byte_fallback"] = true; };
  EXPECT_EQ(IdsOf("好", fallback), (Ids{2, 9, 10, 11}));
  EXPECT_EQ(IdsOf("好好", fallback), (Ids{2, 9, 10, 11, 9, 10, 11}));
  EXPECT_EQ(IdsOf("好x", fallback), (Ids{2, 1}));
  EXPECT_EQ(IdsOf("好"), (Ids{2, 1}));
}

TEST(Unigram, MetaspaceStandsBeforeWordsAsItsSchemeSays) {
  const auto scheme = [](const char* prepend, bool split) {
    return [=](json& d) {
      d["pre_tokenizer"] = {{"type", "Metaspace"},
                            {"replacement", "▁"},
                            {"prepend_scheme", prepend},
                            {"split", split}};
    };
  };
  EXPECT_EQ(IdsOf("a <s>a", scheme("always", true)), (Ids{5, 2, 0, 5}));
  EXPECT_EQ(IdsOf("a <s>a", scheme("first", true)), (Ids{5, 2, 0, 3}));
  EXPECT_EQ(IdsOf("a <s>a", scheme("never", true)), (Ids{3, 2, 0, 3}));
  EXPECT_EQ(IdsOf(" a  b", scheme("always", true)), (Ids{5, 2, 2, 4}));
  const auto across = [&](bool split) {
    return [=](json& d) {
      scheme("never", split)(d);
      d["model"]["vocab"].push_back({"a▁b", -1});
      d["added_tokens"].erase(1);
    };
  };
  EXPECT_EQ(IdsOf("a b", across(true)), (Ids{3, 2, 4}));
  EXPECT_EQ(IdsOf("a b", across(false)), (Ids{12}));
}

TEST(Unigram, WhitespaceSplitTakesTheWhiteSpaceAway) {
  const auto words = [](json& d) {
    d["pre_tokenizer"] = {
        {"type", "Sequence"},
        {"pretokenizers", json::array({{{"type", "WhitespaceSplit"}}, d["pre_tokenizer"]})}};
  };
  EXPECT_EQ(IdsOf(" a\t\u3000b  ", words), (Ids{5, 2, 4}));
  EXPECT_EQ(IdsOf(" \n", words), (Ids{}));
  EXPECT_EQ(IdsOf("a▁b", words), (Ids{5, 2, 4}));
}

TEST(Unigram, NormalizersComeInTheirOrder) {
  const auto steps = [](json& d) {
    d["normalizer"] = {
        {"type", "Sequence"},
        {"normalizers",
         json::array({{{"type", "Replace"}, {"pattern", {{"String", "x"}}}, {"content", "  "}},
                      {{"type", "Replace"}, {"pattern", {{"Regex", " {2,}"}}}, {"content", "b"}},
                      {{"type", "Strip"}, {"strip_left", true}, {"strip_right", false}}})}};
  };
  EXPECT_EQ(IdsOf(" axa", steps), (Ids{5, 7}));
  EXPECT_EQ(IdsOf("a   a ", steps), (Ids{5, 7, 2}));
}

TEST(Unigram, AMaskTakesTheWhiteSpaceBeforeIt) {
  EXPECT_EQ(IdsOf("a \u3000<mask> a"), (Ids{5, 12, 5}));
  EXPECT_EQ(IdsOf("<mask><mask>"), (Ids{12, 12}));
  EXPECT_EQ(IdsOf("  <mask>"), (Ids{12}));
}

TEST(Unigram, ALongTextIsCutWithoutBeingComputed) {
  std::string text;
  for (int i = 0; i < 1 << 22; ++i) text += "ab a <mask> b ";
  const TextIds cut = Opened().Encode(text, 5000);
  EXPECT_TRUE(cut.truncated);
  ASSERT_EQ(cut.ids.size(), 5000u);
  const TextIds whole = Opened().Encode(text.substr(0, 14 * 2000), 100'000);
  EXPECT_TRUE(std::equal(cut.ids.begin(), cut.ids.end(), whole.ids.begin()));
}

TEST(UnigramJson, RefusesByNameWhatItDoesNotDo) {
  const auto normalizer = [](const char* text) {
    return [=](json& d) { d["normalizer"] = json::parse(text); };
  };
  const std::vector<std::pair<std::function<void(json&)>, const char*>> cases = {
      {normalizer(R"({"type": "NFKC"})"), "normalizer.type"},
      {normalizer(R"({"type": "Replace", "pattern": {"Regex": "a+"}, "content": ""})"), "a+"},
      {normalizer(R"({"type": "Sequence", "normalizers": [{"type": "Lowercase"}]})"), "Lowercase"},
      {[](json& d) { d["pre_tokenizer"]["type"] = "ByteLevel"; }, "pre_tokenizer.type"},
      {[](json& d) { d["pre_tokenizer"]["prepend_scheme"] = "last"; }, "prepend_scheme"},
      {[](json& d) {
         d["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {{{"type", "Digits"}}}}};
       },
       "pretokenizers"},
      {[](json& d) {
         d["pre_tokenizer"]["prepend_scheme"] = "first";
         d["normalizer"] = {{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}};
       },
       "\"first\""},
      {[](json& d) { d["added_tokens"][1]["rstrip"] = true; }, "rstrip"},
      {[](json& d) { d["post_processor"]["type"] = "ByteLevel"; }, "post_processor.type"},
  };
  for (const auto& [edit, named] : cases) {
    const auto parts = Edited(edit);
    ASSERT_FALSE(parts) << named;
    EXPECT_EQ(parts.error().code, ErrorCode::kUnimplemented) << parts.error().message;
    EXPECT_NE(parts.error().message.find(named), std::string::npos) << parts.error().message;
  }
}

TEST(UnigramJson, SaysWhatIsBroken) {
  const auto normalizer = [](const char* text) {
    return [=](json& d) { d["normalizer"] = json::parse(text); };
  };
  const std::vector<std::pair<std::function<void(json&)>, const char*>> cases = {
      {[](json& d) { d["model"].erase("vocab"); }, "model.vocab"},
      {[](json& d) { d["model"]["vocab"] = json::object(); }, "model.vocab"},
      {[](json& d) { d["model"]["vocab"] = json::array(); }, "unk_id"},
      {[](json& d) { d["model"]["vocab"][3] = {"a"}; }, "model.vocab[3]"},
      {[](json& d) {
         d["model"]["vocab"][3] = json::array({"a", 1, "b", 2});
       },
       "model.vocab[3]"},
      {[](json& d) {
         d["model"]["vocab"][3] = json::array({1, "a"});
       },
       "model.vocab[3]"},
      {[](json& d) { d["model"]["vocab"][3] = "a"; }, "model.vocab[3]"},
      {[](json& d) {
         d["model"]["vocab"][3] = json::array({"a", nullptr});
       },
       "model.vocab[3]"},
      {[](json& d) { d["model"]["vocab"][3][1] = 1e300; }, "model.vocab[3]"},
      {[](json& d) { d["model"]["vocab"][3][0] = ""; }, "token 3"},
      {[](json& d) { d["model"]["vocab"][3][0] = "b"; }, "\"b\""},
      {[](json& d) { d["model"]["vocab"][3][0] = std::string(2000, 'a'); }, "2000 bytes"},
      {[](json& d) { d["model"]["unk_id"] = nullptr; }, "model.unk_id"},
      {[](json& d) { d["model"]["unk_id"] = 12; }, "model.unk_id"},
      {[](json& d) { d["pre_tokenizer"]["replacement"] = "▁▁"; }, "replacement"},
      {[](json& d) { d["pre_tokenizer"]["replacement"] = ""; }, "replacement"},
      {[](json& d) { d["pre_tokenizer"]["add_prefix_space"] = false; }, "add_prefix_space"},
      {[](json& d) { d["added_tokens"][1]["lstrip"] = "no"; }, "lstrip"},
      {normalizer(R"({"type": "Precompiled"})"), "precompiled_charsmap"},
      {normalizer(R"({"type": "Precompiled", "precompiled_charsmap": "?"})"), "base64"},
      {normalizer(R"({"type": "Precompiled", "precompiled_charsmap": "AAAA"})"), "charsmap"},
      {normalizer(R"({"type": "Strip", "strip_left": true})"), "strip_right"},
      {normalizer(R"({"type": "Sequence", "normalizers": 3})"), "normalizer.normalizers"},
      {normalizer(R"({"type": "Replace", "pattern": {"String": ""}, "content": ""})"), "empty"},
  };
  EXPECT_TRUE(Edited([](json&) {}));
  for (const auto& [edit, named] : cases) {
    const auto parts = Edited(edit);
    ASSERT_FALSE(parts) << named;
    EXPECT_EQ(parts.error().code, ErrorCode::kDataLoss) << parts.error().message;
    EXPECT_TRUE(parts.error().message.starts_with("tokenizer.json: ")) << parts.error().message;
    EXPECT_NE(parts.error().message.find(named), std::string::npos) << parts.error().message;
  }
  std::string text = SmallTokenizer().dump();
  text.replace(text.find("-3.0"), 4, "-1e999");
  EXPECT_FALSE(ParseTextTokenizerJson(text, "tokenizer.json"));
  text.replace(text.find("-1e999"), 6, "NaN");
  EXPECT_FALSE(ParseTextTokenizerJson(text, "tokenizer.json"));
}

}  // namespace
}  // namespace nextgate::engine
