#include "engine/model/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/model/field_reader.h"
#include "engine/model/json_file.h"

namespace nextgate::engine {
namespace {

using nlohmann::json;

constexpr int64_t kSizeMax = 1 << 20;  // of any width or count
constexpr int64_t kWidthMax =
    1 << 22;  // of heads · dims: times tokens and bytes it stays in 64 bits
constexpr int64_t kVocabMax = 1 << 24;
constexpr int64_t kLayersMax = 4096;
constexpr int64_t kFp8Block = 128;

void ReadLayerTypes(FieldReader& read, ModelConfig& config) {
  const int64_t interval = read.IntOr("full_attention_interval", 4, 1, kLayersMax);
  const json* types = read.Find("layer_types");
  if (types == nullptr) {
    for (int64_t i = 0; i < config.num_hidden_layers; ++i)
      config.layer_types.push_back((i + 1) % interval == 0 ? LayerType::kFullAttention
                                                           : LayerType::kLinearAttention);
    return;
  }
  if (!types->is_array() || static_cast<int64_t>(types->size()) < config.num_hidden_layers)
    return read.Fail(
        fmt::format("layer_types: expected a list of {} types, got {}", config.num_hidden_layers,
                    types->is_array() ? fmt::format("{} of them", types->size()) : Shown(*types)));
  // A longer list is cut: --hf-overrides may ask for fewer layers than the checkpoint has.
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    const json& type = (*types)[static_cast<size_t>(i)];
    if (type != "full_attention" && type != "linear_attention")
      return read.Fail(fmt::format(
          "layer_types[{}]: expected full_attention or linear_attention, got {}", i, Shown(type)));
    config.layer_types.push_back(type == "full_attention" ? LayerType::kFullAttention
                                                          : LayerType::kLinearAttention);
  }
}

void ReadSparseLayers(FieldReader& read, ModelConfig& config) {
  const int64_t step = read.IntOr("decoder_sparse_step", 1, 1, kLayersMax);
  const std::vector<int64_t> dense = read.Ints("mlp_only_layers", 0, kLayersMax);
  for (int64_t i = 0; i < config.num_hidden_layers; ++i)
    config.sparse_layers.push_back(config.num_experts > 0 && (i + 1) % step == 0 &&
                                   std::ranges::find(dense, i) == dense.end());
}

void ReadRope(FieldReader& read, ModelConfig& config) {
  config.rope_theta = read.NumberOr("rope_theta", 10000, 1, 1e12);
  double factor = read.NumberOr("partial_rotary_factor", 0.25, 0, 1);
  for (const char* name : {"rope_parameters", "rope_scaling"}) {
    const json* nested = read.Find(name);
    if (nested == nullptr) continue;
    if (!nested->is_object())
      return read.Fail(fmt::format("{}: expected an object, got {}", name, Shown(*nested)));
    FieldReader inner(*nested, "config.json");
    const std::string type = inner.TextOr("rope_type", inner.TextOr("type", "default"));
    if (type != "default")
      return read.Fail(
          fmt::format("{}.rope_type: only default is supported yet, got {}", name, type));
    config.rope_theta = inner.NumberOr("rope_theta", config.rope_theta, 1, 1e12);
    factor = inner.NumberOr("partial_rotary_factor", factor, 0, 1);
    if (!inner.status())
      return read.Fail(fmt::format("{}: {}", name, inner.status().error().message));
  }
  config.rotary_dim = static_cast<int64_t>(static_cast<double>(config.head_dim) * factor);
  if (config.rotary_dim % 2 != 0)
    read.Fail(fmt::format("partial_rotary_factor: head_dim {} · {} must be even, got {}",
                          config.head_dim, factor, config.rotary_dim));
}

void ReadQuantization(FieldReader& read, ModelConfig& config) {
  const json* quantization = read.Find("quantization_config");
  if (quantization == nullptr) return;
  if (!quantization->is_object())
    return read.Fail(
        fmt::format("quantization_config: expected an object, got {}", Shown(*quantization)));
  FieldReader inner(*quantization, "config.json");
  const std::string method = inner.TextOr("quant_method", "");
  const std::vector<int64_t> block = inner.Ints("weight_block_size", 1, kSizeMax);
  if (method != "fp8" || block != std::vector<int64_t>{kFp8Block, kFp8Block})
    return read.Fail(
        fmt::format("quantization_config: only quant_method fp8 with weight_block_size [128, 128] "
                    "is supported, got {}",
                    Shown(*quantization)));
  config.fp8 = true;
}

void ReadEos(FieldReader& read, ModelConfig& config) {
  const json* eos = read.Find("eos_token_id");
  if (eos == nullptr) return;
  const json list = eos->is_array() ? *eos : json::array({*eos});
  const json wrapped = {{"eos_token_id", list}};
  FieldReader inner(wrapped, "config.json");
  for (const int64_t id : inner.Ints("eos_token_id", 0, kVocabMax))
    config.eos_token_ids.push_back(static_cast<int32_t>(id));
  if (!inner.status())
    read.Fail(fmt::format("eos_token_id: expected token ids, got {}", Shown(*eos)));
}

void CheckAgreement(FieldReader& read, const ModelConfig& c) {
  const auto divides = [&](const char* what, int64_t whole, const char* part_name, int64_t part) {
    if (whole % part != 0)
      read.Fail(fmt::format("{} {} must be a multiple of {} {}", what, whole, part_name, part));
  };
  divides("num_attention_heads", c.num_attention_heads, "num_key_value_heads",
          c.num_key_value_heads);
  divides("linear_num_value_heads", c.linear_num_value_heads, "linear_num_key_heads",
          c.linear_num_key_heads);
  const auto bounded = [&](const char* what, int64_t width) {
    if (width > kWidthMax)
      read.Fail(fmt::format("{} is {}, expected at most {}", what, width, kWidthMax));
  };
  bounded("num_attention_heads · head_dim", c.num_attention_heads * c.head_dim);
  bounded("linear_num_key_heads · linear_key_head_dim", c.key_channels());
  bounded("linear_num_value_heads · linear_value_head_dim", c.value_channels());
  const bool any_sparse = c.num_experts > 0;  // also in the MTP layer
  const bool any_dense = std::ranges::find(c.sparse_layers, false) != c.sparse_layers.end();
  if (any_sparse && c.num_experts_per_tok > c.num_experts)
    read.Fail(fmt::format("num_experts_per_tok {} is more than num_experts {}",
                          c.num_experts_per_tok, c.num_experts));
  if (any_sparse && (c.moe_intermediate_size == 0 || c.num_experts_per_tok == 0))
    read.Fail("moe_intermediate_size and num_experts_per_tok must be at least 1 with experts");
  if (any_dense && c.intermediate_size == 0)
    read.Fail("intermediate_size must be at least 1: some layers are dense");
  for (const int32_t id : c.eos_token_ids)
    if (id >= c.vocab_size)
      read.Fail(fmt::format("eos_token_id {} is not below vocab_size {}", id, c.vocab_size));
}

void Merge(json& target, const json& patch) {
  for (const auto& [key, value] : patch.items()) {
    if (value.is_object() && target.contains(key) && target[key].is_object()) {
      Merge(target[key], value);
    } else {
      target[key] = value;
    }
  }
}

}  // namespace

int64_t ModelConfig::num_full_layers() const {
  return std::ranges::count(layer_types, LayerType::kFullAttention);
}
int64_t ModelConfig::num_linear_layers() const {
  return std::ranges::count(layer_types, LayerType::kLinearAttention);
}

Result<ModelConfig> ParseModelConfig(const json& object) {
  if (!object.is_object()) return DataLoss("config.json: expected an object");
  FieldReader read(object, "config.json");
  const std::string type = read.TextOr("model_type", "qwen3_next");
  if (type != "qwen3_next")
    return MakeError(ErrorCode::kUnimplemented,
                     fmt::format("config.json: model_type: expected qwen3_next, got {}", type));
  ModelConfig c;
  c.hidden_size = read.Int("hidden_size", 1, kSizeMax);
  c.vocab_size = read.Int("vocab_size", 1, kVocabMax);
  c.num_hidden_layers = read.Int("num_hidden_layers", 1, kLayersMax);
  c.max_position_embeddings = read.IntOr("max_position_embeddings", 32768, 1, 1 << 30);
  c.rms_norm_eps = static_cast<float>(read.NumberOr("rms_norm_eps", 1e-6, 0, 1));
  c.tie_word_embeddings = read.BoolOr("tie_word_embeddings", false);
  c.num_attention_heads = read.Int("num_attention_heads", 1, kSizeMax);
  c.num_key_value_heads = read.Int("num_key_value_heads", 1, kSizeMax);
  c.head_dim = read.IntOr("head_dim", 256, 1, kSizeMax);
  c.linear_num_key_heads = read.Int("linear_num_key_heads", 1, kSizeMax);
  c.linear_num_value_heads = read.Int("linear_num_value_heads", 1, kSizeMax);
  c.linear_key_head_dim = read.Int("linear_key_head_dim", 1, kSizeMax);
  c.linear_value_head_dim = read.Int("linear_value_head_dim", 1, kSizeMax);
  c.linear_conv_kernel_dim = read.IntOr("linear_conv_kernel_dim", 4, 1, 16);
  c.num_experts = read.IntOr("num_experts", 512, 0, 1 << 16);
  c.num_experts_per_tok = read.IntOr("num_experts_per_tok", 10, 0, 256);
  c.moe_intermediate_size = read.IntOr("moe_intermediate_size", 512, 0, kSizeMax);
  c.shared_expert_intermediate_size =
      read.IntOr("shared_expert_intermediate_size", 512, 0, kSizeMax);
  c.norm_topk_prob = read.BoolOr("norm_topk_prob", true);
  c.intermediate_size = read.IntOr("intermediate_size", 0, 0, kSizeMax);
  c.num_nextn_predict_layers = read.IntOr("num_nextn_predict_layers", 1, 0, 16);
  const std::string activation = read.TextOr("hidden_act", "silu");
  if (activation != "silu")
    read.Fail(fmt::format("hidden_act: only silu is supported, got {}", activation));
  if (read.BoolOr("attention_bias", false))
    read.Fail("attention_bias: only false is supported, got true");
  if (read.status()) ReadLayerTypes(read, c);
  if (read.status()) ReadSparseLayers(read, c);
  if (read.status()) ReadRope(read, c);
  if (read.status()) ReadQuantization(read, c);
  if (read.status()) ReadEos(read, c);
  if (read.status()) CheckAgreement(read, c);
  RETURN_IF_ERROR(read.status());
  return c;
}

Result<ModelConfig> ReadModelConfig(const std::string& dir, const std::string& hf_overrides) {
  ASSIGN_OR_RETURN(json config, ReadJsonFile(dir + "/config.json", 16 << 20));
  bool layers_cut = false;
  if (!hf_overrides.empty()) {
    ASSIGN_OR_RETURN(const json overrides, ParseJson(hf_overrides, "hf-overrides"));
    if (!overrides.is_object() || !config.is_object())
      return InvalidArgument("hf-overrides: expected a JSON object", "hf-overrides");
    Merge(config, overrides);
    for (const char* name : {"rope_theta", "partial_rotary_factor"})
      if (overrides.contains(name) && config.contains("rope_parameters") &&
          config["rope_parameters"].is_object() &&
          !(overrides.contains("rope_parameters") && overrides["rope_parameters"].contains(name)))
        config["rope_parameters"][name] = overrides[name];
    layers_cut = overrides.contains("num_hidden_layers");
  }
  ASSIGN_OR_RETURN(ModelConfig parsed, ParseModelConfig(config));
  parsed.layers_cut = layers_cut;
  return parsed;
}

}  // namespace nextgate::engine
