// POST /v1/embeddings: what a request says, and the answer's body. As OpenAI has it, with vLLM's
// truncate_prompt_tokens.
//
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "cache/embedder.h"

namespace nextgate::gateway::openai {

inline constexpr size_t kEmbeddingInputsMax = 2048;  // OpenAI's

struct EmbeddingsRequest {
  std::string model;  // "": not given
  std::vector<std::string> input;
  bool base64 = false;
  int64_t dimensions = 0;  // 0: not given
  bool truncate =
      false;  // truncate_prompt_tokens -1: the end of a text that is too long does not count
  std::vector<std::string> ignored_fields;
};

// Errors name the field. Token ids instead of texts are refused: whose they are cannot be known.
Result<EmbeddingsRequest> ParseEmbeddingsRequest(std::string_view body);

// Numbers are the shortest that are read as the same float again.
std::string EmbeddingsBody(std::string_view model, std::span<const cache::Embedding> embeddings,
                           bool base64);

}  // namespace nextgate::gateway::openai
