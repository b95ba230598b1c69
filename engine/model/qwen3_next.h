// Qwen3-Next: one forward of a step over loaded weights. Sources: Hugging Face transformers'
// models/qwen3_next/modular_qwen3_next.py; the checkpoint's config.json. Read Forward in
// qwen3_next.cc: it is the network from top to bottom as a list of op calls.
//
// Threads: Forward by one thread at a time (it shares work over its own pool).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "base/status.h"
#include "engine/model/config.h"
#include "engine/model/step.h"

namespace nextgate::engine {

struct ModelOptions {
  std::string dir;
  bool dummy_weights = false;       // seeded random instead of the files
  std::string hf_overrides;         // JSON object merged over config.json
  int32_t step_tokens_max = 2048;   // T: activations are sized for it
  int32_t step_sequences_max = 64;  // S
  int32_t logit_rows_max = 64;      // R
  int64_t positions_max = 4096;     // of one sequence: the longest context any step may have
  int32_t num_threads = 0;          // 0: one per core
};

// Called with the name of each intermediate of the forward ("layers.3.mixer", "layers.3.moe",
// "final_norm", …) and its rows; for layer-by-layer goldens.
using ActivationTap =
    std::function<void(const std::string& name, kernels::View<const float, 2> rows)>;

class Qwen3Next {
 public:
  static Result<std::unique_ptr<Qwen3Next>> Load(const ModelOptions& options);
  virtual ~Qwen3Next() = default;

  // logits: [R, V], one row per logit_rows. checkpoints may be empty where the step loads and emits
  // nothing. REQUIRES: the sizes stay within the options; tables and slots within the storage.
  virtual void Forward(const StepInput& input, const KvStorage& kv, const StateStorage& states,
                       const CheckpointStorage& checkpoints, kernels::View<float, 2> logits) = 0;

  virtual const ModelConfig& config() const = 0;
  virtual int64_t weight_bytes() const = 0;
  virtual int64_t activation_bytes() const = 0;
  virtual std::string fingerprint() const = 0;  // hex
  virtual std::string dtype() const = 0;        // of most weights
  virtual int64_t parameters() const = 0;
  virtual void SetTap(ActivationTap tap) = 0;  // empty: none

  // `beat` is called several times a layer by the thread that is in Forward: a forward of a large model
  // takes long, and this tells that it goes on. Before the first Forward.
  void SetHeartbeat(std::function<void()> beat) { beat_ = std::move(beat); }

 protected:
  void Beat() const {
    if (beat_) beat_();
  }

 private:
  std::function<void()> beat_;
};

}  // namespace nextgate::engine
