// What an engine is made of, built and checked before its thread starts: the model, the memory plan
// and the pools.
//
// Threads: pure construction.
#pragma once

#include <memory>

#include "base/status.h"
#include "engine/engine.h"
#include "engine/memory/lazy_buffer.h"
#include "engine/model/qwen3_next.h"
#include "engine/prefix/checkpoint_pool.h"
#include "engine/prefix/kv_pool.h"
#include "engine/prefix/prefix_tiers.h"
#include "engine/prefix/state_pool.h"
#include "engine/scheduler.h"

namespace nextgate::engine {

struct EngineParts {
  EngineConfig config;
  ModelInfo info;
  SchedulerLimits limits;
  std::unique_ptr<Qwen3Next> model;
  std::unique_ptr<KvPool> kv;
  std::unique_ptr<StatePool> states;
  std::unique_ptr<CheckpointPool> checkpoints;
  std::unique_ptr<PrefixTiers> tiers;  // null: none
  LazyBuffer logits;                   // [limits.logit_rows_max, V]
};

// Loads the checkpoint with room for the steps that the configuration allows.
Result<std::unique_ptr<Qwen3Next>> LoadModel(const EngineConfig& config);

// Plans memory (printed as a table) and reserves it. Errors say what was asked and what there is.
Result<EngineParts> BuildParts(const EngineConfig& config, std::unique_ptr<Qwen3Next> model);

// The engine over its parts (engine.cc).
std::unique_ptr<Engine> StartEngine(EngineParts parts);

}  // namespace nextgate::engine
