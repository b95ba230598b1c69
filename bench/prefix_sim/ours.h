// Ours: the engine's own prefix cache (engine/prefix/), driven as the engine drives it and over pools
// whose blocks and slots are a few bytes each, since nothing is ever stored in them. Its bytes are
// divided as the memory plan divides them: one working state of fp32 for the request that runs, the rest
// in pages for KV blocks and checkpoints.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/prefix_sim/policy.h"
#include "engine/prefix/prefix_cache.h"

namespace nextgate::prefix_sim {

struct OursConfig {
  std::string name;
  int64_t step_tokens = 8192;
  std::unique_ptr<engine::EvictionPolicy> (*eviction)() = engine::EvictByReplayCost;
};

class Ours final : public Policy {
 public:
  // REQUIRES: a step of a multiple of 64 tokens; room for the working state, a checkpoint and a block.
  Ours(OursConfig config, const Budget& budget);

  const std::string& name() const override { return config_.name; }
  int64_t TokensMax() const override;
  int32_t Serve(const Request& request) override;
  Usage usage() const override;
  void check_integrity() const override { cache_->check_integrity(0, 0); }

 private:
  struct Running;
  void ComputeTo(Running* running, int32_t end);

  OursConfig config_;
  Budget budget_;
  std::unique_ptr<engine::KvPool> kv_;
  std::unique_ptr<engine::CheckpointPool> checkpoints_;
  std::unique_ptr<engine::PrefixCache> cache_;
};

}  // namespace nextgate::prefix_sim
