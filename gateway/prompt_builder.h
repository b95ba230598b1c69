// Rendered pieces → tokens, with the token offsets at which messages begin (the prefix cache keeps
// its checkpoints there).
//
// Threads: immutable after construction; Build may be called from any thread. The tokenizer
// outlives it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/tokenizer/tokenizer.h"
#include "gateway/chat_template.h"

namespace nextgate::gateway {

struct Prompt {
  std::vector<int32_t> tokens;
  // Ascending token offsets in (0, tokens.size()): where the second and later messages begin, and
  // where the answer's own opening begins.
  std::vector<int32_t> message_borders;
};

class PromptBuilder {
 public:
  explicit PromptBuilder(const engine::Tokenizer& tokenizer);

  // tokens == tokenizer.Encode(chat.pieces), always. Special tokens are recognised in the
  // template's text only. A border is the last special token at or before the place where a
  // message's own text begins, so it is exact where messages open with one, as in ChatML; else it
  // is rounded down.
  Prompt Build(const RenderedChat& chat) const;

 private:
  const engine::Tokenizer* tokenizer_;
  std::vector<std::string> specials_;  // longest first
};

}  // namespace nextgate::gateway
