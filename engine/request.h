// What goes into the engine and what comes out: tokens in, events out. Text, JSON and HTTP stay in
// the gateway; stop *strings* too (they are found in text), so the engine knows only token ids.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"

namespace nextgate::engine {

// Field meanings, ranges and defaults are OpenAI's and vLLM's. The gateway has validated the
// ranges.
struct SamplingParams {
  double temperature = 1.0;  // 0: greedy
  double top_p = 1.0;        // (0, 1]
  int32_t top_k = 0;         // 0: all
  double min_p = 0.0;        // [0, 1]
  double repetition_penalty = 1.0;
  double presence_penalty = 0.0;
  double frequency_penalty = 0.0;
  std::vector<std::pair<int32_t, float>> logit_bias;  // token id → added to its logit
  std::optional<uint64_t> seed;  // same seed, same tokens, whatever else runs; none: a random one
};

struct GenerationRequest {
  std::string id;               // for logs
  std::vector<int32_t> prompt;  // at least one token
  std::vector<int32_t>
      message_borders;  // ascending token offsets at which messages end; may be empty
  std::vector<int32_t> marked_borders;  // the same, where the client set `cache_control`
  // What the answer begins with, said before by another engine or another time: taken as if it had
  // been generated here (it counts for max_tokens, penalties and seeds), and not told again.
  std::vector<int32_t> forced;
  SamplingParams sampling;
  int32_t max_tokens = 16;  // >= 0; 0 computes the prompt only (echo, prompt_logprobs)
  int32_t min_tokens = 0;   // eos and stop_token_ids are not sampled before
  bool ignore_eos = false;
  std::vector<int32_t> stop_token_ids;
  bool may_be_cut = false;    // the consumer looks for stop strings: not all that is said may count
  int32_t num_logprobs = -1;  // -1: none; 0: the sampled token's; k: and the k most likely
  int32_t num_prompt_logprobs = -1;  // same, for every prompt token but the first
  int32_t priority = 0;              // lower runs first, as in vLLM
  std::string cache_salt;  // separates prefix-cache tenants; "": shared by all without one
};

struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0;
  int32_t rank = 0;  // 1 = most likely; vLLM's `rank`
};

// Logprobs are of the model's distribution before temperature and filters (log softmax of raw
// logits), as vLLM's default `raw_logprobs`.
struct PositionLogprobs {
  TokenLogprob chosen;
  std::vector<TokenLogprob> top;  // most likely first
};

enum class FinishReason { kStop, kLength, kCancelled, kError };

// Events of one generation, in order: one Started, then Tokens, then one Finished.
struct GenerationEvent {
  struct Started {
    int32_t prompt_tokens = 0;
    int32_t cached_tokens = 0;                      // prefix reuse
    std::vector<PositionLogprobs> prompt_logprobs;  // [prompt - 1] if asked for
  };
  struct Token {
    int32_t id = 0;
    std::optional<PositionLogprobs> logprobs;
  };
  struct Finished {
    FinishReason reason = FinishReason::kStop;
    int32_t stop_token =
        -1;  // the eos or stop token id that ended it (delivered as a Token before), or -1
    std::string error;  // kError
  };

  std::optional<Started> started;
  std::vector<Token> tokens;  // tokens that arrived together
  std::optional<Finished> finished;
};

// The receiving end of one generation. Destroying it cancels the generation within one step.
//
// Threads: one consumer; the engine thread produces.
class Generation {
 public:
  virtual ~Generation() = default;

  // Everything that arrived since the last call, merged; waits until there is something or
  // `timeout` passes (then the event is empty). After Finished was returned, must not be called
  // again.
  virtual GenerationEvent Next(std::chrono::milliseconds timeout) = 0;

  // Stops the generation within one step; a Finished{kCancelled} follows unless it had finished.
  // tokens_kept: of the answer's tokens, `forced` ones included, how many count, because the answer
  // was cut there (a stop string, which may be found after it had finished); -1: not said, as when the
  // client left.
  virtual void Cancel(int32_t tokens_kept = -1) = 0;
};

}  // namespace nextgate::engine
