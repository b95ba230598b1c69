// Whether a request could ever run. What the gateway validates for its error shapes, the engine
// checks again for its own safety: nothing that passes here can index out of bounds or wait
// forever.
//
// Threads: pure.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "engine/request.h"

namespace nextgate::engine {

struct RequestLimits {
  int32_t vocab_size = 0;
  int32_t max_model_len = 0;
  int32_t blocks_total = 0;
};

// kInvalidArgument with the arithmetic.
Status CheckRequest(const GenerationRequest& request, const RequestLimits& limits);

}  // namespace nextgate::engine
