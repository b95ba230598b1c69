#include "engine/model/qwen3_next.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/cpu_quota.h"
#include "engine/memory/memory_plan.h"
#include "engine/model/activations.h"
#include "engine/model/fingerprint.h"
#include "engine/model/weights.h"
#include "kernels/attention/attention_prologue.h"
#include "kernels/attention/paged_attention.h"
#include "kernels/delta_net/delta_net_prologue.h"
#include "kernels/delta_net/delta_recurrent.h"
#include "kernels/embed/embedding.h"
#include "kernels/gemm/linear.h"
#include "kernels/moe/combine.h"
#include "kernels/moe/topk_router.h"
#include "kernels/norm/gated_rms_norm.h"
#include "kernels/norm/rms_norm.h"

namespace nextgate::engine {
namespace {

namespace op = kernels::cpu;
using kernels::PagedKv;
using kernels::View;

// θ_i = theta^(−2i / rotary_dim), as transformers computes it in fp32.
std::vector<float> InverseFrequencies(const ModelConfig& config) {
  std::vector<float> frequencies;
  for (int64_t i = 0; i < config.rotary_dim; i += 2)
    frequencies.push_back(1.0f /
                          std::pow(static_cast<float>(config.rope_theta),
                                   static_cast<float>(i) / static_cast<float>(config.rotary_dim)));
  return frequencies;
}

// Plane `index` of the given axis-0 storage.
PagedKv KvOfLayer(const KvStorage& kv, int64_t index) {
  const auto plane = [index](const View<float, 5>& all) {
    return View<float, 4>(all.at(index), {all.shape[1], all.shape[2], all.shape[3], all.shape[4]},
                          {all.stride[1], all.stride[2], all.stride[3], all.stride[4]});
  };
  return {plane(kv.k), plane(kv.v)};
}

StepLimits LimitsOf(const ModelOptions& options, int threads) {
  return {.tokens_max = options.step_tokens_max,
          .logit_rows_max = options.logit_rows_max,
          .positions_max = options.positions_max,
          .threads = threads};
}

class Qwen3NextCpu final : public Qwen3Next {
 public:
  Qwen3NextCpu(ModelConfig config, std::unique_ptr<Weights> weights, const ModelOptions& options,
               std::string fingerprint)
      : config_(std::move(config)),
        weights_(std::move(weights)),
        pool_(options.num_threads),
        activations_(config_, LimitsOf(options, pool_.threads())),
        inv_freq_(InverseFrequencies(config_)),
        fingerprint_(std::move(fingerprint)) {
    exec_.pool = &pool_;
    exec_.workspace = activations_.workspace;
  }

  void Forward(const StepInput& input, const KvStorage& kv, const StateStorage& states,
               const CheckpointStorage& checkpoints, View<float, 2> logits) override;

  const ModelConfig& config() const override { return config_; }
  int64_t weight_bytes() const override { return weights_->bytes(); }
  int64_t activation_bytes() const override { return activations_.bytes(); }
  std::string fingerprint() const override { return fingerprint_; }
  std::string dtype() const override { return weights_->dtype(); }
  int64_t parameters() const override { return weights_->parameters(); }
  void SetTap(ActivationTap tap) override { tap_ = std::move(tap); }

 private:
  void GatedAttention(const AttentionWeights& w, const PagedKv& kv, const StepInput& input);
  void GatedDeltaNet(const DeltaNetWeights& w, int64_t layer, const StateStorage& states,
                     const StepInput& input);
  void MixtureOfExperts(const MoeWeights& w, int64_t tokens);
  void SelectRows(std::span<const int32_t> rows);

  template <class... Args>
  void Tap(View<const float, 2> rows, fmt::format_string<Args...> name, Args&&... args) {
    if (tap_) tap_(fmt::format(name, std::forward<Args>(args)...), rows);
  }

  ModelConfig config_;
  std::unique_ptr<Weights> weights_;
  kernels::ThreadPool pool_;
  Activations activations_;
  std::vector<float> inv_freq_;
  std::string fingerprint_;
  kernels::Exec exec_;
  ActivationTap tap_;
};

// The network from top to bottom.
void Qwen3NextCpu::Forward(const StepInput& input, const KvStorage& kv, const StateStorage& states,
                           const CheckpointStorage& /*checkpoints*/, View<float, 2> logits) {
  const auto tokens = static_cast<int64_t>(input.token_ids.size());
  CHECK(tokens >= 1 && tokens <= activations_.hidden.shape[0]);
  const float eps = config_.rms_norm_eps;
  const auto hidden = Head(activations_.hidden, tokens);
  const auto normed = Head(activations_.normed, tokens);
  const auto mixed = Head(activations_.mixed, tokens);

  op::Embedding(hidden, input.token_ids, weights_->embed, exec_);
  Tap(hidden, "embed");

  int64_t full_layer = 0;
  int64_t linear_layer = 0;
  for (size_t i = 0; i < weights_->layers.size(); ++i) {
    const LayerWeights& layer = weights_->layers[i];
    op::RmsNorm(normed, hidden, layer.input_norm, eps, exec_);
    if (layer.attention) {
      GatedAttention(*layer.attention, KvOfLayer(kv, full_layer++), input);
    } else {
      GatedDeltaNet(*layer.delta_net, linear_layer++, states, input);
    }
    Tap(mixed, "layers.{}.mixer", i);
    Beat();

    op::AddRmsNorm(normed, hidden, mixed, layer.post_norm, eps, exec_);
    if (layer.moe) {
      MixtureOfExperts(*layer.moe, tokens);
    } else {
      op::DenseMlp(mixed, normed, *layer.mlp, exec_);
      op::AddRows(hidden, mixed, exec_);
    }
    Tap(hidden, "layers.{}", i);
    Beat();
  }

  if (input.logit_rows.empty()) return;
  SelectRows(input.logit_rows);
  const auto selected = Head(activations_.selected, static_cast<int64_t>(input.logit_rows.size()));
  op::RmsNorm(selected, selected, weights_->final_norm, eps, exec_);
  Tap(selected, "final_norm");
  op::Linear(logits, selected, weights_->lm_head, exec_);
}

// mixed = o_proj(sigmoid(gate) · attention(q, K, V)) of the rows in `normed`.
void Qwen3NextCpu::GatedAttention(const AttentionWeights& w, const PagedKv& kv,
                                  const StepInput& input) {
  const auto tokens = static_cast<int64_t>(input.token_ids.size());
  const auto qkv = Head(activations_.qkv, tokens);
  const auto q = Head(activations_.q, tokens);
  const auto gate = Head(activations_.gate, tokens);
  const auto attended = Head(activations_.attended, tokens);
  const kernels::AttentionPrologueWeights prologue = {
      .q_norm = w.q_norm,
      .k_norm = w.k_norm,
      .inv_freq = {inv_freq_.data(), {static_cast<int64_t>(inv_freq_.size())}},
      .eps = config_.rms_norm_eps};
  op::Linear(qkv, Head(activations_.normed, tokens), w.qkv, exec_);
  op::AttentionPrologue(q, gate, kv, qkv, input.sequences, prologue, exec_);
  const float scale = 1.0f / std::sqrt(static_cast<float>(config_.head_dim));
  op::PagedAttention(attended, q, gate, kv, input.sequences, scale, exec_);
  op::Linear(Head(activations_.mixed, tokens), attended, w.o, exec_);
}

// mixed = out_proj(norm(delta rule) · silu(z)) of the rows in `normed`.
void Qwen3NextCpu::GatedDeltaNet(const DeltaNetWeights& w, int64_t layer,
                                 const StateStorage& states, const StepInput& input) {
  const auto tokens = static_cast<int64_t>(input.token_ids.size());
  const auto normed = Head(activations_.normed, tokens);
  const auto qkvz = Head(activations_.qkvz, tokens);
  const auto ba = Head(activations_.ba, tokens);
  const auto read = Head(activations_.read, tokens);
  const auto gated = Head(activations_.gated, tokens);
  const kernels::DeltaNetInputs in = {
      Head(activations_.dq, tokens), Head(activations_.dk, tokens), Head(activations_.dv, tokens),
      Head(activations_.beta, tokens), Head(activations_.g, tokens)};
  const auto& s = states.recurrent;
  const auto& c = states.conv;
  const View<float, 4> recurrent(s.at(0, layer), {s.shape[0], s.shape[2], s.shape[3], s.shape[4]},
                                 {s.stride[0], s.stride[2], s.stride[3], s.stride[4]});
  const View<float, 3> conv(c.at(0, layer), {c.shape[0], c.shape[2], c.shape[3]},
                            {c.stride[0], c.stride[2], c.stride[3]});

  op::Linear(qkvz, normed, w.qkvz, exec_);
  op::Linear(ba, normed, w.ba, exec_);
  op::DeltaNetPrologue(in, conv, qkvz, ba, input.sequences,
                       {.conv = w.conv, .a_log = w.a_log, .dt_bias = w.dt_bias}, exec_);
  op::DeltaRecurrent(read, recurrent, in, input.sequences, exec_);
  const View<const float, 2> z(qkvz.at(0, config_.conv_channels()),
                               {tokens, config_.value_channels()}, qkvz.stride);
  op::GatedRmsNorm(gated, read, z, w.norm, config_.rms_norm_eps, exec_);
  op::Linear(Head(activations_.mixed, tokens), gated, w.out, exec_);
}

// hidden += routed experts + gated shared expert of the rows in `normed`.
void Qwen3NextCpu::MixtureOfExperts(const MoeWeights& w, int64_t tokens) {
  const auto normed = Head(activations_.normed, tokens);
  const auto logits = Head(activations_.router_logits, tokens);
  const auto ids = Head(activations_.expert_ids, tokens);
  const auto weights = Head(activations_.expert_weights, tokens);
  const auto out = Head(activations_.expert_out, tokens);
  op::Linear(logits, normed, w.router, exec_);
  op::TopKRouter(ids, weights, logits, config_.norm_topk_prob, exec_);
  op::ExpertMlp(out, normed, ids, w.experts, exec_);
  View<float, 2> shared;
  View<float, 2> shared_gate;
  if (w.shared) {
    shared = Head(activations_.shared_out, tokens);
    shared_gate = Head(activations_.shared_gate, tokens);
    op::DenseMlp(shared, normed, *w.shared, exec_);
    op::Linear(shared_gate, normed, w.shared_gate, exec_);
  }
  op::CombineExperts(Head(activations_.hidden, tokens), out, weights, shared, shared_gate, exec_);
}

void Qwen3NextCpu::SelectRows(std::span<const int32_t> rows) {
  CHECK(static_cast<int64_t>(rows.size()) <= activations_.selected.shape[0]);
  for (size_t r = 0; r < rows.size(); ++r)
    std::copy_n(activations_.hidden.at(rows[r]), config_.hidden_size,
                activations_.selected.at(static_cast<int64_t>(r)));
}

}  // namespace

Result<std::unique_ptr<Qwen3Next>> Qwen3Next::Load(const ModelOptions& options) {
  ASSIGN_OR_RETURN(const ModelConfig config, ReadModelConfig(options.dir, options.hf_overrides));
  const int threads = options.num_threads > 0 ? options.num_threads : UsableProcessors();
  const StepLimits limits = LimitsOf(options, threads);
  const int64_t activation_bytes = Activations::Bytes(config, limits);
  if (activation_bytes > MachineMemoryBytes())
    return MakeError(
        ErrorCode::kResourceExhausted,
        fmt::format("activations of {} tokens a step take {} bytes, this machine has {}",
                    options.step_tokens_max, activation_bytes, MachineMemoryBytes()));
  ASSIGN_OR_RETURN(auto weights, Weights::Load(options.dir, config, options.dummy_weights));
  ASSIGN_OR_RETURN(std::string fingerprint,
                   Fingerprint(options.dir, options.hf_overrides, options.dummy_weights));
  return std::make_unique<Qwen3NextCpu>(config, std::move(weights), options,
                                        std::move(fingerprint));
}

}  // namespace nextgate::engine
