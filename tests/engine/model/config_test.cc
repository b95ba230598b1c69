// config.json and generation_config.json: both forms, overrides, and what is refused.
#include "engine/model/config.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/model/generation_config.h"
#include "tests/support/checkpoint_files.h"

namespace nextgate::engine {
namespace {

using nextgate::testing::TempDir;
using nextgate::testing::WriteText;
using nlohmann::json;

// The fields of Qwen3-Next-80B-A3B-Instruct's published config.json.
json Published() {
  return json::parse(R"({
    "architectures": ["Qwen3NextForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
    "bos_token_id": 151643, "decoder_sparse_step": 1, "eos_token_id": 151645,
    "full_attention_interval": 4, "head_dim": 256, "hidden_act": "silu", "hidden_size": 2048,
    "initializer_range": 0.02, "intermediate_size": 5120, "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128, "linear_num_key_heads": 16, "linear_num_value_heads": 32,
    "linear_value_head_dim": 128, "max_position_embeddings": 262144, "mlp_only_layers": [],
    "model_type": "qwen3_next", "moe_intermediate_size": 512, "norm_topk_prob": true,
    "num_attention_heads": 16, "num_experts": 512, "num_experts_per_tok": 10,
    "num_hidden_layers": 48, "num_key_value_heads": 2, "output_router_logits": false,
    "partial_rotary_factor": 0.25, "rms_norm_eps": 1e-06, "rope_scaling": null,
    "rope_theta": 10000000, "router_aux_loss_coef": 0.001,
    "shared_expert_intermediate_size": 512, "tie_word_embeddings": false,
    "torch_dtype": "bfloat16", "transformers_version": "4.57.0.dev0", "use_cache": true,
    "use_sliding_window": false, "vocab_size": 151936})");
}

// The same as transformers 5 writes it.
json PublishedNewer() {
  json config = Published();
  for (const char* name : {"rope_theta", "rope_scaling", "partial_rotary_factor", "torch_dtype"})
    config.erase(name);
  config["dtype"] = "bfloat16";
  config["rope_parameters"] = {
      {"rope_type", "default"}, {"rope_theta", 10000000.0}, {"partial_rotary_factor", 0.25}};
  config["layer_types"] = json::array();
  for (int i = 0; i < 48; ++i)
    config["layer_types"].push_back(i % 4 == 3 ? "full_attention" : "linear_attention");
  return config;
}

Result<ModelConfig> ReadWith(const json& config, const std::string& overrides) {
  const TempDir dir;
  WriteText(dir / "config.json", config.dump());
  return ReadModelConfig(dir.path(), overrides);
}

TEST(ModelConfig, TheOlderAndTheNewerFormOfThePublishedFileSayTheSame) {
  for (const json& form : {Published(), PublishedNewer()}) {
    const auto c = ParseModelConfig(form);
    ASSERT_TRUE(c) << c.error().message;
    EXPECT_EQ(c->num_hidden_layers, 48);
    EXPECT_EQ(c->num_full_layers(), 12);
    EXPECT_EQ(c->num_linear_layers(), 36);
    EXPECT_EQ(c->layer_types[3], LayerType::kFullAttention);
    EXPECT_EQ(c->layer_types[4], LayerType::kLinearAttention);
    EXPECT_EQ(c->sparse_layers, std::vector<bool>(48, true));
    EXPECT_EQ(c->rope_theta, 1e7);
    EXPECT_EQ(c->rotary_dim, 64);
    EXPECT_EQ(c->key_channels(), 2048);
    EXPECT_EQ(c->value_channels(), 4096);
    EXPECT_EQ(c->conv_channels(), 8192);
    EXPECT_EQ(c->max_position_embeddings, 262144);
    EXPECT_EQ(c->eos_token_ids, std::vector<int32_t>{151645});
    EXPECT_EQ(c->num_nextn_predict_layers, 1);
    EXPECT_FALSE(c->tie_word_embeddings);
    EXPECT_FALSE(c->fp8);
  }
}

TEST(ModelConfig, LayersOffTheSparseStepAndListedOnesAreDense) {
  json config = Published();
  config["num_hidden_layers"] = 6;
  config["decoder_sparse_step"] = 2;
  config["mlp_only_layers"] = {3};
  const auto c = ParseModelConfig(config);
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_EQ(c->sparse_layers, (std::vector<bool>{false, true, false, false, false, true}));
}

TEST(ModelConfig, FewerLayersByOverrideCutTheLayerTypes) {
  for (const json& form : {Published(), PublishedNewer()}) {
    const auto c = ReadWith(form, R"({"num_hidden_layers": 6})");
    ASSERT_TRUE(c) << c.error().message;
    EXPECT_EQ(c->layer_types.size(), 6U);
    EXPECT_EQ(c->num_full_layers(), 1);
    EXPECT_TRUE(c->layers_cut);
  }
}

TEST(ModelConfig, OverridesMergeNestedObjectsAndReplaceTheRest) {
  const auto nested = ReadWith(PublishedNewer(), R"({"rope_parameters": {"rope_theta": 5000}})");
  ASSERT_TRUE(nested) << nested.error().message;
  EXPECT_EQ(nested->rope_theta, 5000);
  EXPECT_EQ(nested->rotary_dim, 64);  // the sibling field stays
  EXPECT_FALSE(nested->layers_cut);
  for (const json& form : {Published(), PublishedNewer()}) {
    const auto flat = ReadWith(form, R"({"rope_theta": 6000, "eos_token_id": [5, 6]})");
    ASSERT_TRUE(flat) << flat.error().message;
    EXPECT_EQ(flat->rope_theta, 6000);
    EXPECT_EQ(flat->eos_token_ids, (std::vector<int32_t>{5, 6}));
  }
}

TEST(ModelConfig, AnOverrideThatIsNoObjectIsTheCallersMistake) {
  for (const char* overrides : {"[]", "3", "{", R"({"a":)"}) {
    const auto c = ReadWith(Published(), overrides);
    ASSERT_FALSE(c) << overrides;
    EXPECT_NE(c.error().message.find("hf-overrides"), std::string::npos) << c.error().message;
  }
}

struct Refusal {
  const char* patch;  // merge patch (RFC 7396: null removes) over the published file
  std::vector<const char*> parts;
};

class RefusedConfig : public ::testing::TestWithParam<Refusal> {};

TEST_P(RefusedConfig, NamesTheFieldWhatWasExpectedAndWhatCame) {
  json config = PublishedNewer();
  config.merge_patch(json::parse(GetParam().patch));
  const auto c = ParseModelConfig(config);
  ASSERT_FALSE(c) << GetParam().patch;
  for (const char* part : GetParam().parts)
    EXPECT_NE(c.error().message.find(part), std::string::npos)
        << "expected \"" << part << "\" in \"" << c.error().message << '"';
}

INSTANTIATE_TEST_SUITE_P(
    Fields, RefusedConfig,
    ::testing::Values(
        Refusal{R"({"hidden_size": null})", {"hidden_size", "missing"}},
        Refusal{R"({"hidden_size": 0})", {"hidden_size", "from 1 to", "got 0"}},
        Refusal{R"({"hidden_size": "2048"})", {"hidden_size", "whole number", "got \"2048\""}},
        Refusal{R"({"hidden_size": 2048.5})", {"hidden_size", "2048.5"}},
        Refusal{R"({"hidden_size": 1e300})", {"hidden_size", "1e+300"}},
        Refusal{R"({"hidden_size": 18446744073709551615})",
                {"hidden_size", "18446744073709551615"}},
        Refusal{R"({"hidden_size": -9223372036854775808})",
                {"hidden_size", "-9223372036854775808"}},
        Refusal{R"({"vocab_size": 99999999999})", {"vocab_size", "99999999999"}},
        Refusal{R"({"num_hidden_layers": 1000000})", {"num_hidden_layers", "4096", "1000000"}},
        Refusal{R"({"layer_types": ["full_attention"]})", {"layer_types", "48", "1 of them"}},
        Refusal{R"({"layer_types": "linear"})", {"layer_types", "list", "linear"}},
        Refusal{R"({"num_hidden_layers": 1, "layer_types": ["sliding_attention"]})",
                {"layer_types[0]", "full_attention", "sliding_attention"}},
        Refusal{R"({"layer_types": null, "full_attention_interval": 0})",
                {"full_attention_interval", "got 0"}},
        Refusal{R"({"mlp_only_layers": [1, "x"]})", {"mlp_only_layers", "whole numbers", "\"x\""}},
        Refusal{R"({"num_attention_heads": 15})",
                {"num_attention_heads 15", "num_key_value_heads 2"}},
        Refusal{R"({"linear_num_value_heads": 33})",
                {"linear_num_value_heads 33", "linear_num_key_heads 16"}},
        Refusal{R"({"num_attention_heads": 1000000, "head_dim": 1000000})",
                {"num_attention_heads · head_dim", "1000000000000", "at most"}},
        Refusal{R"({"linear_key_head_dim": 1000000})", {"linear_key_head_dim", "16000000"}},
        Refusal{R"({"num_experts_per_tok": 13, "num_experts": 12})",
                {"num_experts_per_tok 13", "num_experts 12"}},
        Refusal{R"({"num_experts_per_tok": 0})", {"num_experts_per_tok", "at least 1"}},
        Refusal{R"({"num_experts": 0, "intermediate_size": 0})", {"intermediate_size", "dense"}},
        Refusal{R"({"rms_norm_eps": "small"})", {"rms_norm_eps", "number", "small"}},
        Refusal{R"({"rms_norm_eps": -1})", {"rms_norm_eps", "-1"}},
        Refusal{R"({"tie_word_embeddings": 1})", {"tie_word_embeddings", "true or false", "got 1"}},
        Refusal{R"({"hidden_act": "gelu"})", {"hidden_act", "silu", "gelu"}},
        Refusal{R"({"attention_bias": true})", {"attention_bias", "false"}},
        Refusal{R"({"model_type": "llama"})", {"model_type", "qwen3_next", "llama"}},
        Refusal{R"({"eos_token_id": 151936})", {"eos_token_id 151936", "vocab_size 151936"}},
        Refusal{R"({"eos_token_id": [1, -1]})", {"eos_token_id", "[1,-1]"}},
        Refusal{R"({"rope_parameters": {"rope_type": "yarn"}})",
                {"rope_parameters.rope_type", "default", "supported", "yarn"}},
        Refusal{R"({"rope_parameters": 7})", {"rope_parameters", "object", "got 7"}},
        Refusal{R"({"rope_parameters": {"rope_theta": 0}})",
                {"rope_parameters", "rope_theta", "got 0"}},
        Refusal{R"({"rope_parameters": {"partial_rotary_factor": 1.5}})",
                {"partial_rotary_factor", "1.5"}},
        Refusal{R"({"head_dim": 20})", {"partial_rotary_factor", "head_dim 20", "even", "got 5"}},
        Refusal{R"({"quantization_config": {"quant_method": "awq"}})",
                {"quantization_config", "fp8", "awq"}},
        Refusal{
            R"({"quantization_config": {"quant_method": "fp8", "weight_block_size": [64, 64]}})",
            {"quantization_config", "[128, 128]", "[64,64]"}},
        Refusal{R"({"quantization_config": []})", {"quantization_config", "object"}}));

TEST(ModelConfig, ATopLevelThatIsNoObjectIsRefused) {
  for (const json& value : {json::array(), json(3), json("x"), json()})
    EXPECT_FALSE(ParseModelConfig(value));
}

TEST(GenerationDefaults, AbsentFileMeansNoDefaults) {
  const TempDir dir;
  const auto defaults = ReadGenerationDefaults(dir.path());
  ASSERT_TRUE(defaults);
  EXPECT_FALSE(defaults->temperature || defaults->top_p || defaults->top_k || defaults->min_p);
  EXPECT_TRUE(defaults->eos_token_ids.empty());
}

TEST(GenerationDefaults, ThePublishedFileIsRead) {
  const TempDir dir;
  WriteText(dir / "generation_config.json",
            R"({"bos_token_id": 151643, "do_sample": true, "eos_token_id": [151645, 151643],
                "pad_token_id": 151643, "temperature": 0.7, "top_k": 20, "top_p": 0.8})");
  const auto defaults = ReadGenerationDefaults(dir.path());
  ASSERT_TRUE(defaults) << defaults.error().message;
  EXPECT_EQ(defaults->temperature, 0.7);
  EXPECT_EQ(defaults->top_k, 20);
  EXPECT_EQ(defaults->top_p, 0.8);
  EXPECT_EQ(defaults->eos_token_ids, (std::vector<int32_t>{151645, 151643}));
}

TEST(GenerationDefaults, ADirectoryThatWasNamedMustHaveTheFile) {
  const TempDir dir;
  const auto missing = ReadNamedGenerationDefaults(dir.path() + "/none");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message, dir.path() + "/none: no such directory");
  const auto empty = ReadNamedGenerationDefaults(dir.path());
  ASSERT_FALSE(empty);
  EXPECT_EQ(empty.error().message, dir.path() + ": no generation_config.json in this directory");
  WriteText(dir / "generation_config.json", R"({"max_new_tokens": 12})");
  const auto defaults = ReadNamedGenerationDefaults(dir.path());
  ASSERT_TRUE(defaults) << defaults.error().message;
  EXPECT_EQ(defaults->max_new_tokens, 12);
}

TEST(GenerationDefaults, BadFieldsAreNamed) {
  for (const auto& [text, field] : std::vector<std::pair<const char*, const char*>>{
           {R"({"temperature": "hot"})", "temperature"},
           {R"({"temperature": -1})", "temperature"},
           {R"({"top_p": 1.5})", "top_p"},
           {R"({"top_k": 2.5})", "top_k"},
           {R"({"top_k": 1e99})", "top_k"},
           {R"({"max_new_tokens": 0})", "max_new_tokens"},
           {R"({"eos_token_id": ["a"]})", "eos_token_id"},
           {R"({"eos_token_id": -5})", "eos_token_id"},
           {R"([1])", "object"},
           {R"({"top_k": )", "JSON"}}) {
    const TempDir dir;
    WriteText(dir / "generation_config.json", text);
    const auto defaults = ReadGenerationDefaults(dir.path());
    ASSERT_FALSE(defaults) << text;
    EXPECT_NE(defaults.error().message.find(field), std::string::npos) << defaults.error().message;
    EXPECT_NE(defaults.error().message.find("generation_config.json"), std::string::npos);
  }
}

}  // namespace
}  // namespace nextgate::engine
