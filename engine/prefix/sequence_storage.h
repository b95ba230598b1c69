// The memory that sequences live in: KV blocks of every full-attention layer and one recurrent +
// convolution state per slot, planned at start. Pages are reserved at once and touched when used,
// so that a large plan costs a small server nothing.
//
// Threads: written by the model's forward, laid out once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "engine/model/config.h"
#include "engine/model/step.h"

namespace nextgate::engine {

// What the device's memory is divided into; bytes unless said otherwise.
struct MemoryPlan {
  int64_t memory = 0;  // of the machine
  double utilization = 0.9;
  int64_t weights = 0;
  int64_t activations = 0;
  int64_t kv_block = 0;     // one block, all layers, K and V
  int64_t state_slot = 0;   // one slot, all layers
  int32_t kv_blocks = 0;    // count
  int32_t state_slots = 0;  // count

  std::string Table() const;  // for the log at start
};

int64_t KvBlockBytes(const ModelConfig& config);
int64_t StateSlotBytes(const ModelConfig& config);

// Fills in the counts: `slots` states, and KV for `kv_tokens` tokens (0: enough for `slots`
// sequences of `max_len`, at most 4 GiB and at most what is left). Error with the arithmetic when
// one sequence of `max_len` tokens does not fit.
Result<MemoryPlan> PlanMemory(const ModelConfig& config, MemoryPlan known, int32_t slots,
                              int64_t kv_tokens, int32_t max_len);

class SequenceStorage {
 public:
  SequenceStorage(const ModelConfig& config, const MemoryPlan& plan);

  const KvStorage& kv() const { return kv_; }
  const StateStorage& states() const { return states_; }

 private:
  struct Unmap {
    size_t bytes;
    void operator()(float* memory) const;
  };
  using Mapping = std::unique_ptr<float, Unmap>;
  static Mapping Map(int64_t floats);

  Mapping k_, v_, recurrent_, conv_;
  KvStorage kv_;
  StateStorage states_;
};

}  // namespace nextgate::engine
