// Runs a Qwen3Next on its own storage, one or several sequences at a time, in any chunks: what the
// engine does, without the engine. For tests of the forward.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/model/qwen3_next.h"
#include "tests/support/poisoned_checkpoints.h"

namespace nextgate::testing {

class ModelRunner {
 public:
  // KV and states for `sequences` sequences of up to `positions` tokens; poisoned with NaN, so that
  // reading what was never written shows. So are the `checkpoints`.
  ModelRunner(engine::Qwen3Next& model, int sequences, int positions, int checkpoints = 0,
              kernels::StateFormat format = kernels::StateFormat::kFp32);

  struct Chunk {
    int sequence;
    std::vector<int32_t> tokens;
  };
  // A state of the step's chunk to keep.
  struct Emit {
    int chunk;  // index into the step's
    int position;
    int checkpoint;
  };
  // One step over the chunks, each continuing its sequence; emits by (chunk, position). The logits of
  // every row: [T, V].
  std::vector<std::vector<float>> Step(const std::vector<Chunk>& chunks,
                                       const std::vector<Emit>& emits = {});

  // Forgets what `sequence` has computed.
  void Restart(int sequence);
  // `sequence` goes on after `position` tokens of `from`: from then on it shares that one's whole
  // blocks, and the next step loads its state, which is poisoned until then, from `checkpoint`.
  // REQUIRES: position % 64 == 0.
  void Resume(int sequence, int position, int from, int checkpoint);

  void PoisonCheckpoint(int slot) { checkpoints_.Poison(slot); }
  std::span<const std::byte> checkpoint(int slot) const { return checkpoints_.slot(slot); }

 private:
  std::vector<int32_t> OwnTable(int sequence) const;

  engine::Qwen3Next& model_;
  int blocks_each_;
  std::vector<int> lengths_;
  std::vector<std::vector<int32_t>> tables_;
  std::vector<float> k_, v_, recurrent_, conv_;
  engine::KvStorage kv_;
  engine::StateStorage states_;
  PoisonedCheckpoints checkpoints_;
  std::vector<kernels::StateLoad> loads_;  // of the next step
};

}  // namespace nextgate::testing
