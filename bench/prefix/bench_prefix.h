// What the prefix cache gives and costs, on the model in models/: one program, one table a command.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace nextgate::bench {

// Median [least–most].
std::string Spread(std::vector<double> values, const char* format = "{:.1f}");
double Percentile(std::vector<double> values, double p);

std::unique_ptr<engine::Engine> OpenEngine(const engine::EngineConfig& config);

// Token ids that no other seed shares a beginning with.
std::vector<int32_t> RandomTokens(uint32_t seed, int64_t count);

struct Answer {
  double first_token_ms = 0;
  int32_t cached_tokens = 0;
  std::vector<double> gaps_ms;  // between later tokens, as they arrived
};
// Greedy, eos ignored.
Answer Ask(engine::Engine& engine, std::vector<int32_t> prompt, int32_t border, int32_t max_tokens);

int TimeToFirstToken();  // by length of the shared beginning and sighting
int DecodeSpeed();       // with the cache and without
int Divergence();        // of answers resumed from each format of checkpoint
int Tiers();             // what copying does to the steps of others

}  // namespace nextgate::bench
