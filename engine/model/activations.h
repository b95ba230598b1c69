// Every intermediate of a forward, allocated once: the constructor is the memory plan. Letters as
// in kernels/README.md; T, S and R are the largest of any step.
//
// Threads: belongs to the model that runs.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/model/config.h"
#include "kernels/core/exec.h"
#include "kernels/core/view.h"

namespace nextgate::engine {

struct StepLimits {
  int64_t tokens_max = 0;      // T
  int64_t logit_rows_max = 0;  // R
  int64_t positions_max = 0;   // of one sequence
  int threads = 1;
};

class Activations {
 public:
  Activations(const ModelConfig& config, const StepLimits& limits)
      : Activations(config, limits, true) {}

  // What the constructor would allocate.
  static int64_t Bytes(const ModelConfig& config, const StepLimits& limits) {
    return Activations(config, limits, false).bytes();
  }

  using Rows = kernels::View<float, 2>;
  Rows hidden;  // [T, H] the residual stream
  Rows normed;  // [T, H] after a norm
  Rows mixed;   // [T, H] what a mixer or a dense MLP adds
  // Gated attention
  Rows qkv;                   // [T, Nq·2D + 2·Nkv·D]
  kernels::View<float, 3> q;  // [T, Nq, D]
  Rows gate;                  // [T, Nq·D]
  Rows attended;              // [T, Nq·D]
  // Gated DeltaNet
  Rows qkvz;                       // [T, 2·Nk·Dk + 2·Nv·Dv]
  Rows ba;                         // [T, 2·Nv]
  kernels::View<float, 3> dq, dk;  // [T, Nk, Dk]
  kernels::View<float, 3> dv;      // [T, Nv, Dv]
  Rows beta, g;                    // [T, Nv]
  kernels::View<float, 3> read;    // [T, Nv, Dv] the recurrence's output
  Rows gated;                      // [T, Nv·Dv]
  // MoE
  Rows router_logits;                    // [T, E]
  kernels::View<int32_t, 2> expert_ids;  // [T, K]
  Rows expert_weights;                   // [T, K]
  kernels::View<float, 3> expert_out;    // [T, K, H]
  Rows shared_out;                       // [T, H]
  Rows shared_gate;                      // [T, 1]
  // Head
  Rows selected;  // [R, H] the rows whose logits are wanted
  kernels::Workspace workspace;

  int64_t bytes() const { return bytes_; }

 private:
  // allocate: false only adds up.
  Activations(const ModelConfig& config, const StepLimits& limits, bool allocate);
  template <class T>
  T* Allocate(int64_t count);

  std::vector<std::vector<std::byte>> memory_;
  int64_t bytes_ = 0;
  bool allocate_;
};

// The first `tokens` rows of a buffer.
template <class T, int Rank>
kernels::View<T, Rank> Head(const kernels::View<T, Rank>& buffer, int64_t tokens) {
  return buffer.Rows(0, tokens);
}

}  // namespace nextgate::engine
