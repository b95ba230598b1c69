// The sentence encoder beside what sentence-transformers and `tokenizers` computed, as
// tests/golden/make_encoder_goldens.py and make_unigram_goldens.py wrote it: for small random models
// that differ from the real ones in all that a directory may say, each network with each tokenizer,
// and for the real ones (skipped where scripts/models.sh has not fetched them).
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
#include "tests/support/checkpoint_files.h"
#include "tests/support/seeded_texts.h"

namespace nextgate::engine {
namespace {

namespace fs = std::filesystem;
using nextgate::testing::Crc;
using nextgate::testing::FamilyString;
using nextgate::testing::RangesOf;
using nextgate::testing::ReadText;
using nextgate::testing::SplitMix64;
using nextgate::testing::TempDir;
using nextgate::testing::Utf8;
using nextgate::testing::WriteText;
using nlohmann::json;
using Ids = std::vector<int32_t>;

// fp32 sums in another order: a few units in the last place of values of about `scale`.
constexpr double kDifferenceMax = 2e-6;
constexpr double kCosineMin = 0.99999;

const fs::path kGoldens = NEXTGATE_SOURCE_DIR "/tests/golden/data/encoder";

struct Model {
  const char* name;
  fs::path dir, goldens;  // goldens: without extension, of scalars with it
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

// Beside the "embeddings" of `path`, which are `texts`' in their order.
void ExpectEmbeddings(SentenceEncoder& encoder, const std::vector<GoldenText>& goldens,
                      const std::string& path) {
  auto file = SafetensorsFile::Open(path);
  ASSERT_TRUE(file) << file.error().message;
  const RawTensor& golden = (*file)->tensors().at("embeddings");
  const auto width = static_cast<size_t>(encoder.dimension());
  std::vector<float> expected(golden.data.size() / sizeof(float));
  std::memcpy(expected.data(), golden.data.data(), golden.data.size());
  std::vector<std::string> texts;
  for (const GoldenText& text : goldens) texts.push_back(text.text);
  ASSERT_EQ(expected.size(), texts.size() * width);
  const auto embeddings = encoder.Encode(texts);
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

class EncoderGolden : public ::testing::TestWithParam<Model> {
 protected:
  void SetUp() override {
    if (!fs::exists(GetParam().dir / "modules.json"))
      GTEST_SKIP() << "no " << GetParam().dir << "; scripts/models.sh " << GetParam().name;
    encoder_ = OpenWith(2);
    auto tokenizer = TextTokenizer::Open(GetParam().dir);
    ASSERT_TRUE(encoder_ && tokenizer);
    tokenizer_ = std::move(*tokenizer);
  }
  static std::unique_ptr<SentenceEncoder> OpenWith(int threads) {
    auto opened = SentenceEncoder::Open(GetParam().dir, threads);
    EXPECT_TRUE(opened) << opened.error().message;
    return opened ? std::move(*opened) : nullptr;
  }

  std::unique_ptr<SentenceEncoder> encoder_;
  std::unique_ptr<TextTokenizer> tokenizer_;
};

TEST_P(EncoderGolden, TextsHaveTheReferencesIdsCutWhereItCutsThem) {
  auto config = ReadEncoderConfig(GetParam().dir);
  ASSERT_TRUE(config) << config.error().message;
  const std::vector<GoldenText> texts = GoldenTexts(GetParam());
  ASSERT_GE(texts.size(), 60u);
  for (const GoldenText& golden : texts)
    EXPECT_EQ(tokenizer_->Encode(config->prompt + golden.text, config->tokens_max).ids, golden.ids)
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
        crc.Add(tokenizer_->Encode(FamilyString(&numbers, RangesOf(family)), INT32_MAX).ids);
      EXPECT_EQ(crc.Hex(), row["sums"][i].get<std::string>())
          << family << " strings from " << 100 * i;
    }
  }
  EXPECT_EQ(num_rows, 3);
}

TEST_P(EncoderGolden, EmbeddingsAreThoseOfSentenceTransformers) {
  ExpectEmbeddings(*encoder_, GoldenTexts(GetParam()),
                   GetParam().goldens.string() + ".safetensors");
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
                      Model{"xlmr", kGoldens / "xlmr", kGoldens / "xlmr/golden"},
                      Model{"e5", kGoldens / "e5", kGoldens / "e5/golden"},
                      Model{"minilm", NEXTGATE_DEPS_PREFIX "/share/minilm", kGoldens / "minilm"},
                      Model{"me5", NEXTGATE_DEPS_PREFIX "/share/me5", kGoldens / "me5"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(EncoderGoldenXlmRoberta, WithWordPieceTooEmbeddingsAreThoseOfSentenceTransformers) {
  const Model small = {"small", kGoldens / "small", kGoldens / "small/golden"};
  TempDir dir;
  fs::copy(small.dir, dir.path(), fs::copy_options::recursive);
  json config = json::parse(ReadText(dir / "config.json"));
  config["model_type"] = "xlm-roberta";
  WriteText(dir / "config.json", config.dump());
  const auto encoder = SentenceEncoder::Open(dir.path(), 2);
  ASSERT_TRUE(encoder) << encoder.error().message;
  ExpectEmbeddings(**encoder, GoldenTexts(small), small.dir / "golden_xlmr.safetensors");
}

// 3.3 million texts: CONTEXTS of the generator, in its order.
class EncoderScalars : public ::testing::TestWithParam<Model> {};

TEST_P(EncoderScalars, EveryUnicodeScalarHasTheReferencesIds) {
  if (!fs::exists(GetParam().dir / "tokenizer.json"))
    GTEST_SKIP() << "no " << GetParam().dir << "; scripts/models.sh " << GetParam().name;
  const auto tokenizer = TextTokenizer::Open(GetParam().dir);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  using Context = std::string (*)(const std::string&);
  constexpr std::array<Context, 3> kContexts = {
      [](const std::string& c) { return c; },
      [](const std::string& c) { return "e" + c + "\u0301x"; },
      [](const std::string& c) { return c + c + "\u0327\u0301"; },
  };
  std::ifstream file(GetParam().goldens);
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
          crc.Add((*tokenizer)->Encode(context(Utf8(c)), INT32_MAX).ids);
      EXPECT_EQ(crc.Hex(), expected) << "a scalar of U+" << line.substr(0, 6) << " and 1023 more";
    }
  }
  EXPECT_EQ(num_blocks, 1086);  // 0x110000 / 1024, less two of surrogates
}

INSTANTIATE_TEST_SUITE_P(Of, EncoderScalars,
                         ::testing::Values(Model{"minilm", NEXTGATE_DEPS_PREFIX "/share/minilm",
                                                 kGoldens / "minilm_scalars.txt"},
                                           Model{"xlmr", kGoldens / "xlmr",
                                                 kGoldens / "xlmr_scalars.txt"}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace nextgate::engine
