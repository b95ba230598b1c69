// User-perceived characters (extended grapheme clusters) as `tokenizers` finds them.
//
// Threads: pure functions over tables that never change.
#pragma once

#include <cstddef>
#include <string_view>

namespace nextgate::engine {

// Where the cluster ends that begins at `at`. Regional indicators each stand alone, other than in
// Unicode: whoever asks treats single characters of four bytes and pairs of them alike.
// REQUIRES: valid UTF-8, at < text.size(), a cluster begins at `at`.
size_t GraphemeEnd(std::string_view text, size_t at);

}  // namespace nextgate::engine
