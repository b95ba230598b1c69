#include "engine/tokenizer/pre_tokenizer.h"

#include <array>
#include <cstdint>

#include "engine/tokenizer/unicode.h"
#include "engine/tokenizer/utf8.h"

namespace nextgate::engine {

const std::string_view kQwenPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";

namespace {

constexpr uint32_t kLongS = 0x17F;  // folds to s, so (?i:'s) takes it

// The scalar at an offset, its class and where the next one begins.
struct Scalar {
  uint32_t value = 0;
  CharKind kind = CharKind::kSpace;  // behind the end nothing continues a word
  size_t end = 0;
  bool exists = false;

  bool IsNewline() const { return exists && (value == '\r' || value == '\n'); }
  bool Is(CharKind wanted) const { return exists && kind == wanted; }
};

std::array<CharKind, 128> AsciiKinds() {
  std::array<CharKind, 128> kinds;
  for (uint32_t c = 0; c < 128; ++c) kinds[c] = KindOf(c);
  return kinds;
}
const std::array<CharKind, 128> kAsciiKinds = AsciiKinds();

inline Scalar At(std::string_view text, size_t at) {
  if (at >= text.size()) return {.end = at};
  const uint8_t byte = static_cast<uint8_t>(text[at]);
  if (byte < 128) return {byte, kAsciiKinds[byte], at + 1, true};
  const uint32_t value = NextScalar(text, &at);
  return {value, KindOf(value), at, true};
}

size_t SkipKind(std::string_view text, size_t at, CharKind kind) {
  while (true) {
    const Scalar next = At(text, at);
    if (!next.Is(kind)) return at;
    at = next.end;
  }
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d) behind the apostrophe; 0: no match.
size_t ContractionEnd(std::string_view text, size_t at) {
  const Scalar first = At(text, at);
  if (!first.exists) return 0;
  const uint32_t lower = first.value | 0x20;
  if (first.value >= 128) return first.value == kLongS ? first.end : 0;
  if (lower == 's' || lower == 't' || lower == 'm' || lower == 'd') return first.end;
  const Scalar second = At(text, first.end);
  if (!second.exists || second.value >= 128) return 0;
  const uint32_t wanted = lower == 'r' || lower == 'v' ? 'e' : lower == 'l' ? 'l' : 0;
  return (second.value | 0x20) == wanted ? second.end : 0;
}

// \s*[\r\n]+|\s+(?!\S)|\s+ at white space.
size_t SpaceEnd(std::string_view text, size_t at) {
  size_t after_newline = 0;  // behind the last newline of the run
  size_t last_start = at;    // where the run's last scalar begins
  size_t end = at;
  while (true) {
    const Scalar next = At(text, end);
    if (!next.Is(CharKind::kSpace)) break;
    last_start = end;
    end = next.end;
    if (next.IsNewline()) after_newline = end;
  }
  if (after_newline) return after_newline;
  if (end == text.size() || last_start == at) return end;
  return last_start;  // leaves one scalar of white space to the word that follows
}

}  // namespace

size_t WordEnd(std::string_view text, size_t at) {
  const Scalar first = At(text, at);
  if (first.kind == CharKind::kLetter) return SkipKind(text, first.end, CharKind::kLetter);
  if (first.kind == CharKind::kNumber) return first.end;
  if (first.value == '\'') {
    if (const size_t end = ContractionEnd(text, first.end)) return end;
  }
  const Scalar second = At(text, first.end);
  if (second.Is(CharKind::kLetter) && !first.IsNewline())
    return SkipKind(text, second.end, CharKind::kLetter);
  if (first.kind == CharKind::kOther || (first.value == ' ' && second.Is(CharKind::kOther))) {
    size_t end = SkipKind(text, first.end, CharKind::kOther);
    while (end < text.size() && (text[end] == '\r' || text[end] == '\n')) ++end;
    return end;
  }
  return SpaceEnd(text, at);
}

}  // namespace nextgate::engine
