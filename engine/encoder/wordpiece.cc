#include "engine/encoder/wordpiece.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "engine/encoder/scripts.h"
#include "engine/tokenizer/utf8.h"

namespace nextgate::engine {
namespace {

constexpr size_t kPieceBytes = 1024;  // of a segment, normalised at once

size_t CountScalars(std::string_view text) {
  return static_cast<size_t>(
      std::ranges::count_if(text, [](char byte) { return (byte & 0xC0) != 0x80; }));
}

// The last beginning of a scalar at or before `at`.
size_t ScalarBegin(std::string_view text, size_t at) {
  while (at > 0 && at < text.size() && (text[at] & 0xC0) == 0x80) --at;
  return at;
}

}  // namespace

WordPiece::WordPiece(WordPieceParts parts) : parts_(std::move(parts)) {
  for (int32_t id = 0; id < parts_.vocabulary.size(); ++id)
    piece_bytes_max_ = std::max(piece_bytes_max_, parts_.vocabulary.Spelling(id).size());
  spelled_ = SpelledOnly(parts_.vocabulary, parts_.continuation);
}

// Piece by piece, each from one ASCII space to another, until there is enough.
void WordPiece::Encode(std::string_view segment, size_t ids_max, std::vector<int32_t>* ids) const {
  for (size_t at = 0; at < segment.size() && ids->size() < ids_max;) {
    const size_t end = std::min(segment.find(' ', at + kPieceBytes), segment.size());
    const std::string normalised = parts_.normalizer.Normalize(segment.substr(at, end - at));
    for (const std::string_view word : BertWords(normalised)) {
      if (ids->size() >= ids_max) return;
      EncodeWord(word, ids);
    }
    at = end;
  }
}

// The longest piece that the vocabulary has, then the longest of the rest, …; where there is none
// the whole word is one unknown token.
void WordPiece::EncodeWord(std::string_view word, std::vector<int32_t>* ids) const {
  const size_t begin = ids->size();
  std::string rest(word);  // from the second piece on with the continuation's spelling before it
  bool known = CountScalars(word) <= static_cast<size_t>(parts_.word_chars_max);
  for (size_t prefix = 0; known && rest.size() > prefix; prefix = parts_.continuation.size()) {
    std::optional<int32_t> id;
    size_t end = ScalarBegin(rest, std::min(rest.size(), std::max(piece_bytes_max_, prefix)));
    while (end > prefix && !(id = parts_.vocabulary.Find(std::string_view(rest).substr(0, end))))
      end = ScalarBegin(rest, end - 1);
    known = id.has_value();
    if (known) ids->push_back(*id);
    rest = parts_.continuation + rest.substr(end);
  }
  if (known) return;
  ids->resize(begin);
  ids->push_back(parts_.unknown_id);
}

}  // namespace nextgate::engine
