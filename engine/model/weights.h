// The weights of a Qwen3-Next in the layout the ops want: projections that read the same rows
// merged, qkvz and ba de-interleaved, gate and up of an expert one matrix. Small vectors are float;
// matrices keep the checkpoint's type.
//
// The tensor table is in weights.cc: one function per block of the network, one line per tensor,
// with its checkpoint name and shape. Letters as in kernels/README.md.
//
// Ownership: a Weights owns all memory its views point to. Threads: immutable after Load.
#pragma once

#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/model/config.h"
#include "engine/model/tensor_source.h"
#include "kernels/core/dtype.h"
#include "kernels/core/view.h"
#include "kernels/moe/expert_mlp.h"

namespace nextgate::engine {

using Vector = kernels::View<const float, 1>;
using kernels::MlpWeights;
using kernels::WeightView;

struct AttentionWeights {
  WeightView qkv;  // [Nq·2D + 2·Nkv·D, H]: per query head q then gate; then k; then v
  WeightView o;    // [H, Nq·D]
  Vector q_norm;   // [D]
  Vector k_norm;   // [D]
};

struct DeltaNetWeights {
  WeightView qkvz;                     // [2·Nk·Dk + 2·Nv·Dv, H]: all q, all k, all v, all z
  WeightView ba;                       // [2·Nv, H]: all b, all a
  WeightView out;                      // [H, Nv·Dv]
  kernels::View<const float, 2> conv;  // [C, J]
  Vector a_log;                        // [Nv]
  Vector dt_bias;                      // [Nv]
  Vector norm;                         // [Dv], plain
};

struct MoeWeights {
  WeightView router;                // [E, H]
  std::vector<MlpWeights> experts;  // E of width F
  std::optional<MlpWeights> shared;
  WeightView shared_gate;  // [1, H], with `shared`
};

struct LayerWeights {
  Vector input_norm;                          // [H]
  Vector post_norm;                           // [H]
  std::optional<AttentionWeights> attention;  // exactly one of attention
  std::optional<DeltaNetWeights> delta_net;   // and delta_net
  std::optional<MoeWeights> moe;              // exactly one of moe
  std::optional<MlpWeights> mlp;              // and mlp
};

// The multi-token-prediction head; loaded and checked, used by speculation.
struct MtpWeights {
  Vector norm_embedding;  // [H]
  Vector norm_hidden;     // [H]
  Vector norm;            // [H]
  WeightView fc;          // [H, 2H]: embedding first
  std::vector<LayerWeights> layers;
};

class Weights {
 public:
  // `dir` is a checkpoint directory. `dummy`: seeded random values instead of its files.
  // kDataLoss names the tensor, what was expected and what came; kResourceExhausted: the machine's
  // memory does not hold them.
  static Result<std::unique_ptr<Weights>> Load(const std::string& dir, const ModelConfig& config,
                                               bool dummy);

  WeightView embed;    // [V, H]
  WeightView lm_head;  // [V, H]; the same as embed when tied
  Vector final_norm;   // [H]
  std::vector<LayerWeights> layers;
  std::optional<MtpWeights> mtp;

  int64_t bytes() const { return bytes_; }
  int64_t parameters() const { return parameters_; }
  const std::string& dtype() const { return dtype_; }  // of most parameters

 private:
  friend class WeightLoader;
  struct FreeAligned {
    void operator()(std::byte* memory) const { ::operator delete[](memory, std::align_val_t(64)); }
  };
  std::vector<std::unique_ptr<std::byte[], FreeAligned>> memory_;
  int64_t bytes_ = 0;
  int64_t parameters_ = 0;
  std::string dtype_;
};

}  // namespace nextgate::engine
