// Directories of a sentence encoder, each broken in one place.
#include "engine/encoder/encoder_config.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>

#include "engine/encoder/sentence_encoder.h"
#include "tests/support/checkpoint_files.h"

namespace nextgate::engine {
namespace {

namespace fs = std::filesystem;
using nextgate::testing::ReadText;
using nextgate::testing::TempDir;
using nextgate::testing::WriteText;
using nlohmann::json;

const fs::path kSmall = NEXTGATE_SOURCE_DIR "/tests/golden/data/encoder/small";

class EncoderDirectory : public ::testing::Test {
 protected:
  EncoderDirectory() { fs::copy(kSmall, dir_.path(), fs::copy_options::recursive); }

  void Edit(const std::string& file, const std::function<void(json&)>& edit) {
    json document = json::parse(ReadText(dir_ / file));
    edit(document);
    WriteText(dir_ / file, document.dump());
  }
  void Restore() {
    fs::copy(kSmall, dir_.path(),
             fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  }
  EncoderConfig Config() {
    auto config = ReadEncoderConfig(dir_.path());
    EXPECT_TRUE(config) << config.error().message;
    return config.value_or(EncoderConfig{});
  }

  TempDir dir_;
};

TEST_F(EncoderDirectory, SaysHowItsTextsAreEmbedded) {
  const EncoderConfig config = Config();
  EXPECT_EQ(config.pooling, Pooling::kCls);
  EXPECT_FALSE(config.normalise);
  EXPECT_EQ(config.prompt, "query: ");
  EXPECT_EQ(config.tokens_max, 40);
  EXPECT_EQ(config.bert.hidden_size, 24);
  EXPECT_EQ(config.bert.num_attention_heads, 3);
}

TEST_F(EncoderDirectory, OlderFormsSayTheSame) {
  WriteText(dir_ / "1_Pooling/config.json",
            R"({"word_embedding_dimension": 24, "pooling_mode_cls_token": false,
                "pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": false})");
  Edit("modules.json", [](json& modules) {
    modules.push_back(
        {{"idx", 2}, {"path", "2_Normalize"}, {"type", "sentence_transformers.models.Normalize"}});
  });
  fs::remove(dir_ / "sentence_bert_config.json");
  fs::remove(dir_ / "config_sentence_transformers.json");
  EncoderConfig config = Config();
  EXPECT_EQ(config.pooling, Pooling::kMean);
  EXPECT_TRUE(config.normalise);
  EXPECT_EQ(config.prompt, "");
  EXPECT_EQ(config.tokens_max, 48);  // the positions
  Edit("tokenizer_config.json", [](json& tokenizer) { tokenizer["model_max_length"] = 1e30; });
  EXPECT_EQ(Config().tokens_max, 48);
  Edit("tokenizer_config.json", [](json& tokenizer) { tokenizer["model_max_length"] = 30; });
  EXPECT_EQ(Config().tokens_max, 30);
}

TEST_F(EncoderDirectory, XlmRobertasPositionsBeginBehindThePaddings) {
  Edit("config.json", [](json& config) {
    config["model_type"] = "xlm-roberta";
    config["pad_token_id"] = 9;
  });
  const EncoderConfig config = Config();
  EXPECT_EQ(config.bert.padding_id, 9);
  EXPECT_EQ(config.bert.first_position, 10);
  EXPECT_EQ(config.tokens_max, 38);  // of 48 positions
}

TEST_F(EncoderDirectory, WhatItDoesNotDoIsRefusedByName) {
  struct Case {
    const char* file;
    std::function<void(json&)> edit;
    const char* named;
  };
  const Case cases[] = {
      {"modules.json", [](json& m) { m[1]["type"] = "x.Dense"; }, "Pooling"},
      {"modules.json", [](json& m) { m[1]["path"] = "../small"; }, "path"},
      {"modules.json", [](json& m) { m = json::object(); }, "modules"},
      {"config.json", [](json& c) { c["model_type"] = "roberta"; }, "model_type"},
      {"config.json",
       [](json& c) {
         c["model_type"] = "xlm-roberta";
         c["pad_token_id"] = 41;
       },
       "max_position_embeddings"},
      {"config.json", [](json& c) { c["hidden_act"] = "relu"; }, "hidden_act"},
      {"config.json", [](json& c) { c["position_embedding_type"] = "relative_key"; }, "position"},
      {"config.json", [](json& c) { c["num_attention_heads"] = 5; }, "num_attention_heads"},
      {"config.json", [](json& c) { c["hidden_size"] = 48; }, "embedding_dimension"},
      {"config.json", [](json& c) { c["intermediate_size"] = 41; }, "intermediate.dense"},
      {"config.json", [](json& c) { c["num_hidden_layers"] = 3; }, "encoder.layer.2"},
      {"config.json", [](json& c) { c["num_hidden_layers"] = 1; }, "encoder.layer.1"},
      {"config.json", [](json& c) { c["vocab_size"] = 50; }, "vocab_size"},
      {"config.json", [](json& c) { c["max_position_embeddings"] = 1 << 30; }, "max_position"},
      {"1_Pooling/config.json", [](json& p) { p["pooling_mode"] = "max"; }, "max"},
      {"1_Pooling/config.json",
       [](json& p) {
         p["pooling_mode"] = {"cls", "mean"};
       },
       "pooling"},
      {"1_Pooling/config.json", [](json& p) { p["include_prompt"] = false; }, "include_prompt"},
      {"1_Pooling/config.json", [](json& p) { p["embedding_dimension"] = 25; }, "24"},
      {"sentence_bert_config.json", [](json& s) { s["do_lower_case"] = true; }, "do_lower_case"},
      {"sentence_bert_config.json", [](json& s) { s["max_seq_length"] = 0; }, "max_seq_length"},
      {"config_sentence_transformers.json", [](json& s) { s["prompts"].clear(); }, "query"},
      {"tokenizer.json", [](json& t) { t["post_processor"] = nullptr; }, "special tokens"},
      {"tokenizer.json", [](json& t) { t["model"]["type"] = "BPE"; }, "WordPiece"},
  };
  for (const Case& broken : cases) {
    Restore();
    Edit(broken.file, broken.edit);
    const auto encoder = SentenceEncoder::Open(dir_.path(), 1);
    ASSERT_FALSE(encoder) << broken.file << " " << broken.named;
    EXPECT_NE(encoder.error().message.find(broken.named), std::string::npos)
        << broken.named << ": " << encoder.error().message;
  }
}

TEST_F(EncoderDirectory, EveryFileItNeedsIsMissedByName) {
  for (const char* file :
       {"modules.json", "config.json", "1_Pooling/config.json", "tokenizer.json"}) {
    Restore();
    fs::remove(dir_ / file);
    const auto encoder = SentenceEncoder::Open(dir_.path(), 1);
    ASSERT_FALSE(encoder) << file;
    EXPECT_EQ(encoder.error().code, ErrorCode::kNotFound) << file;
    EXPECT_NE(encoder.error().message.find(file), std::string::npos) << encoder.error().message;
  }
}

TEST_F(EncoderDirectory, WhateverDecidesTheEmbeddingsIsInTheFingerprint) {
  const auto fingerprint = [&] {
    auto encoder = SentenceEncoder::Open(dir_.path(), 1);
    EXPECT_TRUE(encoder) << encoder.error().message;
    return encoder ? (*encoder)->fingerprint() : "";
  };
  const std::string before = fingerprint();
  EXPECT_EQ(fingerprint(), before);
  Edit("1_Pooling/config.json", [](json& p) { p["pooling_mode"] = "mean"; });
  const std::string pooled = fingerprint();
  EXPECT_NE(pooled, before);
  Edit("config_sentence_transformers.json", [](json& s) { s["prompts"]["query"] = "q: "; });
  EXPECT_NE(fingerprint(), pooled);
}

TEST_F(EncoderDirectory, WeightsThatAreNotFiniteAreAnErrorAndNoEmbedding) {
  std::string weights = ReadText(dir_ / "model.safetensors");
  weights.replace(weights.size() - 2, 2, "\xFF\x7F");  // a half's NaN
  weights.replace(weights.size() / 2, 2, "\xFF\x7F");
  WriteText(dir_ / "model.safetensors", weights);
  const auto encoder = SentenceEncoder::Open(dir_.path(), 1);
  ASSERT_TRUE(encoder) << encoder.error().message;
  const std::vector<std::string> texts = {"how do i reset my password"};
  const auto embeddings = (*encoder)->Encode(texts);
  ASSERT_FALSE(embeddings);
  EXPECT_EQ(embeddings.error().code, ErrorCode::kDataLoss);
}

}  // namespace
}  // namespace nextgate::engine
