// The generic baseline: one checkpoint where a prefill chunk ends, rounded down to 64, and least
// recently used goes first. KV blocks of 64 tokens and checkpoints share the bytes, less one state for
// the request that runs. A request uses the blocks of its prompt and answer, and the one checkpoint it resumes from; of what it used, the
// end goes before the beginning.
//
// Invariants: (1) a block's parent is there; (2) a checkpoint's block is there.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "bench/prefix_sim/policy.h"

namespace nextgate::prefix_sim {

struct ChunkEndConfig {
  std::string name;
  int64_t chunk_tokens = 8192;
};

class ChunkEnd final : public Policy {
 public:
  // REQUIRES: chunks of a multiple of 64 tokens.
  ChunkEnd(ChunkEndConfig config, const Budget& budget);

  const std::string& name() const override { return config_.name; }
  int64_t TokensMax() const override;
  int32_t Serve(const Request& request) override;
  Usage usage() const override;
  void check_integrity() const override;

 private:
  struct Block {
    Hash128 hash;
    Block* parent = nullptr;
    int32_t children = 0;
    int64_t depth = 0;  // blocks before it
    int64_t used = 0;   // request
    bool has_state = false;
    int64_t state_used = 0;
  };
  // Oldest first; of one request the deepest first.
  using Age = std::tuple<int64_t, int64_t, Block*>;
  static Age KvAge(Block* block) { return {block->used, -block->depth, block}; }
  static Age StateAge(Block* block) { return {block->state_used, -block->depth, block}; }

  Block* Use(const Hash128& hash, Block* parent);
  void KeepState(Block* block);
  void DropState(Block* block);
  void EvictTo(int64_t bytes);

  ChunkEndConfig config_;
  Budget budget_;
  std::unordered_map<Hash128, Block> blocks_;
  std::set<Age> leaves_;
  std::set<Age> states_;
  int64_t request_ = 0;
};

}  // namespace nextgate::prefix_sim
