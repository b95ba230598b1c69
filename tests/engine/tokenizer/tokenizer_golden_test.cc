// Our tokenizer beside what Hugging Face `tokenizers` made of the same texts: the goldens of
// tests/golden/make_tokenizer_goldens.py, for the real Qwen3 tokenizer (skipped where
// scripts/fetch_test_data.sh has not fetched it) and for the small model's.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "engine/tokenizer/detokenizer.h"
#include "engine/tokenizer/tokenizer.h"
#include "tests/support/seeded_texts.h"

namespace nextgate::engine {
namespace {

namespace fs = std::filesystem;
using nextgate::testing::Crc;
using nextgate::testing::FamilyString;
using nextgate::testing::RangesOf;
using nextgate::testing::SplitMix64;
using nextgate::testing::Utf8;
using Ids = std::vector<int32_t>;
using nlohmann::json;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

fs::path Goldens() { return fs::path(NEXTGATE_SOURCE_DIR) / "tests/golden/data/tokenizer"; }

fs::path DirectoryOf(const std::string& name) {
  if (name == "dictionary") return fs::path(NEXTGATE_SOURCE_DIR) / "models/dictionary";
  return fs::path(NEXTGATE_DEPS_PREFIX) / "share/qwen3";
}

class TokenizerGolden : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const fs::path directory = DirectoryOf(GetParam());
    if (std::string(GetParam()) == "qwen3" && !fs::exists(directory / "tokenizer.json"))
      GTEST_SKIP() << "no " << directory << "; scripts/fetch_test_data.sh fetches it";
    auto opened = Tokenizer::Open(directory.string());
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    tokenizer_ = std::move(*opened);
  }

  // Every row of NAME.jsonl that has `field`; there must be some.
  void ForRowsWith(const char* field, const std::function<void(const json&)>& check) {
    std::ifstream file(Goldens() / (std::string(GetParam()) + ".jsonl"));
    int num_rows = 0;
    for (std::string line; std::getline(file, line);) {
      const json row = json::parse(line);
      if (!row.contains(field)) continue;
      ++num_rows;
      check(row);
    }
    EXPECT_GT(num_rows, 0) << field;
  }

  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_P(TokenizerGolden, EncodesProseChineseCodeAndSpecialTokensAsTheReference) {
  ForRowsWith("ids", [&](const json& row) {
    if (!row.contains("text")) return;
    const std::string text = row["text"];
    EXPECT_EQ(tokenizer_->Encode(text), row["ids"].get<Ids>()) << text;
    const json& as_text =
        row.contains("ids_special_as_text") ? row["ids_special_as_text"] : row["ids"];
    EXPECT_EQ(tokenizer_->Encode(text, /*recognise_special=*/false), as_text.get<Ids>()) << text;
  });
}

TEST_P(TokenizerGolden, ReadsInvalidUtf8AsPythonDoes) {
  ForRowsWith("bytes", [&](const json& row) {
    std::string bytes;
    for (const int byte : row["bytes"]) bytes += static_cast<char>(byte);
    EXPECT_EQ(tokenizer_->Encode(bytes), row["ids"].get<Ids>()) << row["bytes"];
  });
}

TEST_P(TokenizerGolden, DecodesAsTheReferenceAtOnceAndOneByOne) {
  ForRowsWith("decode", [&](const json& row) {
    const Ids ids = row["decode"];
    for (const bool skip : {false, true}) {
      const std::string expected = row[skip ? "text_skip" : "text"];
      EXPECT_EQ(tokenizer_->Decode(ids, skip), expected) << row["decode"];
      Detokenizer detokenizer(*tokenizer_, skip);
      std::string joined;
      for (const int32_t id : ids) {
        const std::string piece = detokenizer.Add(id);
        EXPECT_FALSE(FindInvalidUtf8(piece).has_value()) << row["decode"];
        joined += piece;
      }
      EXPECT_EQ(joined + detokenizer.Flush(), expected) << row["decode"];
    }
  });
}

TEST_P(TokenizerGolden, EncodesOneMegabyteOfOneCharacterAsTheReference) {
  ForRowsWith("unit", [&](const json& row) {
    const std::string unit = row["unit"];
    std::string text;
    for (int i = row["count"]; i > 0; --i) text += unit;
    const Ids ids = tokenizer_->Encode(text);
    Crc crc;
    crc.Add(ids);
    EXPECT_EQ(ids.size(), row["num_ids"].get<size_t>()) << row["unit"];
    EXPECT_EQ(crc.Hex(), row["sum"]) << row["unit"];
  });
}

TEST_P(TokenizerGolden, EncodesRandomStringsSpacesAndCombiningSequencesAsTheReference) {
  ForRowsWith("family", [&](const json& row) {
    const std::string family = row["family"];
    SplitMix64 numbers(family.size());
    for (size_t i = 0; i < row["sums"].size(); ++i) {
      Crc crc;
      for (int n = 0; n < 100; ++n)
        crc.Add(tokenizer_->Encode(FamilyString(&numbers, RangesOf(family))));
      EXPECT_EQ(crc.Hex(), row["sums"][i])
          << family << " strings " << 100 * i << " to " << 100 * i + 99;
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Of, TokenizerGolden, ::testing::Values("qwen3", "dictionary"),
                         [](const auto& info) { return std::string(info.param); });

using Context = std::string (*)(const std::string&);
// As SCALAR_CONTEXTS in tokenizer_corpora.py, in its order.
const std::pair<const char*, Context> kContexts[] = {
    {"alone", [](const std::string& c) { return c; }},
    {"after a letter", [](const std::string& c) { return "a" + c; }},
    {"before a letter", [](const std::string& c) { return c + "b"; }},
    {"between letters", [](const std::string& c) { return "e" + c + "\u0301x"; }},
    {"after a space", [](const std::string& c) { return " " + c; }},
    {"between spaces", [](const std::string& c) { return "  " + c + "  "; }},
    {"before a newline", [](const std::string& c) { return "!" + c + "\n\n"; }},
    {"after a newline", [](const std::string& c) { return "\r\n" + c + " a"; }},
    {"between digits", [](const std::string& c) { return "1" + c + "2"; }},
    {"in a contraction", [](const std::string& c) { return "it'" + c + "e"; }},
    {"twice before a mark", [](const std::string& c) { return c + c + "\u0327\u0301"; }},
};

class ScalarGolden : public TokenizerGolden {};

// 12 million texts; the sanitizer builds take every sixteenth block.
TEST_P(ScalarGolden, EncodesEveryUnicodeScalarAloneAndInTenContextsAsTheReference) {
  std::ifstream file(Goldens() / "qwen3_scalars.txt");
  int num_blocks = 0;
  for (std::string line; std::getline(file, line); ++num_blocks) {
    if (kSanitized && num_blocks % 16 != 0) continue;
    std::istringstream fields(line);
    uint32_t first = 0;
    fields >> std::hex >> first;
    for (const auto& [name, context] : kContexts) {
      std::string expected;
      fields >> expected;
      Crc crc;
      for (uint32_t c = first; c < first + 1024; ++c)
        if (c < 0xD800 || c >= 0xE000) crc.Add(tokenizer_->Encode(context(Utf8(c))));
      EXPECT_EQ(crc.Hex(), expected)
          << "a scalar of U+" << line.substr(0, 6) << " and 1023 more, " << name;
    }
  }
  EXPECT_EQ(num_blocks, 1086);  // 0x110000 / 1024, less two of surrogates
}
INSTANTIATE_TEST_SUITE_P(Of, ScalarGolden, ::testing::Values("qwen3"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace nextgate::engine
