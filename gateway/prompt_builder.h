// Rendered pieces → tokens, with the token offsets at which messages begin (the prefix cache keeps
// its checkpoints there). Text whose tokens are known already, because they were generated here, gets
// those and not the ones that an encoder would choose.
//
// Threads: immutable after construction; Build may be called from any thread. The tokenizer
// outlives it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
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
  // Ascending, in (0, tokens.size()]: where messages end that the client marked.
  std::vector<int32_t> marked_borders;
};

class PromptBuilder {
 public:
  explicit PromptBuilder(const engine::Tokenizer& tokenizer);

  // The tokens of bytes [begin, end) of the rendered text.
  struct KnownText {
    size_t begin = 0;
    size_t end = 0;
    std::vector<int32_t> ids;
  };

  // The tokens are those of Tokenizer::Encode(chat.pieces), but for `known` (ascending, each within what
  // a request wrote): its ids stand for its text, and what is before it and after it encodes apart, as
  // it did when they were generated. Special tokens are recognised in the template's text only.
  //
  // A border is the last special token at or before the place where a message's own text begins, so it
  // is exact where messages open with one, as in ChatML; else it is rounded down. A message of `marked`
  // (ascending indices) ends where the next one that the template printed begins, or else the answer's
  // opening, or else the prompt's end.
  Prompt Build(const RenderedChat& chat, std::span<const int32_t> marked = {},
               std::span<const KnownText> known = {}) const;

 private:
  const engine::Tokenizer* tokenizer_;
  std::vector<std::string> specials_;  // longest first
};

}  // namespace nextgate::gateway
