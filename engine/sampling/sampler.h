// One request's sampling: its parameters turned into edits of its logits, one token drawn, its
// log-probabilities. The order of operations is kernels/sampling/sampling.h's (vLLM's).
//
// The random draw is named by (seed, position of the token), so a request's tokens depend neither
// on its neighbours nor on being preempted and recomputed.
//
// Threads: the engine thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "engine/request.h"
#include "kernels/sampling/sampling.h"

namespace nextgate::engine {

// What a request's penalties, bias and min_tokens do to its logits. Sparse: one edit per token that
// any of them touches.
class RequestSampling {
 public:
  // eos_token_ids: the model's; masked with stop_token_ids until min_tokens are out.
  RequestSampling(const GenerationRequest& request, std::span<const int32_t> eos_token_ids,
                  int32_t vocab_size, uint64_t seed);

  // Counts a generated token.
  void Accept(int32_t token);

  // The edits for the next token, and its parameters. Position: prompt + generated tokens so far.
  std::span<const kernels::LogitEdit> edits() const { return edits_; }
  kernels::SamplingRow row(int64_t position) const;

 private:
  kernels::LogitEdit& EditOf(int32_t token);

  SamplingParams params_;
  uint64_t seed_;
  bool penalises_;
  int32_t min_tokens_left_;
  std::vector<kernels::LogitEdit> edits_;
  std::unordered_map<int32_t, size_t> edit_of_token_;
  std::vector<int32_t> counts_;     // [edits]; times generated
  std::vector<int32_t> forbidden_;  // tokens masked while min_tokens_left_ > 0
};

struct SampledToken {
  int32_t token = 0;
  std::optional<PositionLogprobs> logprobs;
};

// Owns the scratch for one vocabulary.
class Sampler {
 public:
  explicit Sampler(int64_t vocab_size);

  // Draws the token that follows `position` tokens. num_logprobs as in GenerationRequest. The row
  // is edited and restored. kInternal: the model's logits are not finite, or everything is
  // forbidden.
  Result<SampledToken> Sample(kernels::View<float, 1> row, const RequestSampling& sampling,
                              int64_t position, int32_t num_logprobs);

  // Of a given token (prompt_logprobs): its own, and the num_logprobs most likely.
  PositionLogprobs LogprobsOf(kernels::View<const float, 1> row, int32_t token,
                              int32_t num_logprobs);

 private:
  std::vector<std::byte> scratch_;
  std::vector<float> saved_;
  std::vector<kernels::TopToken> top_;
  kernels::Exec exec_;
};

}  // namespace nextgate::engine
