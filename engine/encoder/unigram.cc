#include "engine/encoder/unigram.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "engine/encoder/added_segments.h"
#include "engine/encoder/white_space.h"
#include "engine/tokenizer/utf8.h"

namespace nextgate::engine {
namespace {

constexpr double kUnknownPenalty = 10.0;
constexpr size_t kPartBytes = 1024;  // of a segment, normalised at once

bool IsVisibleAscii(char byte) { return byte > 0x20 && byte < 0x7F; }

// Where the part of `text` ends that begins at `at`, see UnigramNormalizer::may_cut.
size_t PartEnd(std::string_view text, size_t at) {
  for (size_t end = at + kPartBytes;;) {
    end = text.find(' ', end);
    if (end == std::string_view::npos || end + 1 >= text.size()) return text.size();
    if (IsVisibleAscii(text[end - 1]) && IsVisibleAscii(text[end + 1])) return end;
    ++end;
  }
}

}  // namespace

Unigram::Unigram(UnigramParts parts)
    : parts_(std::move(parts)),
      added_(parts_.added),
      trie_(parts_.vocabulary),
      unknown_score_(std::ranges::min(parts_.scores) - kUnknownPenalty),
      may_cut_(parts_.normalizer.may_cut() && (parts_.metaspace.split || parts_.metaspace.words)) {
  // Where one of these could lie across a cut, or eat the space that comes with the next part.
  for (const AddedToken& token : parts_.added)
    if (token.content.find(' ') != std::string::npos) may_cut_ = false;
}

void Unigram::Encode(std::string_view segment, bool at_begin, size_t ids_max,
                     std::vector<int32_t>* ids) const {
  for (size_t at = 0; at < segment.size() && ids->size() < ids_max;) {
    const size_t end = may_cut_ ? PartEnd(segment, at) : segment.size();
    const std::string text =
        parts_.normalizer.Normalize(segment.substr(at, end - at), at == 0, end == segment.size());
    EncodeNormalised(text, at_begin && at == 0, ids_max, ids);
    at = end;
  }
}

void Unigram::EncodeNormalised(std::string_view text, bool at_begin, size_t ids_max,
                               std::vector<int32_t>* ids) const {
  AddedSegments segments(added_, text);
  for (AddedSegment segment; ids->size() < ids_max && segments.Next(&segment);) {
    std::string_view rest = segment.text;
    if (!parts_.metaspace.words) {
      EncodeSpaced(rest, at_begin && segment.at == 0, ids_max, ids);
      rest = {};
    }
    while (ids->size() < ids_max && !(rest = rest.substr(WhiteSpaceEnd(rest))).empty()) {
      size_t end = 0, at = 0;
      while (at < rest.size() && !IsWhiteSpace(NextScalar(rest, &at))) end = at;
      EncodeSpaced(rest.substr(0, end), /*at_begin=*/false, ids_max, ids);
      rest = rest.substr(end);
    }
    if (segment.token != nullptr) ids->push_back(segment.token->id);
  }
}

// What Metaspace does.
void Unigram::EncodeSpaced(std::string_view text, bool at_begin, size_t ids_max,
                           std::vector<int32_t>* ids) const {
  if (text.empty()) return;
  const Metaspace& metaspace = parts_.metaspace;
  std::string spaced;
  spaced.reserve(text.size() * 2);
  for (const char byte : text)
    if (byte == ' ')
      spaced += metaspace.replacement;
    else
      spaced += byte;
  const bool prepend = metaspace.prepend == Metaspace::Prepend::kAlways ||
                       (metaspace.prepend == Metaspace::Prepend::kFirst && at_begin);
  if (prepend && !spaced.starts_with(metaspace.replacement))
    spaced.insert(0, metaspace.replacement);
  for (size_t at = 0; at < spaced.size() && ids->size() < ids_max;) {
    const size_t end = metaspace.split ? spaced.find(metaspace.replacement, at + 1) : spaced.npos;
    EncodeWord(std::string_view(spaced).substr(at, end - at), ids);
    at = std::min(end, spaced.size());
  }
}

void Unigram::EncodeWord(std::string_view word, std::vector<int32_t>* ids) const {
  std::vector<Step> best(word.size() + 1, Step{0, 0, kNone});
  const auto offer = [&](size_t begin, size_t end, int32_t id, double score) {
    Step& step = best[end];
    const double sum = score + best[begin].score;
    if (step.begin == kNone || sum > step.score) step = {sum, id, static_cast<uint32_t>(begin)};
  };
  for (size_t at = 0; at < word.size();) {
    size_t next = at;
    NextScalar(word, &next);
    bool has_single = false;
    trie_.ForEachPrefix(word.substr(at), [&](int32_t id, size_t bytes) {
      offer(at, at + bytes, id, parts_.scores[static_cast<size_t>(id)]);
      has_single |= at + bytes == next;
    });
    if (!has_single) offer(at, next, parts_.unknown_id, unknown_score_);
    at = next;
  }
  // The way back; then each piece, and what is unknown side by side as one.
  std::vector<std::pair<uint32_t, int32_t>> pieces;
  for (size_t end = word.size(); end > 0; end = best[end].begin)
    pieces.emplace_back(best[end].begin, best[end].id);
  for (size_t i = pieces.size(); i > 0;) {
    const auto [begin, id] = pieces[--i];
    if (id != parts_.unknown_id) {
      ids->push_back(id);
      continue;
    }
    while (i > 0 && pieces[i - 1].second == parts_.unknown_id) --i;
    const size_t end = i > 0 ? pieces[i - 1].first : word.size();
    AppendUnknown(word.substr(begin, end - begin), ids);
  }
}

// Together they may be a piece, which lost as such; else they are their bytes, or unknown.
void Unigram::AppendUnknown(std::string_view text, std::vector<int32_t>* ids) const {
  if (const auto id = parts_.vocabulary.Find(text)) return ids->push_back(*id);
  const size_t before = ids->size();
  for (size_t i = 0; parts_.byte_fallback && i < text.size(); ++i) {
    const auto id = parts_.vocabulary.Find(
        fmt::format("<0x{:02X}>", static_cast<unsigned>(static_cast<uint8_t>(text[i]))));
    if (!id) break;
    ids->push_back(*id);
  }
  if (parts_.byte_fallback && ids->size() == before + text.size()) return;
  ids->resize(before);
  ids->push_back(parts_.unknown_id);
}

}  // namespace nextgate::engine
