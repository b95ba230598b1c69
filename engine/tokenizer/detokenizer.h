// Incremental detokenisation of one answer: tokens in, text out, never half a code point. Bytes
// that cannot become valid UTF-8 come out as U+FFFD as soon as that is certain; Flush gives what is
// left. The concatenation of all outputs equals Tokenizer::Decode of all ids.
//
// Threads: one answer, one thread.
#pragma once

#include <cstdint>
#include <string>

#include "engine/tokenizer/tokenizer.h"

namespace nextgate::engine {

class Detokenizer {
 public:
  Detokenizer(const Tokenizer& tokenizer, bool skip_special)
      : tokenizer_(&tokenizer), skip_special_(skip_special) {}

  // The text that became certain with `id`.
  std::string Add(int32_t id);
  std::string Flush();
  // Every token so far ended with its text: nothing is held back.
  bool whole() const { return pending_.empty(); }

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_;
  std::string pending_;  // the beginning of a code point
};

}  // namespace nextgate::engine
