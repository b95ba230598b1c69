// The shape of a Qwen3-Next checkpoint, read from its config.json in both the older form
// (rope_theta, rope_scaling, torch_dtype) and transformers 5's (rope_parameters, dtype). Nothing of
// it is trusted: every field is checked for type, range and agreement with the others, so that no
// size derived from it overflows.
//
// Source: Qwen3NextConfig in Hugging Face transformers; the published config.json of
// Qwen3-Next-80B-A3B.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/status.h"

namespace nextgate::engine {

enum class LayerType { kLinearAttention, kFullAttention };

struct ModelConfig {
  int64_t hidden_size = 0;  // H
  int64_t vocab_size = 0;   // V
  int64_t num_hidden_layers = 0;
  int64_t max_position_embeddings = 0;
  float rms_norm_eps = 1e-6f;
  bool tie_word_embeddings = false;
  std::vector<LayerType> layer_types;  // one per layer
  std::vector<bool> sparse_layers;     // one per layer: MoE, or a dense SwiGLU

  int64_t num_attention_heads = 0;  // Nq
  int64_t num_key_value_heads = 0;  // Nkv
  int64_t head_dim = 0;             // D
  double rope_theta = 10000;
  int64_t rotary_dim = 0;  // dims of a head that are rotated; even

  int64_t linear_num_key_heads = 0;    // Nk
  int64_t linear_num_value_heads = 0;  // Nv
  int64_t linear_key_head_dim = 0;     // Dk
  int64_t linear_value_head_dim = 0;   // Dv
  int64_t linear_conv_kernel_dim = 0;  // J

  int64_t num_experts = 0;                      // E
  int64_t num_experts_per_tok = 0;              // K
  int64_t moe_intermediate_size = 0;            // F
  int64_t shared_expert_intermediate_size = 0;  // 0: no shared expert
  bool norm_topk_prob = true;
  int64_t intermediate_size = 0;  // of dense layers
  int64_t num_nextn_predict_layers = 1;

  bool fp8 = false;  // quantization_config says FP8 with 128×128 block scales
  bool layers_cut =
      false;  // hf_overrides set num_hidden_layers: weights of later layers are left out

  std::vector<int32_t> eos_token_ids;  // config.json's own; generation_config.json may list more

  int64_t num_full_layers() const;    // with KV
  int64_t num_linear_layers() const;  // with a recurrent state
  int64_t key_channels() const { return linear_num_key_heads * linear_key_head_dim; }
  int64_t value_channels() const { return linear_num_value_heads * linear_value_head_dim; }
  int64_t conv_channels() const { return 2 * key_channels() + value_channels(); }  // C
};

// Reads `dir`/config.json, with `hf_overrides` (a JSON object, or empty) merged over it: objects
// are merged key by key, everything else replaces. A rope field given in the older place holds for
// rope_parameters too. Errors name the field, what was expected and
// what came.
Result<ModelConfig> ReadModelConfig(const std::string& dir, const std::string& hf_overrides);

// The same from a parsed object.
Result<ModelConfig> ParseModelConfig(const nlohmann::json& config);

}  // namespace nextgate::engine
