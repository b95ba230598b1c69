// tokenizer.json, read and checked. What is not supported is an error that names the field, what
// was expected and what came; nothing in the file is trusted.
//
// Threads: a pure function.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "engine/tokenizer/added_tokens.h"
#include "engine/tokenizer/bpe.h"
#include "engine/tokenizer/vocabulary.h"

namespace nextgate::engine {

struct TokenizerParts {
  Vocabulary vocabulary;  // the model's and the added tokens
  BpeModel bpe;
  std::vector<AddedToken> added;
  bool nfc = false;
};

// Supported: BPE with all 256 byte tokens, merges as "a b" or ["a", "b"]; normalizer NFC or none;
// Qwen's pre-tokenizer; ByteLevel decoder; added tokens without lstrip, rstrip and single_word,
// special ones not `normalized`. `truncation` and `padding` are ignored, as transformers does.
// `origin` opens the messages.
Result<TokenizerParts> ParseTokenizerJson(const std::string& text, const std::string& origin);

}  // namespace nextgate::engine
