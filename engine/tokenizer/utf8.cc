#include "engine/tokenizer/utf8.h"

#include <cstring>
#include <optional>

#include "engine/tokenizer/tokenizer.h"

namespace nextgate::engine {
namespace {

uint8_t Byte(std::string_view bytes, size_t i) { return static_cast<uint8_t>(bytes[i]); }

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

}  // namespace

Utf8Sequence ReadUtf8(std::string_view bytes) {
  using Kind = Utf8Sequence::Kind;
  const uint8_t lead = Byte(bytes, 0);
  if (lead < 0x80) return {Kind::kScalar, lead, 1};
  if (lead < 0xC2 || lead > 0xF4) return {Kind::kInvalid, 0, 1};
  const uint32_t need = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // The second byte's range excludes overlong forms, surrogates and what lies above U+10FFFF.
  const uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  uint32_t scalar = lead & (0x7Fu >> need);
  for (uint32_t i = 1; i < need; ++i) {
    if (i == bytes.size()) return {Kind::kIncomplete, 0, i};
    const uint8_t next = Byte(bytes, i);
    if (next < (i == 1 ? low : 0x80) || next > (i == 1 ? high : 0xBF))
      return {Kind::kInvalid, 0, i};
    scalar = scalar << 6 | (next & 0x3F);
  }
  return {Kind::kScalar, scalar, need};
}

uint32_t NextScalar(std::string_view text, size_t* at) {
  const size_t i = *at;
  const uint32_t lead = Byte(text, i);
  if (lead < 0x80) {
    *at = i + 1;
    return lead;
  }
  if (lead < 0xE0) {
    *at = i + 2;
    return (lead & 0x1F) << 6 | (Byte(text, i + 1) & 0x3F);
  }
  if (lead < 0xF0) {
    *at = i + 3;
    return (lead & 0x0F) << 12 | (Byte(text, i + 1) & 0x3Fu) << 6 | (Byte(text, i + 2) & 0x3F);
  }
  *at = i + 4;
  return (lead & 0x07) << 18 | (Byte(text, i + 1) & 0x3Fu) << 12 |
         (Byte(text, i + 2) & 0x3Fu) << 6 | (Byte(text, i + 3) & 0x3F);
}

void AppendUtf8(uint32_t scalar, std::string* out) {
  if (scalar < 0x80) {
    out->push_back(static_cast<char>(scalar));
    return;
  }
  const int tail = scalar < 0x800 ? 1 : scalar < 0x10000 ? 2 : 3;
  const uint32_t mark = tail == 1 ? 0xC0 : tail == 2 ? 0xE0 : 0xF0;
  out->push_back(static_cast<char>(mark | scalar >> (6 * tail)));
  for (int i = tail - 1; i >= 0; --i)
    out->push_back(static_cast<char>(0x80 | ((scalar >> (6 * i)) & 0x3F)));
}

size_t AppendValidUtf8(std::string_view bytes, bool whole, std::string* out) {
  size_t at = 0;
  while (at < bytes.size()) {
    const size_t ascii = AsciiPrefix(bytes.substr(at));
    out->append(bytes, at, ascii);
    at += ascii;
    if (at == bytes.size()) break;
    const Utf8Sequence next = ReadUtf8(bytes.substr(at));
    if (next.kind == Utf8Sequence::Kind::kScalar) {
      out->append(bytes, at, next.length);
    } else {
      if (next.kind == Utf8Sequence::Kind::kIncomplete && !whole) return at;
      out->append(kReplacement);
    }
    at += next.length;
  }
  return at;
}

size_t AsciiPrefix(std::string_view text) {
  size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t eight;
    std::memcpy(&eight, text.data() + i, 8);
    if (eight & 0x8080808080808080u) break;
  }
  while (i < text.size() && Byte(text, i) < 0x80) ++i;
  return i;
}

std::optional<size_t> FindInvalidUtf8(std::string_view text) {
  size_t at = 0;
  while (true) {
    at += AsciiPrefix(text.substr(at));
    if (at == text.size()) return std::nullopt;
    const Utf8Sequence next = ReadUtf8(text.substr(at));
    if (next.kind != Utf8Sequence::Kind::kScalar) return at;
    at += next.length;
  }
}

}  // namespace nextgate::engine
