// BertNormalizer and BertPreTokenizer exactly as `tokenizers` has them, whatever Unicode version
// that is.
//
// Threads: pure functions over tables that never change.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace nextgate::engine {

// In this order: control characters away and all white space to spaces; spaces around every Chinese
// character; canonical decomposition and non-spacing marks away; lower case, scalar by scalar.
struct BertNormalizer {
  bool clean_text = true;
  bool handle_chinese_chars = true;
  bool strip_accents = true;
  bool lowercase = true;

  // Linear but for the sorting of each run of combining marks. What stands before and behind an
  // ASCII space has nothing to do with each other, so a long text may be normalised in pieces that
  // begin with one. REQUIRES: valid UTF-8.
  std::string Normalize(std::string_view text) const;
};

// The words of a normalised text: what white space divides, and each punctuation character by
// itself. The views are parts of `text`. REQUIRES: valid UTF-8.
std::vector<std::string_view> BertWords(std::string_view text);

}  // namespace nextgate::engine
