// SentencePiece's precompiled charsmap (nmt_nfkc and its like) as the normalizer Precompiled of
// `tokenizers` applies it: a double array of byte strings, each with what takes its place.
//
// Source: normalizers/precompiled.rs in tokenizers and the crate spm_precompiled, which differ from
// SentencePiece itself: the key that counts is the shortest, and it takes a whole cluster with it.
//
// Threads: immutable after Parse; const methods may be called from any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace nextgate::engine {

class Charsmap {
 public:
  // [u32 bytes of the array, little endian][the array's units, u32 each][texts, each ended by a 0].
  // kDataLoss: it is cut off; some byte string leads out of the array, in a circle, or to no text;
  // the texts are not UTF-8. What Parse lets through cannot be read out of bounds by any text.
  static Result<Charsmap> Parse(std::string_view bytes);

  // REQUIRES: valid UTF-8. Linear.
  std::string Normalize(std::string_view text) const;

  // True if no key begins with a printable ASCII character and a character that may stand behind
  // it: between two of these a text may be normalised in parts.
  bool keeps_ascii() const { return keeps_ascii_; }

 private:
  Charsmap() = default;
  Status Check() const;
  Status CheckNode(uint32_t unit) const;
  // Of the shortest key that `chunk` begins with.
  std::optional<std::string_view> Replacement(std::string_view chunk) const;

  std::vector<uint32_t> units_;
  std::string texts_;
  bool keeps_ascii_ = false;
};

// The bytes of standard base64 with padding; nothing if it is not that.
std::optional<std::string> DecodeBase64(std::string_view text);

}  // namespace nextgate::engine
