// Qwen's pre-tokenizer: the words that merges never cross. A hand-written scanner that finds
// exactly the matches of
//
//   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|
//   \s*[\r\n]+|\s+(?!\S)|\s+
//
// which cover every text without gaps. Classes are those of engine/tokenizer/unicode.h.
//
// Threads: pure functions.
#pragma once

#include <cstddef>
#include <string_view>

namespace nextgate::engine {

// The regular expression as tokenizer.json spells it; the only one that is supported.
extern const std::string_view kQwenPattern;

// The end of the word that begins at `at`, as a byte offset. `text` is all there is between two
// recognised added tokens: the lookahead sees its end. Amortised O(1) per byte, but for runs of
// white space before a letter, which are read twice. REQUIRES: valid UTF-8, at < text.size().
size_t WordEnd(std::string_view text, size_t at);

}  // namespace nextgate::engine
