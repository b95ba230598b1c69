#include "engine/request_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/prefix/kv_pool.h"

namespace nextgate::engine {
namespace {

Status CheckLength(const GenerationRequest& request, const RequestLimits& limits) {
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  if (prompt == 0) return InvalidArgument("the prompt has no tokens", "prompt");
  if (request.max_tokens < 0)
    return InvalidArgument(fmt::format("max_tokens must be >= 0, not {}", request.max_tokens),
                           "max_tokens");
  if (prompt + request.max_tokens > limits.max_model_len) {
    return InvalidArgument(
        fmt::format("This model's maximum context length is {} tokens: {} tokens of prompt + {} "
                    "max_tokens = {}",
                    limits.max_model_len, prompt, request.max_tokens, prompt + request.max_tokens),
        prompt > limits.max_model_len ? "prompt" : "max_tokens");
  }
  // The last generated token is never computed.
  const int64_t computed = prompt + std::max(0, request.max_tokens - 1);
  if (BlocksFor(computed) > limits.blocks_total) {
    return InvalidArgument(
        fmt::format("{} tokens of prompt + {} max_tokens need {} KV blocks of {} "
                    "tokens; there are {}",
                    prompt, request.max_tokens, BlocksFor(computed), kBlockTokens,
                    limits.blocks_total),
        "max_tokens");
  }
  return {};
}

Status CheckSampling(const SamplingParams& p, int32_t vocab_size) {
  const auto check = [](bool ok, const char* field, const char* expected, double value) -> Status {
    if (ok) return {};
    return InvalidArgument(fmt::format("{} must be {}, not {}", field, expected, value), field);
  };
  RETURN_IF_ERROR(check(p.temperature >= 0 && std::isfinite(p.temperature), "temperature",
                        "a finite number >= 0", p.temperature));
  RETURN_IF_ERROR(check(p.top_p > 0 && p.top_p <= 1, "top_p", "in (0, 1]", p.top_p));
  RETURN_IF_ERROR(check(p.min_p >= 0 && p.min_p <= 1, "min_p", "in [0, 1]", p.min_p));
  RETURN_IF_ERROR(check(p.repetition_penalty > 0 && std::isfinite(p.repetition_penalty),
                        "repetition_penalty", "a finite number > 0", p.repetition_penalty));
  RETURN_IF_ERROR(
      check(std::isfinite(p.presence_penalty), "presence_penalty", "finite", p.presence_penalty));
  RETURN_IF_ERROR(check(std::isfinite(p.frequency_penalty), "frequency_penalty", "finite",
                        p.frequency_penalty));
  for (const auto& [token, bias] : p.logit_bias) {
    if (token < 0 || token >= vocab_size)
      return InvalidArgument(
          fmt::format("logit_bias: token id {} is outside the vocabulary of {}", token, vocab_size),
          "logit_bias");
    RETURN_IF_ERROR(check(!std::isnan(bias), "logit_bias", "a number", bias));
  }
  return {};
}

}  // namespace

Status CheckRequest(const GenerationRequest& request, const RequestLimits& limits) {
  RETURN_IF_ERROR(CheckLength(request, limits));
  for (const int32_t token : request.prompt) {
    if (token < 0 || token >= limits.vocab_size)
      return InvalidArgument(
          fmt::format("token id {} is outside the vocabulary of {}", token, limits.vocab_size),
          "prompt");
  }
  for (const int32_t token : request.forced) {
    if (token < 0 || token >= limits.vocab_size)
      return InvalidArgument(fmt::format("forced: token id {} is outside the vocabulary of {}",
                                         token, limits.vocab_size),
                             "forced");
  }
  if (static_cast<int64_t>(request.forced.size()) > request.max_tokens)
    return InvalidArgument(fmt::format("forced: {} tokens are more than max_tokens = {}",
                                       request.forced.size(), request.max_tokens),
                           "forced");
  if (request.min_tokens < 0 || request.min_tokens > request.max_tokens)
    return InvalidArgument(fmt::format("min_tokens must be between 0 and max_tokens = {}, not {}",
                                       request.max_tokens, request.min_tokens),
                           "min_tokens");
  return CheckSampling(request.sampling, limits.vocab_size);
}

}  // namespace nextgate::engine
