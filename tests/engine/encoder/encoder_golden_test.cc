// The sentence encoder beside what sentence-transformers and `tokenizers` computed, as
// tests/golden/make_encoder_goldens.py wrote it: for a small random model that differs from MiniLM
// in all that a directory may say, and for the real one (skipped where scripts/models.sh has not
// fetched it).
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "engine/encoder/sentence_encoder.h"
#include "engine/model/safetensors.h"
#include "tests/support/seeded_texts.h"

namespace nextgate::engine {
namespace {

namespace fs = std::filesystem;
using nextgate::testing::Crc;
using nextgate::testing::FamilyString;
using nextgate::testing::RangesOf;
using nextgate::testing::SplitMix64;
using nextgate::testing::Utf8;
using nlohmann::json;
using Ids = std::vector<int32_t>;

// fp32 sums in another order: a few units in the last place of values of about `scale`.
constexpr double kDifferenceMax = 2e-6;
constexpr double kCosineMin = 0.99999;

const fs::path kGoldens = NEXTGATE_SOURCE_DIR "/tests/golden/data/encoder";

struct Model {
  const char* name;
  fs::path dir, goldens;  // goldens: without extension
};

std::ostream& operator<<(std::ostream& out, const Model& model) { return out << model.name; }

struct GoldenText {
  std::string text;
  Ids ids;
};

std::vector<GoldenText> GoldenTexts(const Model& model) {
  std::vector<GoldenText> texts;
  std::ifstream file(model.goldens.string() + ".jsonl");
  for (std::string line; std::getline(file, line);) {
    const json row = json::parse(line);
    if (!row.contains("ids")) continue;
    std::string text = row.value("text", "");
    for (int i = row.value("count", 0); i > 0; --i) text += row["unit"].get<std::string>();
    texts.push_back({std::move(text), row["ids"].get<Ids>()});
  }
  return texts;
}

class EncoderGolden : public ::testing::TestWithParam<Model> {
 protected:
  void SetUp() override {
    if (!fs::exists(GetParam().dir / "modules.json"))
      GTEST_SKIP() << "no " << GetParam().dir << "; scripts/models.sh minilm fetches it";
    encoder_ = OpenWith(2);
    auto wordpiece = WordPiece::Open(GetParam().dir);
    ASSERT_TRUE(encoder_ && wordpiece);
    wordpiece_ = std::move(*wordpiece);
  }
  static std::unique_ptr<SentenceEncoder> OpenWith(int threads) {
    auto opened = SentenceEncoder::Open(GetParam().dir, threads);
    EXPECT_TRUE(opened) << opened.error().message;
    return opened ? std::move(*opened) : nullptr;
  }

  std::unique_ptr<SentenceEncoder> encoder_;
  std::unique_ptr<WordPiece> wordpiece_;
};

TEST_P(EncoderGolden, TextsHaveTheReferencesIdsCutWhereItCutsThem) {
  auto config = ReadEncoderConfig(GetParam().dir);
  ASSERT_TRUE(config) << config.error().message;
  const std::vector<GoldenText> texts = GoldenTexts(GetParam());
  ASSERT_GE(texts.size(), 60u);
  for (const GoldenText& golden : texts)
    EXPECT_EQ(wordpiece_->Encode(config->prompt + golden.text, config->tokens_max).ids, golden.ids)
        << golden.text.substr(0, 80);
}

TEST_P(EncoderGolden, RandomStringsSpacesAndCombiningSequencesHaveTheReferencesIds) {
  std::ifstream file(GetParam().goldens.string() + ".jsonl");
  int num_rows = 0;
  for (std::string line; std::getline(file, line);) {
    const json row = json::parse(line);
    if (!row.contains("family")) continue;
    ++num_rows;
    const std::string family = row["family"];
    SplitMix64 numbers(family.size());
    for (size_t i = 0; i < row["sums"].size(); ++i) {
      Crc crc;
      for (int n = 0; n < 100; ++n)
        crc.Add(wordpiece_->Encode(FamilyString(&numbers, RangesOf(family)), INT32_MAX).ids);
      EXPECT_EQ(crc.Hex(), row["sums"][i].get<std::string>())
          << family << " strings from " << 100 * i;
    }
  }
  EXPECT_EQ(num_rows, 3);
}

TEST_P(EncoderGolden, EmbeddingsAreThoseOfSentenceTransformers) {
  auto file = SafetensorsFile::Open(GetParam().goldens.string() + ".safetensors");
  ASSERT_TRUE(file) << file.error().message;
  const RawTensor& golden = (*file)->tensors().at("embeddings");
  const auto width = static_cast<size_t>(encoder_->dimension());
  std::vector<float> expected(golden.data.size() / sizeof(float));
  std::memcpy(expected.data(), golden.data.data(), golden.data.size());
  std::vector<std::string> texts;
  for (const GoldenText& text : GoldenTexts(GetParam())) texts.push_back(text.text);
  ASSERT_EQ(expected.size(), texts.size() * width);
  const auto embeddings = encoder_->Encode(texts);
  ASSERT_TRUE(embeddings) << embeddings.error().message;
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::vector<float>& ours = (*embeddings)[i].values;
    ASSERT_EQ(ours.size(), width);
    double product = 0, own = 0, theirs = 0, difference = 0, scale = 0;
    for (size_t h = 0; h < width; ++h) {
      const double x = ours[h], y = expected[i * width + h];
      product += x * y;
      own += x * x;
      theirs += y * y;
      difference = std::max(difference, std::abs(x - y));
      scale = std::max(scale, std::abs(y));
    }
    EXPECT_GE(product / std::sqrt(own * theirs), kCosineMin) << texts[i].substr(0, 80);
    EXPECT_LE(difference, kDifferenceMax * std::max(1.0, scale)) << texts[i].substr(0, 80);
  }
}

TEST_P(EncoderGolden, AnEmbeddingDependsOnItsTextOnly) {
  std::vector<std::string> texts;
  for (const GoldenText& text : GoldenTexts(GetParam())) texts.push_back(text.text);
  const auto together = encoder_->Encode(texts);
  ASSERT_TRUE(together);
  const auto alone = OpenWith(1);
  ASSERT_TRUE(alone);
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto one = alone->Encode(std::span(texts).subspan(i, 1));
    ASSERT_TRUE(one);
    EXPECT_EQ((*one)[0].values, (*together)[i].values) << texts[i].substr(0, 80);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Of, EncoderGolden,
    ::testing::Values(Model{"small", kGoldens / "small", kGoldens / "small/golden"},
                      Model{"minilm", NEXTGATE_DEPS_PREFIX "/share/minilm", kGoldens / "minilm"}),
    [](const auto& info) { return std::string(info.param.name); });

// 3.3 million texts: CONTEXTS of the generator, in its order.
TEST(WordPieceScalars, EveryUnicodeScalarHasTheReferencesIds) {
  const fs::path dir = NEXTGATE_DEPS_PREFIX "/share/minilm";
  if (!fs::exists(dir / "tokenizer.json"))
    GTEST_SKIP() << "no " << dir << "; scripts/models.sh minilm fetches it";
  const auto wordpiece = WordPiece::Open(dir);
  ASSERT_TRUE(wordpiece) << wordpiece.error().message;
  using Context = std::string (*)(const std::string&);
  constexpr std::array<Context, 3> kContexts = {
      [](const std::string& c) { return c; },
      [](const std::string& c) { return "e" + c + "\u0301x"; },
      [](const std::string& c) { return c + c + "\u0327\u0301"; },
  };
  std::ifstream file(kGoldens / "minilm_scalars.txt");
  int num_blocks = 0;
  for (std::string line; std::getline(file, line); ++num_blocks) {
    std::istringstream fields(line);
    uint32_t first = 0;
    fields >> std::hex >> first;
    for (const Context context : kContexts) {
      std::string expected;
      fields >> expected;
      Crc crc;
      for (uint32_t c = first; c < first + 1024; ++c)
        if (c < 0xD800 || c >= 0xE000)
          crc.Add((*wordpiece)->Encode(context(Utf8(c)), INT32_MAX).ids);
      EXPECT_EQ(crc.Hex(), expected) << "a scalar of U+" << line.substr(0, 6) << " and 1023 more";
    }
  }
  EXPECT_EQ(num_blocks, 1086);  // 0x110000 / 1024, less two of surrogates
}

}  // namespace
}  // namespace nextgate::engine
