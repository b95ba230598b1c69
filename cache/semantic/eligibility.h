// Which texts have an embedding that can be compared with others'. One that is cut off, or in a script
// its embedder knows letters of at most, lies beside texts that mean something else: MiniLM gives
// unrelated questions in Chinese a cosine near 1.
//
// Threads: pure functions.
#pragma once

#include <optional>
#include <string_view>

#include "cache/embedder.h"

namespace nextgate::cache {

// The codes are what users see; they are stable.
enum class SemanticIneligible {
  kEmpty,              // empty: nothing but white space and ASCII punctuation
  kTooLong,            // too_long: the embedder cut its end off
  kUnsupportedScript,  // unsupported_script: more than a tenth of its tokens is unknown or only spelled
};
std::string_view Code(SemanticIneligible why);

// Nothing: `embedding`, of `text`, can be compared. Where the embedder knows nothing about tokens, only
// kEmpty is ever found.
std::optional<SemanticIneligible> IneligibleFor(std::string_view text, const Embedding& embedding);

}  // namespace nextgate::cache
