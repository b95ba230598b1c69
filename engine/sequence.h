// A request on the engine thread: its tokens, how far they are computed, and what it holds.
//
// Invariants: (1) it holds a state slot exactly while it runs, blocks and leases only while it runs; (2)
// tokens is the prompt and everything generated, tokens_computed < tokens.size(); (3) preemption
// gives everything back and sets tokens_computed to 0, and nothing else: the generated tokens and
// the sampling state stay.
//
// Threads: the engine thread, after Submit has handed it over.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/generation_channel.h"
#include "engine/prefix/prefix_cache.h"
#include "engine/request.h"
#include "engine/sampling/sampler.h"
#include "engine/scheduler.h"

namespace nextgate::engine {

inline constexpr int32_t kNoSlot = -1;

struct Sequence {
  Sequence(GenerationRequest request_in, RequestSampling sampling_in, uint64_t arrival_in)
      : request(std::move(request_in)),
        sampling(std::move(sampling_in)),
        arrival(arrival_in),
        tokens(request.prompt) {
    tokens.insert(tokens.end(), request.forced.begin(), request.forced.end());
    for (const int32_t token : request.forced) sampling.Accept(token);
  }

  GenerationRequest request;
  RequestSampling sampling;
  uint64_t arrival;  // order of submission
  std::vector<int32_t> tokens;
  std::shared_ptr<GenerationChannel> channel = std::make_shared<GenerationChannel>();

  int32_t tokens_computed = 0;
  int32_t tokens_cached = 0;  // of the prompt, resumed at the first admission
  int32_t state_slot = kNoSlot;
  std::vector<int32_t> block_table;
  PrefixHold prefix;
  const Sequence* awaited = nullptr;  // whose beginning it waited for last; it may be gone
  std::vector<PositionLogprobs> prompt_logprobs;  // of prompt tokens 1, 2, … as they come
  bool was_admitted = false;                      // ever
  bool was_started = false;                       // its Started event is out or in `event`
  bool finished = false;
  GenerationEvent event;  // what this step has to tell

  bool running() const { return state_slot != kNoSlot; }
  int32_t tokens_total() const { return static_cast<int32_t>(tokens.size()); }
  int32_t prompt_tokens() const { return static_cast<int32_t>(request.prompt.size()); }
  int32_t generated() const { return tokens_total() - prompt_tokens(); }
  bool has_event() const { return event.started || event.finished || !event.tokens.empty(); }

  // The rows of the prompt whose logits are still wanted: row i tells of token i + 1.
  int32_t prompt_rows_begin() const { return static_cast<int32_t>(prompt_logprobs.size()); }
  int32_t prompt_rows_end() const {
    return request.num_prompt_logprobs >= 0 && !was_started ? prompt_tokens() - 1 : 0;
  }

  PrefixSequence prefix_view() const {
    int32_t last = tokens_total() - 1;  // one is left to compute, and every row that is wanted
    if (prompt_rows_begin() < prompt_rows_end()) last = std::min(last, prompt_rows_begin());
    return {.scope = request.cache_salt,
            .tokens = tokens,
            .resume_max = last / kBlockTokens * kBlockTokens,
            .borders = request.message_borders,
            .marked = request.marked_borders};
  }

  SequenceView view() const {
    SequenceView view{.running = running(),
                      .tokens_total = tokens_total(),
                      .tokens_computed = tokens_computed,
                      .blocks_held = static_cast<int32_t>(block_table.size()),
                      .prompt_rows_begin = prompt_rows_begin(),
                      .prompt_rows_end = prompt_rows_end()};
    if (running()) return view;
    view.tokens_computed = prefix.match.resume_tokens;
    view.blocks_held = view.tokens_computed / kBlockTokens;
    view.blocks_idle = prefix.match.idle_blocks;
    return view;
  }
};

// Lower priority value first, then earlier arrival.
inline bool RunsBefore(const Sequence& a, const Sequence& b) {
  return a.request.priority != b.request.priority ? a.request.priority < b.request.priority
                                                  : a.arrival < b.arrival;
}

}  // namespace nextgate::engine
