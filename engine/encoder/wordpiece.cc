#include "engine/encoder/wordpiece.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/file.h"
#include "engine/tokenizer/utf8.h"

namespace nextgate::engine {
namespace {

constexpr int64_t kTokenizerBytesMax = int64_t{64} << 20;
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

Result<std::unique_ptr<WordPiece>> WordPiece::Open(const std::string& dir) {
  const std::string path = dir + "/tokenizer.json";
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kTokenizerBytesMax));
  ASSIGN_OR_RETURN(WordPieceParts parts, ParseWordPieceJson(text, path));
  return std::make_unique<WordPiece>(std::move(parts));
}

WordPiece::WordPiece(WordPieceParts parts) : parts_(std::move(parts)), added_(parts_.added) {
  for (int32_t id = 0; id < parts_.vocabulary.size(); ++id)
    piece_bytes_max_ = std::max(piece_bytes_max_, parts_.vocabulary.Spelling(id).size());
}

WordPieceIds WordPiece::Encode(std::string_view text, int64_t tokens_max) const {
  CHECK(tokens_max >= num_special());
  std::string valid;
  AppendValidUtf8(text, /*whole=*/true, &valid);
  // One more than there is room for tells that there is more.
  const size_t ids_max = static_cast<size_t>(tokens_max) - static_cast<size_t>(num_special()) + 1;
  WordPieceIds out;
  for (size_t at = 0; at < valid.size() && out.ids.size() < ids_max;) {
    const AddedTokenFinder::Match match = added_.Find(valid, at);
    const size_t end = match.token == nullptr ? valid.size() : match.at;
    EncodeSegment(std::string_view(valid).substr(at, end - at), ids_max, &out);
    if (match.token == nullptr) break;
    out.ids.push_back(match.token->id);
    at = match.at + match.token->content.size();
  }
  out.truncated = out.ids.size() >= ids_max;
  if (out.truncated) out.ids.resize(ids_max - 1);
  out.num_unknown = std::ranges::count(out.ids, parts_.unknown_id);
  out.ids.insert(out.ids.begin(), parts_.before.begin(), parts_.before.end());
  out.ids.insert(out.ids.end(), parts_.behind.begin(), parts_.behind.end());
  return out;
}

// Piece by piece, each from one ASCII space to another, until there is enough.
void WordPiece::EncodeSegment(std::string_view text, size_t ids_max, WordPieceIds* out) const {
  for (size_t at = 0; at < text.size() && out->ids.size() < ids_max;) {
    const size_t end = std::min(text.find(' ', at + kPieceBytes), text.size());
    const std::string normalised = parts_.normalizer.Normalize(text.substr(at, end - at));
    for (const std::string_view word : BertWords(normalised)) {
      if (out->ids.size() >= ids_max) return;
      EncodeWord(word, out);
    }
    at = end;
  }
}

// The longest piece that the vocabulary has, then the longest of the rest, …; where there is none
// the whole word is one unknown token.
void WordPiece::EncodeWord(std::string_view word, WordPieceIds* out) const {
  const size_t begin = out->ids.size();
  std::string rest(word);  // from the second piece on with the continuation's spelling before it
  bool known = CountScalars(word) <= static_cast<size_t>(parts_.word_chars_max);
  for (size_t prefix = 0; known && rest.size() > prefix; prefix = parts_.continuation.size()) {
    std::optional<int32_t> id;
    size_t end = ScalarBegin(rest, std::min(rest.size(), std::max(piece_bytes_max_, prefix)));
    while (end > prefix && !(id = parts_.vocabulary.Find(std::string_view(rest).substr(0, end))))
      end = ScalarBegin(rest, end - 1);
    known = id.has_value();
    if (known) out->ids.push_back(*id);
    rest = parts_.continuation + rest.substr(end);
  }
  if (known) return;
  out->ids.resize(begin);
  out->ids.push_back(parts_.unknown_id);
}

}  // namespace nextgate::engine
