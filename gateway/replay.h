// A stored answer told as a stream, as the live one was: at once, or at a pace that a reader's screen is
// used to.
//
// Threads: one at a time.
#pragma once

#include "cache/answer.h"
#include "gateway/http_server.h"
#include "gateway/openai/response.h"

namespace nextgate::gateway {

struct ReplayOptions {
  bool include_usage = false;
  int32_t tokens_per_s =
      0;  // 0: at once. Of all choices together; a delta of unknown tokens counts as one
};

// Blocks until all is written. False if the client left before: it is noticed within 200 ms, also while
// the next token is not due yet.
bool ReplayStream(const cache::Answer& answer, openai::AnswerWriter& writer,
                  const ReplayOptions& options, StreamWriter& out);

}  // namespace nextgate::gateway
