// BERT on the CPU: token ids in, one vector a token out, in fp32. Sequences lie one behind the other
// without padding, so a batch costs what its tokens cost, and what is computed for one does not
// depend on its neighbours, bit for bit.
//
// Source: BertModel in transformers' modeling_bert.py and XLMRobertaModel in
// modeling_xlm_roberta.py, without their poolers; these differ in their positions only.
//
// Threads: one thread at a time (it owns its intermediates); the work is shared over a pool.
// Memory: everything is allocated by Load.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/encoder/encoder_config.h"
#include "kernels/core/dtype.h"
#include "kernels/core/exec.h"
#include "kernels/core/view.h"

namespace nextgate::engine {

class Bert {
 public:
  // The weights below `dir` (safetensors; F32, F16 or BF16, converted to fp32). `tokens_max`: of one
  // Forward. `threads` as ThreadPool has it. Errors name the tensor, what was expected, what came.
  static Result<std::unique_ptr<Bert>> Load(const std::string& dir, const BertConfig& config,
                                            int64_t tokens_max, int threads);

  // The last hidden states [T, H], valid until the next call.
  //   ids    [T]  each in [0, V), T in [1, tokens_max]
  //   ends   [S]  ascending, each ≤ the one before + config.positions(); the last is T
  // `stop` is asked between layers: kDeadlineExceeded once it says true.
  Result<kernels::View<const float, 2>> Forward(std::span<const int32_t> ids,
                                                std::span<const int32_t> ends,
                                                const std::function<bool()>& stop);

  int64_t tokens_max() const { return tokens_max_; }
  int64_t bytes() const { return static_cast<int64_t>(floats_) * 4; }  // of weights and buffers

 private:
  friend class BertLoader;
  using Rows = kernels::View<float, 2>;
  using Vector = kernels::View<const float, 1>;
  using Weight = kernels::WeightView;

  struct LayerNorm {
    Vector weight, shift;  // [H]
  };
  struct Dense {
    Weight weight;  // [N, K]
    Vector bias;    // [N]
  };
  struct Layer {
    Dense qkv;       // [3·H, H]: q, k, v
    Dense attended;  // [H, H]
    LayerNorm attention_norm;
    Dense up;    // [F, H]
    Dense down;  // [H, F]
    LayerNorm output_norm;
  };

  Bert(const BertConfig& config, int64_t tokens_max, int threads);
  void AllocateBuffers();
  float* Allocate(int64_t count);
  void RunLayer(const Layer& layer, int64_t tokens, std::span<const int32_t> ends);

  BertConfig config_;
  int64_t tokens_max_;
  kernels::ThreadPool pool_;
  kernels::Exec exec_;
  std::vector<std::unique_ptr<float[]>> memory_;
  size_t floats_ = 0;

  Weight words_;      // [V, H]
  Weight positions_;  // [P, H]
  Vector type_;       // [H]: of the first sequence of a pair, which is the only one here
  LayerNorm embedding_norm_;
  std::vector<Layer> layers_;

  std::vector<int32_t> position_ids_;  // [T]
  Rows hidden_;                        // [T, H]
  Rows mixed_;                         // [T, H]: what a block adds
  Rows attended_;                      // [T, H]
  Rows qkv_;                           // [T, 3·H]
  Rows wide_;                          // [T, F]
};

}  // namespace nextgate::engine
