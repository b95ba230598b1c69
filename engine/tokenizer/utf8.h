// UTF-8 as Python's decode('utf-8', 'replace') reads it: each maximal subpart of an ill-formed
// sequence is one U+FFFD (Unicode 3.9, "substitution of maximal subparts").
//
// Threads: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace nextgate::engine {

// What stands at the beginning of some bytes.
struct Utf8Sequence {
  enum class Kind { kScalar, kInvalid, kIncomplete };
  Kind kind = Kind::kScalar;
  uint32_t scalar = 0;  // kScalar only
  uint32_t length = 0;  // bytes: of the scalar, of the ill-formed subpart, or of what there is
};

// kIncomplete: `bytes` ends inside a sequence that more bytes could complete. REQUIRES: not empty.
Utf8Sequence ReadUtf8(std::string_view bytes);

// The scalar at `*at`, which moves behind it. REQUIRES: valid UTF-8 and *at < text.size().
uint32_t NextScalar(std::string_view text, size_t* at);

void AppendUtf8(uint32_t scalar, std::string* out);

// `bytes` with every ill-formed subpart exchanged for U+FFFD, appended to `out`. Where the end is
// incomplete: with `whole`, one U+FFFD too; else those bytes are left. Returns the bytes read.
size_t AppendValidUtf8(std::string_view bytes, bool whole, std::string* out);

// The number of leading bytes that are ASCII.
size_t AsciiPrefix(std::string_view text);

}  // namespace nextgate::engine
