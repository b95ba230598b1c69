// A trace against policies, and what came of it.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "bench/prefix_sim/policy.h"
#include "bench/prefix_sim/traces.h"

namespace nextgate::prefix_sim {

struct Outcome {
  int64_t requests = 0;
  int64_t requests_hit = 0;  // that reused anything
  int64_t prompt_tokens = 0;
  int64_t reused_tokens = 0;
  Usage peak;  // after the request where kept KV and states together weighed most

  int64_t recomputed_tokens() const { return prompt_tokens - reused_tokens; }
  double hit_rate() const {  // of the tokens
    return prompt_tokens == 0
               ? 0
               : static_cast<double>(reused_tokens) / static_cast<double>(prompt_tokens);
  }
};

// One outcome a policy. An error names the request that is too long for a policy's budget.
Result<std::vector<Outcome>> Replay(const Trace& trace,
                                    const std::vector<std::unique_ptr<Policy>>& policies);

}  // namespace nextgate::prefix_sim
