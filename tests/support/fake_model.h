// A model whose logits are a hash of the sequence's whole token history, which it reads back from
// the KV blocks and the state slot it wrote itself. A wrong block table, slot, context_len, a lost
// or a repeated token, or two sequences that share storage change what comes out.
//
// Threads: as Qwen3Next; on_forward runs on the engine thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "engine/model/qwen3_next.h"

namespace nextgate::engine {

inline constexpr int32_t kFakeVocab = 97;
inline constexpr int32_t kFakeEos = 7;

// What the model answers after this history, without any storage. [kFakeVocab]
std::vector<float> FakeLogits(std::span<const int32_t> history);

class FakeModel final : public Qwen3Next {
 public:
  // Called at the start of each forward, on the engine thread: to count, to check, to wait.
  using OnForward = std::function<void(const StepInput&)>;
  // Changes the logits of a row after `history` was read; for faults.
  using OnLogits = std::function<void(std::span<const int32_t> history, std::span<float> logits)>;

  explicit FakeModel(OnForward on_forward = {}, OnLogits on_logits = {});

  void Forward(const StepInput& input, const KvStorage& kv, const StateStorage& states,
               const CheckpointStorage& checkpoints, kernels::View<float, 2> logits) override;
  const ModelConfig& config() const override { return config_; }
  int64_t weight_bytes() const override { return 1000; }
  int64_t activation_bytes() const override { return 1000; }
  std::string fingerprint() const override { return "fa4e"; }
  std::string dtype() const override { return "F32"; }
  int64_t parameters() const override { return 250; }
  void SetTap(ActivationTap) override {}
  using Qwen3Next::Beat;  // as if another layer were done

 private:
  ModelConfig config_;
  OnForward on_forward_;
  OnLogits on_logits_;
};

}  // namespace nextgate::engine
