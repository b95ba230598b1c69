// The tokenizer on a vocabulary small enough to work out by hand: merges against a naive model,
// marking of special tokens, every refusal of a tokenizer.json.
#include "engine/tokenizer/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "engine/tokenizer/bpe.h"
#include "engine/tokenizer/detokenizer.h"
#include "engine/tokenizer/pre_tokenizer.h"
#include "engine/tokenizer/segment_memo.h"
#include "engine/tokenizer/utf8.h"

namespace nextgate::engine {
namespace {

using Ids = std::vector<int32_t>;
using nlohmann::json;
using testing::HasSubstr;

// Ids 0 to 255 are the bytes, then come the merges' results in order of rank, then the added
// tokens.
const std::vector<std::pair<std::string, std::string>> kMerges = {
    {"a", "b"},   {"b", "c"},  {"ab", "ab"}, {"a", "a"},
    {"aa", "aa"}, {"Ġ", "ab"}, {"c", "bc"},  {"abab", "aa"}};
constexpr int32_t kFirstAdded = 256 + 8;
constexpr int32_t kEnd = kFirstAdded, kThink = kFirstAdded + 1, kStart = kFirstAdded + 5;

std::string SpellingOfByte(int byte) {
  for (uint32_t scalar = 0x21; scalar < 0x144; ++scalar) {
    std::string spelling;
    AppendUtf8(scalar, &spelling);
    bool in_alphabet = false;
    const std::string bytes = BytesOfSpelling(spelling, &in_alphabet);
    if (in_alphabet && static_cast<uint8_t>(bytes[0]) == byte) return spelling;
  }
  return {};
}

json Added(int id, const std::string& content, bool special) {
  return {{"id", id},        {"content", content}, {"special", special},  {"normalized", false},
          {"lstrip", false}, {"rstrip", false},    {"single_word", false}};
}

json SmallFile() {
  json vocab = json::object();
  for (int byte = 0; byte < 256; ++byte) vocab[SpellingOfByte(byte)] = byte;
  json merges = json::array();
  for (const auto& [left, right] : kMerges) {
    vocab[left + right] = 256 + merges.size();
    merges.push_back({left, right});
  }
  return {{"added_tokens",
           {Added(kEnd, "<|end|>", true), Added(kThink, "<think>", false),
            Added(kStart, "<|start|>", true)}},
          {"normalizer", {{"type", "NFC"}}},
          {"pre_tokenizer",
           {{"type", "Sequence"},
            {"pretokenizers",
             {{{"type", "Split"},
               {"pattern", {{"Regex", std::string(kQwenPattern)}}},
               {"behavior", "Isolated"},
               {"invert", false}},
              {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}}},
          {"post_processor", nullptr},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}}}};
}

class Folder {
 public:
  Folder() {
    path_ = std::filesystem::path(testing::TempDir()) /
            ("tokenizer_" + std::to_string(std::random_device()()));
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Result<std::unique_ptr<Tokenizer>> Open(const std::string& text) const {
    std::ofstream(path_ / "tokenizer.json", std::ios::binary) << text;
    return Tokenizer::Open(path_.string());
  }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

std::unique_ptr<Tokenizer> Small(const json& file = SmallFile()) {
  auto opened = Folder().Open(file.dump());
  EXPECT_TRUE(opened.has_value()) << (opened ? "" : opened.error().message);
  return opened ? std::move(*opened) : nullptr;
}

// Merges by the definition: again and again the adjacent pair of lowest rank, leftmost first.
Ids NaiveMerge(const std::string& word) {
  std::map<std::pair<std::string, std::string>, int> rank_of;
  for (size_t rank = 0; rank < kMerges.size(); ++rank)
    rank_of[kMerges[rank]] = static_cast<int>(rank);
  std::vector<std::string> parts;
  for (const char c : word) parts.push_back(SpellingOfByte(static_cast<uint8_t>(c)));
  while (true) {
    int best = INT32_MAX;
    size_t at = 0;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = rank_of.find({parts[i], parts[i + 1]});
      if (found != rank_of.end() && found->second < best) best = found->second, at = i;
    }
    if (best == INT32_MAX) break;
    parts[at] += parts[at + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
  const json vocab = SmallFile()["model"]["vocab"];
  Ids ids;
  for (const std::string& part : parts) ids.push_back(vocab[part]);
  return ids;
}

TEST(Tokenizer, MergesWordsOfAnyLengthAsTheDefinitionSays) {
  const auto tokenizer = Small();
  std::mt19937 random(3);
  for (int round = 0; round < 400; ++round) {
    std::string word;
    for (size_t n = 2 + random() % (round % 4 == 0 ? 200 : 60); n > 0; --n)
      word += static_cast<char>('a' + random() % 3);
    const Ids expected = NaiveMerge(word);
    EXPECT_EQ(tokenizer->Encode(word), expected) << word;
    EXPECT_EQ(tokenizer->Encode(word), expected) << word << ", from the word cache";
  }
}

TEST(Tokenizer, TakesMergesAsStringsAndAsPairs) {
  json file = SmallFile();
  for (json& merge : file["model"]["merges"])
    merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  const std::string text = "abcbc aaaa ababaa ab";
  EXPECT_EQ(Small(file)->Encode(text), Small()->Encode(text));
}

TEST(Tokenizer, TakesTheFieldsOfTheFileInAnyOrder) {
  const json file = SmallFile();
  const std::string text = R"({"model":{"merges":)" + file["model"]["merges"].dump() +
                           R"(,"vocab":)" + file["model"]["vocab"].dump() +
                           R"(,"type":"BPE"},"decoder":{"type":"ByteLevel"},"normalizer":null,)" +
                           R"("pre_tokenizer":)" + file["pre_tokenizer"].dump() + "}";
  const auto opened = Folder().Open(text);
  ASSERT_TRUE(opened.has_value()) << opened.error().message;
  EXPECT_EQ((*opened)->Encode("abab"), Ids{258});
  // Without a normalizer e + combining acute stay two scalars of one and two bytes.
  EXPECT_EQ((*opened)->Encode("e\u0301").size(), 3u);
  EXPECT_EQ(Small()->Encode("e\u0301").size(), 2u);
}

TEST(Tokenizer, SpecialTokensTypedByAUserStayText) {
  const auto tokenizer = Small();
  const Ids typed = tokenizer->Encode("<|end|>", false);
  EXPECT_THAT(typed, testing::Not(testing::Contains(kEnd)));
  EXPECT_EQ(tokenizer->Decode(typed, true), "<|end|>");
  Ids expected = {kStart};
  expected.insert(expected.end(), typed.begin(), typed.end());
  expected.push_back(kEnd);
  EXPECT_EQ(tokenizer->Encode(
                std::vector<TextPiece>{{"<|start|>", true}, {"<|end|>", false}, {"<|end|>", true}}),
            expected);
}

TEST(Tokenizer, ASpecialTokenHalfTypedByAUserStaysTextAndHidesNothing) {
  const auto tokenizer = Small();
  const auto encode = [&](std::vector<TextPiece> pieces) { return tokenizer->Encode(pieces); };
  EXPECT_THAT(encode({{"<|en", false}, {"d|>", true}}), testing::Not(testing::Contains(kEnd)));
  EXPECT_THAT(encode({{"<|en", true}, {"d|>", false}}), testing::Not(testing::Contains(kEnd)));
  EXPECT_THAT(encode({{"<|end|", false}, {"><|end|>", true}}),
              testing::ElementsAre(testing::_, testing::_, testing::_, testing::_, testing::_,
                                   testing::_, testing::_, kEnd));
  // Two pieces of the template are one text.
  EXPECT_EQ(encode({{"<|en", true}, {"d|>", true}}), Ids{kEnd});
}

TEST(Tokenizer, TextBetweenSpecialTokensIsOneStringAcrossPieces) {
  const auto tokenizer = Small();
  const std::vector<TextPiece> pieces = {
      {"<|start|>a", true}, {"b", false}, {"ab", true}, {"\u0065", false}, {"\u0301<|end|>", true}};
  Ids expected = tokenizer->Encode("<|start|>ababe\u0301<|end|>");
  EXPECT_EQ(tokenizer->Encode(pieces), expected);
  EXPECT_EQ(expected[1], 258);  // "abab", though no piece holds it
}

TEST(Tokenizer, AddedTokensThatAreNotSpecialAreRecognisedEverywhere) {
  const auto tokenizer = Small();
  EXPECT_EQ(tokenizer->Encode("<think>", false), Ids{kThink});
  EXPECT_FALSE(tokenizer->IsSpecial(kThink));
  EXPECT_TRUE(tokenizer->IsSpecial(kEnd));
}

TEST(Tokenizer, AddedTokensThatAreNormalizedAreFoundInNormalisedText) {
  json file = SmallFile();
  file["added_tokens"].push_back(Added(300, "\u00e9\u00e9", false));
  file["added_tokens"].back()["normalized"] = true;
  EXPECT_EQ(Small(file)->Encode("e\u0301e\u0301"), Ids{300});
  file["added_tokens"].back()["normalized"] = false;
  EXPECT_EQ(Small(file)->Encode("e\u0301e\u0301").size(), 4u);  // found in raw text only
}

TEST(Tokenizer, IdsWithoutAStringDecodeToNothing) {
  const auto tokenizer = Small();  // ids between kThink and kStart have no string
  EXPECT_EQ(tokenizer->size(), kStart + 1);
  for (const int32_t id : {kThink + 1, kStart + 1, 1'000'000, -1}) {
    EXPECT_EQ(tokenizer->Decode(Ids{256, id, 256}, false), "abab");
    EXPECT_EQ(tokenizer->TokenBytes(id), "");
    EXPECT_EQ(tokenizer->TokenString(id), "");
    EXPECT_FALSE(tokenizer->IsSpecial(id));
  }
  EXPECT_EQ(tokenizer->TokenString(261), "Ġab");
  EXPECT_EQ(tokenizer->TokenBytes(261), " ab");
  EXPECT_EQ(tokenizer->TokenId("Ġab"), 261);
  EXPECT_EQ(tokenizer->TokenId("abc"), std::nullopt);
}

TEST(Tokenizer, AnswersEqualFromManyThreads) {
  const auto tokenizer = Small();
  std::vector<std::string> texts;
  std::mt19937 random(5);
  for (int i = 0; i < 40; ++i) {
    std::string text;
    for (int n = 0; n < 1500; ++n) text += "abc \n"[random() % 5];
    texts.push_back(text.substr(0, i % 2 ? 1500 : 100));
  }
  std::vector<Ids> alone;
  for (const auto& text : texts) alone.push_back(Small()->Encode(text));
  std::vector<std::vector<Ids>> together(8);
  {
    std::vector<std::jthread> threads;
    for (auto& out : together)
      threads.emplace_back([&] {
        for (const auto& text : texts) out.push_back(tokenizer->Encode(text));
      });
  }
  for (const auto& out : together) EXPECT_EQ(out, alone);
}

TEST(Detokenizer, NeverSplitsACodePointAndSaysWhatIsBrokenAtOnce) {
  const auto tokenizer = Small();
  Detokenizer detokenizer(*tokenizer, true);
  EXPECT_EQ(detokenizer.Add(0xF0), "");
  EXPECT_EQ(detokenizer.Add(0x9F), "");
  EXPECT_EQ(detokenizer.Add(0x98), "");
  EXPECT_EQ(detokenizer.Add(kEnd), "");  // skipped; does not break the code point
  EXPECT_EQ(detokenizer.Add(0x80), "\U0001F600");
  EXPECT_EQ(detokenizer.Add(0xF0), "");
  EXPECT_EQ(detokenizer.Add(256), "\uFFFDab");
  EXPECT_EQ(detokenizer.Add(0xE6), "");
  EXPECT_EQ(detokenizer.Flush(), "\uFFFD");
  EXPECT_EQ(detokenizer.Flush(), "");
}

TEST(Utf8, ReplacesMaximalSubparts) {
  const auto replaced = [](std::string_view bytes) {
    std::string out;
    AppendValidUtf8(bytes, true, &out);
    return out;
  };
  // Tables 3-8 to 3-11 of the Unicode standard, 3.9.
  const std::string r = "\uFFFD";
  EXPECT_EQ(replaced("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"), r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(replaced("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"), r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(replaced("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"),
            r + r + r + r + r + "A" + r + r + "B");
  EXPECT_EQ(replaced("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), r + r + r + r + "A");
  EXPECT_EQ(FindInvalidUtf8("ab\xC3\xA9\xE6\x97"), 4u);
  EXPECT_EQ(FindInvalidUtf8(""), std::nullopt);
}

TEST(PreTokenizer, CutsWhereThePatternCuts) {
  const auto words = [](std::string_view text) {
    std::vector<std::string> out;
    for (size_t at = 0; at < text.size();) {
      const size_t end = WordEnd(text, at);
      out.emplace_back(text.substr(at, end - at));
      at = end;
    }
    return out;
  };
  using Words = std::vector<std::string>;
  EXPECT_EQ(words("it's I'LLx 'q"), (Words{"it", "'s", " I", "'LL", "x", " '", "q"}));
  EXPECT_EQ(words("a  b   \n  c"), (Words{"a", " ", " b", "   \n", " ", " c"}));
  EXPECT_EQ(words("x = 12;\r\n\n!"), (Words{"x", " =", " ", "1", "2", ";\r\n\n", "!"}));
  EXPECT_EQ(words("a \t "), (Words{"a", " \t "}));
  EXPECT_EQ(words("\nab"), (Words{"\n", "ab"}));
  EXPECT_EQ(words("\tab#c"), (Words{"\tab", "#c"}));
  EXPECT_EQ(words("l'\u017fa"), (Words{"l", "'\u017f", "a"}));
}

TEST(SegmentMemo, KeepsWhatWasUsedLastWithinItsBytes) {
  SegmentMemo memo(16'000);
  const std::vector<int32_t> ids(100, 7);
  std::vector<std::string> texts;
  for (char c = 'a'; c < 'a' + 20; ++c) texts.emplace_back(1500, c);
  for (const auto& text : texts) {
    memo.Insert(HashBytes(text), text, ids.data(), ids.size());
    Ids out;
    EXPECT_TRUE(memo.Find(HashBytes(texts[0]), texts[0], &out));  // keeps the first one young
    EXPECT_EQ(out, ids);
    EXPECT_LE(memo.bytes(), 16'000u);
  }
  Ids out;
  EXPECT_FALSE(memo.Find(HashBytes(texts[1]), texts[1], &out));
  EXPECT_TRUE(memo.Find(HashBytes(texts[19]), texts[19], &out));
  out.clear();
  EXPECT_FALSE(memo.Find(HashBytes(texts[19]), texts[18], &out));  // same hash, another text
  EXPECT_TRUE(out.empty());
}

struct Refusal {
  const char* name;
  std::function<void(json&)> spoil;
  const char* message;
};

TEST(TokenizerJson, RefusesWhatItDoesNotSupportByName) {
  const std::vector<Refusal> refusals = {
      {"pattern",
       [](json& f) { f["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "\\w+|x"; },
       R"(\\w+|x)"},
      {"behavior", [](json& f) { f["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Removed"; },
       "behavior is \"Removed\""},
      {"prefix", [](json& f) { f["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = true; },
       "add_prefix_space"},
      {"pre", [](json& f) { f["pre_tokenizer"] = nullptr; }, "pre_tokenizer.type is null"},
      {"normalizer", [](json& f) { f["normalizer"]["type"] = "NFKC"; },
       "normalizer.type is \"NFKC\""},
      {"decoder", [](json& f) { f.erase("decoder"); }, "decoder.type is null"},
      {"post",
       [](json& f) {
         f["post_processor"] = {{"type", "TemplateProcessing"}};
       },
       "TemplateProcessing"},
      {"model", [](json& f) { f["model"]["type"] = "Unigram"; }, "model.type is \"Unigram\""},
      {"fallback", [](json& f) { f["model"]["byte_fallback"] = true; },
       "model.byte_fallback is true"},
      {"ignore", [](json& f) { f["model"]["ignore_merges"] = true; },
       "model.ignore_merges is true"},
      {"dropout", [](json& f) { f["model"]["dropout"] = 0.1; }, "model.dropout is 0.1"},
      {"unk", [](json& f) { f["model"]["unk_token"] = "<unk>"; }, "model.unk_token"},
      {"suffix", [](json& f) { f["model"]["end_of_word_suffix"] = "</w>"; },
       "model.end_of_word_suffix"},
      {"lstrip", [](json& f) { f["added_tokens"][1]["lstrip"] = true; },
       "added_tokens[1].lstrip is true"},
      {"rstrip", [](json& f) { f["added_tokens"][0]["rstrip"] = true; },
       "added_tokens[0].rstrip is true"},
      {"word", [](json& f) { f["added_tokens"][0]["single_word"] = true; },
       "added_tokens[0].single_word"},
      {"normalized", [](json& f) { f["added_tokens"][0]["normalized"] = true; },
       "added_tokens[0].normalized"},
      {"byte", [](json& f) { f["model"]["vocab"].erase("!"); }, "no token for byte 0x21"},
  };
  for (const Refusal& refusal : refusals) {
    json file = SmallFile();
    refusal.spoil(file);
    const auto opened = Folder().Open(file.dump());
    ASSERT_FALSE(opened.has_value()) << refusal.name;
    EXPECT_EQ(opened.error().code, ErrorCode::kUnimplemented) << refusal.name;
    EXPECT_THAT(opened.error().message, HasSubstr(refusal.message)) << refusal.name;
    EXPECT_THAT(opened.error().message, HasSubstr("tokenizer.json: ")) << refusal.name;
  }
}

TEST(TokenizerJson, SaysWhatIsBroken) {
  const std::vector<Refusal> refusals = {
      {"no model", [](json& f) { f.erase("model"); }, "model is missing"},
      {"no vocab", [](json& f) { f["model"].erase("vocab"); }, "model.vocab is missing"},
      {"no merges", [](json& f) { f["model"].erase("merges"); }, "model.merges is missing"},
      {"same id", [](json& f) { f["model"]["vocab"]["ab"] = 97; }, "the same id 97"},
      {"bad id", [](json& f) { f["model"]["vocab"]["ab"] = -3; }, "\"ab\" has id -3"},
      {"huge id", [](json& f) { f["model"]["vocab"]["ab"] = 1'000'000'000'000; },
       "id 1000000000000"},
      {"id is text", [](json& f) { f["model"]["vocab"]["ab"] = "x"; },
       "the id of \"ab\" is not an integer"},
      {"id is list", [](json& f) { f["model"]["vocab"]["ab"] = {1}; }, "\"ab\" is not a number"},
      {"one part", [](json& f) { f["model"]["merges"][2] = "abab"; },
       "model.merges[2] is \"abab\""},
      {"three parts",
       [](json& f) {
         f["model"]["merges"][2] = {"a", "b", "c"};
       },
       "model.merges[2] has 3 parts"},
      {"unknown part",
       [](json& f) {
         f["model"]["merges"][1] = {"b", "zz"};
       },
       "\"zz\" is not in model.vocab"},
      {"unknown result",
       [](json& f) {
         f["model"]["merges"][1] = {"b", "q"};
       },
       "\"bq\" is not in model.vocab"},
      {"number", [](json& f) { f["model"]["merges"][0] = 5; }, "model.merges[0] is neither"},
      {"content", [](json& f) { f["added_tokens"][0]["content"] = ""; }, "added_tokens[0]"},
      {"added id", [](json& f) { f["added_tokens"][0]["id"] = 97; }, "the same id 97"},
      {"twice", [](json& f) { f["added_tokens"][1]["content"] = "<|end|>"; }, "comes twice"},
      {"other id", [](json& f) { f["added_tokens"][1]["content"] = "ab"; },
       "but 256 in model.vocab"},
      {"flag", [](json& f) { f["added_tokens"][1]["special"] = "no"; }, "added_tokens[1].special"},
      {"list", [](json& f) { f["added_tokens"] = 1; }, "added_tokens is not a list"},
  };
  for (const Refusal& refusal : refusals) {
    json file = SmallFile();
    refusal.spoil(file);
    const auto opened = Folder().Open(file.dump());
    ASSERT_FALSE(opened.has_value()) << refusal.name;
    EXPECT_EQ(opened.error().code, ErrorCode::kDataLoss) << refusal.name;
    EXPECT_THAT(opened.error().message, HasSubstr(refusal.message)) << refusal.name;
  }
}

// A megabyte of one character is the worst case of a naive merge loop: the work must grow as the word does. Counted,
// not timed.
TEST(Bpe, TheWorkOfALongWordIsLinearInItsBytes) {
  std::array<int32_t, 256> id_of_byte;
  std::iota(id_of_byte.begin(), id_of_byte.end(), 0);
  std::vector<BpeModel::Merge> merges = {{'a', 'a'}, {'a', 'b'}, {'b', 'a'}};  // aa → aaaa → …
  std::vector<int32_t> results = {256, 300, 301};
  for (int32_t id = 256; id < 270; ++id) {
    merges.emplace_back(id, id);
    results.push_back(id + 1);
  }
  const BpeModel model = BpeModel::Build(id_of_byte, merges, results);
  for (const size_t size :
       {BpeModel::kShortWord + 1, size_t{1000}, size_t{30'000}, size_t{1} << 20})
    for (const char* unit : {"a", "ab", "aab", "aaaaaaab"}) {
      std::string word;
      while (word.size() < size) word += unit;
      std::vector<int32_t> ids;
      const int64_t asked = model.EncodeWord(word, nullptr, &ids);
      EXPECT_GT(asked, 0);
      EXPECT_LT(asked, 3 * static_cast<int64_t>(word.size())) << unit << " " << size;
      EXPECT_LT(ids.size(), word.size());
    }
  std::vector<int32_t> ids;
  model.EncodeWord(std::string(1 << 15, 'a'), nullptr, &ids);
  EXPECT_EQ(ids, std::vector<int32_t>{270});  // 2^15 bytes are one token of the chain
}

TEST(TokenizerJson, SurvivesFilesThatAreCutOrNoJsonOrNotThere) {
  const std::string whole = SmallFile().dump();
  const Folder folder;
  EXPECT_EQ(Tokenizer::Open(folder.path()).error().code, ErrorCode::kNotFound);
  const std::string file = folder.path() + "/tokenizer.json";
  ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0);  // reading it would wait for ever
  EXPECT_THAT(Tokenizer::Open(folder.path()).error().message, HasSubstr("it is a pipe"));
  std::filesystem::remove(file);
  std::filesystem::create_directory(file);
  EXPECT_THAT(Tokenizer::Open(folder.path()).error().message, HasSubstr("it is a directory"));
  std::filesystem::remove(file);
  for (size_t length = 0; length < whole.size(); length += 1 + length / 50)
    EXPECT_EQ(folder.Open(whole.substr(0, length)).error().code, ErrorCode::kDataLoss) << length;
  for (const std::string text : {"[]", "1", "\"x\"", "null", "{\"model\":[]}", "{\"a\":\"\xff\"}"})
    EXPECT_FALSE(folder.Open(text).has_value()) << text;
  EXPECT_THAT(folder.Open("{\"x\":" + std::string(100, '[')).error().message,
              HasSubstr("nested deeper"));
  std::mt19937 random(9);
  for (int round = 0; round < 300; ++round) {  // must not crash; what is left may even be sound
    std::string text = whole;
    for (int n = 1 + random() % 3; n > 0; --n)
      text[random() % text.size()] = "\"{}[],:0a\\\x80"[random() % 11];
    if (const auto opened = folder.Open(text)) (*opened)->Encode("abab <|end|> \u00e9");
  }
}

}  // namespace
}  // namespace nextgate::engine
