// Runs a Qwen3Next on its own storage, one or several sequences at a time, in any chunks: what the
// engine does, without the engine. For tests of the forward.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/model/qwen3_next.h"

namespace nextgate::testing {

class ModelRunner {
 public:
  // KV and states for `sequences` sequences of up to `positions` tokens; poisoned with NaN, so that
  // reading what was never written shows.
  ModelRunner(engine::Qwen3Next& model, int sequences, int positions);

  struct Chunk {
    int sequence;
    std::vector<int32_t> tokens;
  };
  // One step over the chunks, each continuing its sequence. The logits of every row: [T, V].
  std::vector<std::vector<float>> Step(const std::vector<Chunk>& chunks);

  // Forgets what `sequence` has computed.
  void Restart(int sequence) { lengths_[static_cast<size_t>(sequence)] = 0; }

 private:
  engine::Qwen3Next& model_;
  std::vector<int> lengths_;
  std::vector<std::vector<int32_t>> tables_;
  std::vector<float> k_, v_, recurrent_, conv_;
  engine::KvStorage kv_;
  engine::StateStorage states_;
};

}  // namespace nextgate::testing
