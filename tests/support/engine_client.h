// Requests to an engine over tests/support/fake_model.h, what they give, and what they must give.
#pragma once

#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "engine/engine.h"
#include "tests/support/fake_model.h"

namespace nextgate::engine {

struct Collected {
  int started = 0;
  int finished = 0;
  GenerationEvent::Started start;
  std::vector<int32_t> tokens;
  std::vector<std::optional<PositionLogprobs>> logprobs;
  GenerationEvent::Finished end;
};

// Until Finished; fails on events out of order.
Collected Collect(Generation& generation);

// What the request must give: no batch, no pools, no engine.
Collected Expected(const GenerationRequest& request);

void ExpectEqual(const PositionLogprobs& a, const PositionLogprobs& b);
void ExpectEqual(const Collected& got, const Collected& expected, const GenerationRequest& request);
void ExpectNothingHeld(const EngineStats& stats);

// Four sequences, 128 tokens a step, eight blocks.
EngineConfig SmallConfig();
// Four sequences, 512 tokens a step, room for four of 2,048 tokens and for every checkpoint.
EngineConfig RoomyConfig();
std::unique_ptr<Engine> Open(const EngineConfig& config, FakeModel::OnForward on_forward = {},
                             FakeModel::OnLogits on_logits = {});
std::unique_ptr<Generation> Submit(Engine& engine, GenerationRequest request);

// The same for the same seed.
std::vector<int32_t> Tokens(uint32_t seed, size_t count);
GenerationRequest Greedy(std::vector<int32_t> prompt, int32_t max_tokens);
GenerationRequest RandomRequest(std::mt19937& random);

// Of a request whose answer is as it must be: the tokens that were resumed.
int32_t CachedOf(Engine& engine, const GenerationRequest& request);

}  // namespace nextgate::engine
