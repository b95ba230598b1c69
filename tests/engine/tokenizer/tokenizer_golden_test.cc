// Our tokenizer beside what Hugging Face `tokenizers` made of the same texts: the goldens of
// tests/golden/make_tokenizer_goldens.py, for the real Qwen3 tokenizer (skipped where
// scripts/fetch_test_data.sh has not fetched it) and for the small model's.
#include <gtest/gtest.h>

#include <array>
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
#include "engine/tokenizer/utf8.h"

namespace nextgate::engine {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<int32_t>;
using nlohmann::json;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// IEEE CRC-32, as zlib computes it.
class Crc {
 public:
  void Add(const Ids& ids) {
    AddWord(static_cast<uint32_t>(ids.size()));
    for (const int32_t id : ids) AddWord(static_cast<uint32_t>(id));
  }
  std::string Hex() const {
    char text[9];
    std::snprintf(text, sizeof(text), "%08x", ~state_);
    return text;
  }

 private:
  static std::array<uint32_t, 256> Table() {
    std::array<uint32_t, 256> table;
    for (uint32_t i = 0; i < 256; ++i) {
      table[i] = i;
      for (int bit = 0; bit < 8; ++bit) table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xEDB88320u : 0);
    }
    return table;
  }
  void AddWord(uint32_t word) {
    static const std::array<uint32_t, 256> table = Table();
    for (int shift = 0; shift < 32; shift += 8)
      state_ = table[(state_ ^ word >> shift) & 0xFF] ^ state_ >> 8;
  }
  uint32_t state_ = ~uint32_t{0};
};

std::string Utf8(uint32_t scalar) {
  std::string text;
  AppendUtf8(scalar, &text);
  return text;
}

// The seeded texts of tests/golden/tokenizer_corpora.py.
class SplitMix64 {
 public:
  explicit SplitMix64(uint64_t seed) : state_(seed) {}
  uint64_t Below(uint64_t n) {
    uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (z ^ z >> 31) % n;
  }

 private:
  uint64_t state_;
};

using Ranges = std::vector<std::pair<uint32_t, uint32_t>>;

const Ranges& RangesOf(const std::string& family) {
  static const Ranges random = {
      {0x20, 0x7E},     {0x20, 0x7E},     {0x20, 0x7E},     {0x09, 0x0D},       {0xA0, 0x24F},
      {0x2B0, 0x52F},   {0x590, 0x6FF},   {0x900, 0xDFF},   {0x1E00, 0x206F},   {0x3000, 0x30FF},
      {0x4E00, 0x9FFF}, {0xAC00, 0xD7A3}, {0xF900, 0xFFEF}, {0x10000, 0x1FFFF}, {0x0, 0x10FFFF}};
  static const Ranges spaces = {
      {0x20, 0x20}, {0x20, 0x20},     {0x20, 0x20},     {0x09, 0x0D}, {0x0A, 0x0A},  {0x85, 0x85},
      {0xA0, 0xA0}, {0x2000, 0x200B}, {0x2028, 0x2029}, {0x61, 0x63}, {0x31, 0x32},  {0x27, 0x27},
      {0x2E, 0x2E}, {0x73, 0x74},     {0x17F, 0x17F},   {0xE9, 0xE9}, {0x301, 0x301}};
  static const Ranges combining = {
      {0x41, 0x7A},       {0x300, 0x36F},    {0x300, 0x36F},     {0xC0, 0x1EF},
      {0x591, 0x5F4},     {0x610, 0x65F},    {0x8D0, 0x8FF},     {0x93C, 0x95F},
      {0x9BC, 0x9DF},     {0xBBE, 0xBD7},    {0xF71, 0xF84},     {0x1025, 0x103A},
      {0x1100, 0x1112},   {0x1161, 0x1175},  {0x11A8, 0x11C2},   {0xAC00, 0xAC40},
      {0x1AB0, 0x1ACE},   {0x1DC0, 0x1DFF},  {0x1E00, 0x1FFF},   {0x20D0, 0x20F0},
      {0x3040, 0x309F},   {0xFB1D, 0xFB4F},  {0x11099, 0x110BA}, {0x11930, 0x11943},
      {0x1D15E, 0x1D172}, {0x1D1BB, 0x1D1C0}};
  return family == "random" ? random : family == "spaces" ? spaces : combining;
}

std::string FamilyString(SplitMix64* numbers, const Ranges& ranges) {
  std::string text;
  for (uint64_t n = 1 + numbers->Below(40); n > 0; --n) {
    const auto [first, last] = ranges[numbers->Below(ranges.size())];
    const uint32_t c = first + static_cast<uint32_t>(numbers->Below(last - first + 1));
    AppendUtf8(c >= 0xD800 && c < 0xE000 ? 0xFFFD : c, &text);
  }
  return text;
}

fs::path Goldens() { return fs::path(NEXTGATE_SOURCE_DIR) / "tests/golden/data/tokenizer"; }

fs::path DirectoryOf(const std::string& name) {
  if (name == "dictionary") return fs::path(NEXTGATE_SOURCE_DIR) / "models/dictionary";
  return fs::path(NEXTGATE_DEPS_PREFIX) / "share/qwen3";
}

class TokenizerGolden : public testing::TestWithParam<const char*> {
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

INSTANTIATE_TEST_SUITE_P(Of, TokenizerGolden, testing::Values("qwen3", "dictionary"),
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
INSTANTIATE_TEST_SUITE_P(Of, ScalarGolden, testing::Values("qwen3"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace nextgate::engine
