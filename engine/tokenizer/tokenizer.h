// Byte-level BPE as Hugging Face `tokenizers` computes it from tokenizer.json: added tokens, NFC,
// Qwen's pre-tokenizer, merges. Exactly equal to `tokenizers` on every valid UTF-8 text.
//
// Threads: immutable after Open; all methods may be called from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace nextgate::engine {

// A piece of a rendered prompt. In `is_template` pieces special tokens are recognised; in the
// others (what a user wrote) `<|im_end|>` is just text, and so is one that only partly lies in the
// template. Marking decides only that: text between two recognised tokens is encoded as one string,
// across pieces. Added tokens that tokenizer.json does not call special (`<think>`, `<tool_call>`)
// are words of the vocabulary and recognised everywhere, as `tokenizers` does.
struct TextPiece {
  std::string text;
  bool is_template = true;
};

class Tokenizer {
 public:
  // Reads <dir>/tokenizer.json and nothing else. kNotFound: no such file; kDataLoss: it is broken;
  // kUnimplemented: it asks for what is not supported (tokenizer_json.h). Messages name the field.
  static Result<std::unique_ptr<Tokenizer>> Open(const std::string& dir);
  virtual ~Tokenizer() = default;

  // Callers check with FindInvalidUtf8 first (the gateway answers 400); here invalid bytes are read
  // as U+FFFD, as Python's decode('utf-8', 'replace') has it. recognise_special = false is
  // `tokenizers`' encode_special_tokens = True.
  virtual std::vector<int32_t> Encode(std::string_view text,
                                      bool recognise_special = true) const = 0;
  virtual std::vector<int32_t> Encode(std::span<const TextPiece> pieces) const = 0;

  // As `tokenizers` decodes: ids without a string give nothing; bytes that are not UTF-8 become
  // U+FFFD.
  virtual std::string Decode(std::span<const int32_t> ids, bool skip_special) const = 0;

  // The raw bytes of one token (may be part of a code point); empty for ids without a string.
  virtual std::string_view TokenBytes(int32_t id) const = 0;
  // The vocabulary's spelling of a token ("Ġthe"), or empty.
  virtual std::string_view TokenString(int32_t id) const = 0;
  virtual std::optional<int32_t> TokenId(std::string_view token) const = 0;
  virtual bool IsSpecial(int32_t id) const = 0;
  virtual int32_t size() const = 0;  // highest id + 1
};

// The offset of the first byte that is not valid UTF-8, or nothing.
std::optional<size_t> FindInvalidUtf8(std::string_view text);

}  // namespace nextgate::engine
