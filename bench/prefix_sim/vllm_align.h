// vLLM's prefix cache for hybrid models (`mamba_cache_mode=align`), as of 0.26. Attention blocks are
// inflated until one holds what a third of the 36 recurrent layers needs, so that all groups of 12
// layers share one pool: KV of 544 tokens is one block, a state is three. A state is kept where a
// step of the scheduler ends on the block grid, and where a decoded sequence crosses it. Steps end
//   - after the batch's token budget, rounded down to the grid;
//   - at the last grid position of the prompt, so that it is kept;
//   - at the junction: where the attention blocks that were found end beyond the state that was.
// A lookup takes the attention blocks found in a row and then the last state at or before their end.
// Blocks nobody uses are taken in the order in which they were given back; a request gives its KV
// back from its end to its beginning.
//
// One request runs at a time, which is kinder than a full batch: its whole budget goes to one prompt.
//
// Threads: one.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/prefix_sim/policy.h"
#include "bench/prefix_sim/vllm_block_pool.h"

namespace nextgate::prefix_sim {

struct VllmAlignConfig {
  std::string name;
  int64_t block_tokens = 544;     // TP1 and TP2 with bf16 states; 272 at TP4
  int64_t batched_tokens = 8192;  // a step's budget
};

// What a step of the scheduler is chosen from.
struct VllmStep {
  int64_t start = 0;
  int64_t prompt = 0;
  int64_t junction = 0;  // 0: none
};

// Where the step ends.
int64_t VllmStepEnd(const VllmStep& step, const VllmAlignConfig& config);

class VllmAlign final : public Policy {
 public:
  // REQUIRES: three blocks hold a state; the step's budget holds a block; ten blocks in the budget.
  VllmAlign(VllmAlignConfig config, const Budget& budget);

  const std::string& name() const override { return config_.name; }
  int64_t TokensMax() const override;
  int32_t Serve(const Request& request) override;
  Usage usage() const override;
  void check_integrity() const override { pool_.check_integrity(); }

 private:
  static constexpr int32_t kStateGroups = 3;
  static constexpr int32_t kKvGroup = kStateGroups;
  using StateBlocks = std::array<int32_t, kStateGroups>;

  // A request that runs. Its newest state is in `state`; the one before it serves as the source of
  // a copy for one more step.
  struct Running {
    std::vector<Hash128> hashes;
    std::vector<int32_t> kv;
    int64_t kv_named = 0;  // blocks from the front that have names
    StateBlocks state = {VllmBlockPool::kNone};
    StateBlocks earlier_state = {VllmBlockPool::kNone};
    int64_t state_block = -1;  // on the grid
  };

  // Blocks to resume after, and the attention blocks found in a row.
  struct Found {
    int64_t state_blocks = 0;
    int64_t kv_blocks = 0;
  };
  Found Lookup(const std::vector<Hash128>& hashes, int64_t blocks_max) const;
  bool HasState(const Hash128& hash) const;
  void Resume(Running* running, int64_t blocks);
  void ComputeTo(Running* running, int64_t end);
  void ReleaseState(StateBlocks* state);
  void Finish(Running* running);

  VllmAlignConfig config_;
  VllmBlockPool pool_;
};

}  // namespace nextgate::prefix_sim
