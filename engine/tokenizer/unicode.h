// Character classes, NFC and NFD exactly as `tokenizers` has them, whatever Unicode version that is.
//
// Threads: pure functions over tables that are built on first use and never change.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace nextgate::engine {

// \p{L}, \p{N}, \s and the rest; the four don't overlap.
enum class CharKind : uint8_t { kOther = 0, kLetter = 1, kNumber = 2, kSpace = 3 };

CharKind KindOf(uint32_t scalar);

// True if `text` is NFC for certain; false: NormalizeNfc has to find out. REQUIRES: valid UTF-8.
bool IsCertainlyNfc(std::string_view text);

// Canonical decomposition, ordering, composition. Linear but for the sorting of each run of
// combining marks (n log n). REQUIRES: valid UTF-8.
std::string NormalizeNfc(std::string_view text);
// The same without the composition.
std::string NormalizeNfd(std::string_view text);

}  // namespace nextgate::engine
