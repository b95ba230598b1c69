// White space as char::is_whitespace and the pattern \s of `tokenizers` have it, which are the same.
//
// Threads: pure functions. All REQUIRE valid UTF-8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/tokenizer/unicode.h"
#include "engine/tokenizer/utf8.h"

namespace nextgate::engine {

inline bool IsWhiteSpace(uint32_t scalar) { return KindOf(scalar) == CharKind::kSpace; }

// Where the white space ends that `text` begins with.
inline size_t WhiteSpaceEnd(std::string_view text) {
  size_t end = 0;
  for (size_t at = 0; at < text.size() && IsWhiteSpace(NextScalar(text, &at)); end = at) continue;
  return end;
}

// Where the white space begins that `text` ends with.
inline size_t WhiteSpaceBegin(std::string_view text) {
  while (!text.empty()) {
    size_t begin = text.size() - 1;
    while (begin > 0 && (text[begin] & 0xC0) == 0x80) --begin;
    size_t at = begin;
    if (!IsWhiteSpace(NextScalar(text, &at))) break;
    text = text.substr(0, begin);
  }
  return text.size();
}

}  // namespace nextgate::engine
