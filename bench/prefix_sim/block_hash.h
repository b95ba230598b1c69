// Names of prefixes. The hash of a block covers its tokens and all before it, so equal hashes are
// equal beginnings. 128 bits without a comparison are enough for a simulation, not for an engine.
//
// Threads: pure.
#pragma once

#include <cstdint>
#include <vector>

#include "base/hash.h"
#include "bench/prefix_sim/policy.h"

namespace nextgate::prefix_sim {

// One hash for each full block of `block_tokens` among the request's computed tokens, the prompt
// first and then the answer.
std::vector<Hash128> BlockHashes(const Request& request, int64_t block_tokens);

}  // namespace nextgate::prefix_sim
