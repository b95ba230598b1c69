#include "gateway/chat_template_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "gateway/chat_template_limits.h"

namespace nextgate::gateway {
namespace {

// Python's str.isspace: bidirectional class WS, B or S, or category Zs.
bool IsSpace(char32_t c) {
  if (c <= 0x20) return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

char32_t CodePointAt(std::string_view text, size_t at, size_t length) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[at + i]); };
  if (length == 1) return byte(0);
  char32_t c = byte(0) & (0xFF >> (length + 1));
  for (size_t i = 1; i < length; ++i) c = (c << 6) | (byte(i) & 0x3F);
  return c;
}

// The start of the code point that ends before `end`.
size_t PreviousCodePoint(std::string_view text, size_t end) {
  size_t at = end - 1;
  while (at > 0 && end - at < 4 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return CodePointLength(text, at) == end - at ? at : end - 1;
}

template <class Matches>
StripRange StripIf(std::string_view text, bool left, bool right, const Matches& matches) {
  size_t begin = 0;
  size_t end = text.size();
  while (left && begin < end) {
    const size_t length = CodePointLength(text, begin);
    if (!matches(text.substr(begin, length), begin, length)) break;
    begin += length;
  }
  while (right && end > begin) {
    const size_t at = PreviousCodePoint(text, end);
    if (!matches(text.substr(at, end - at), at, end - at)) break;
    end = at;
  }
  return {begin, end};
}

}  // namespace

void Slicer::Append(jinja::string& out, size_t begin, size_t end) {
  if (begin < part_begin_) part_ = part_begin_ = 0;
  const auto& parts = source_->parts;
  while (begin < end && part_ < parts.size()) {
    const std::string& text = parts[part_].val;
    const size_t part_end = part_begin_ + text.size();
    if (begin < part_end) {
      const size_t stop = std::min(end, part_end);
      AppendMarked(out, std::string_view(text).substr(begin - part_begin_, stop - begin),
                   parts[part_].is_input);
      begin = stop;
    }
    if (begin < end || begin == part_end) {
      part_begin_ = part_end;
      ++part_;
    }
  }
}

jinja::string Slicer::Slice(size_t begin, size_t end) {
  jinja::string out;
  Append(out, begin, end);
  return out;
}

void AppendMarked(jinja::string& out, std::string_view text, int mark) {
  if (text.empty()) return;
  RenderBudget::ChargeText(text.size());
  if (!out.parts.empty() && out.parts.back().is_input == mark)
    out.parts.back().val.append(text);
  else
    out.parts.push_back({mark, std::string(text)});
}

size_t CodePointLength(std::string_view text, size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  const size_t length = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF8 ? 4 : 1;
  return std::min(length, text.size() - at);
}

size_t CountCodePoints(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

StripRange Strip(std::string_view text, bool left, bool right) {
  return StripIf(text, left, right, [&](std::string_view, size_t at, size_t length) {
    return IsSpace(CodePointAt(text, at, length));
  });
}

StripRange Strip(std::string_view text, bool left, bool right, std::string_view chars) {
  return StripIf(text, left, right, [&](std::string_view one, size_t, size_t) {
    for (size_t i = 0; i < chars.size(); i += CodePointLength(chars, i))
      if (chars.substr(i, CodePointLength(chars, i)) == one) return true;
    return false;
  });
}

Ranges Split(std::string_view text, std::string_view separator, int64_t maxsplit) {
  Ranges ranges;
  size_t begin = 0;
  for (; maxsplit != 0; --maxsplit) {
    const size_t at = text.find(separator, begin);
    if (at == std::string_view::npos) break;
    ranges.emplace_back(begin, at);
    begin = at + separator.size();
  }
  ranges.emplace_back(begin, text.size());
  return ranges;
}

Ranges RSplit(std::string_view text, std::string_view separator, int64_t maxsplit) {
  Ranges ranges;
  size_t end = text.size();
  for (; maxsplit != 0 && end >= separator.size(); --maxsplit) {
    const size_t at = text.rfind(separator, end - separator.size());
    if (at == std::string_view::npos) break;
    ranges.emplace_back(at + separator.size(), end);
    end = at;
  }
  ranges.emplace_back(0, end);
  std::reverse(ranges.begin(), ranges.end());
  return ranges;
}

Ranges SplitSpaces(std::string_view text, int64_t maxsplit) {
  Ranges ranges;
  size_t at = 0;
  const auto space = [&] { return IsSpace(CodePointAt(text, at, CodePointLength(text, at))); };
  while (true) {
    while (at < text.size() && space()) at += CodePointLength(text, at);
    if (at == text.size()) return ranges;
    const size_t begin = at;
    if (maxsplit-- == 0) {
      ranges.emplace_back(begin, text.size());
      return ranges;
    }
    while (at < text.size() && !space()) at += CodePointLength(text, at);
    ranges.emplace_back(begin, at);
  }
}

std::string PythonFloat(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  char buffer[32] = {};
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, std::abs(value), std::chars_format::scientific)
          .ptr;
  const std::string_view scientific(buffer, static_cast<size_t>(end - buffer));
  const size_t e = scientific.find('e');
  const int exponent = std::atoi(buffer + e + 1);
  std::string digits(1, buffer[0]);
  if (e > 2) digits += scientific.substr(2, e - 2);
  const std::string sign = std::signbit(value) ? "-" : "";
  const int count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {  // where Python's repr changes its form
    std::string out = sign + digits.substr(0, 1) + (count > 1 ? "." + digits.substr(1) : "") + "e";
    out += exponent < 0 ? "-" : "+";
    if (std::abs(exponent) < 10) out += "0";
    return out + std::to_string(std::abs(exponent));
  }
  if (exponent < 0)
    return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  if (count <= exponent + 1)
    return sign + digits + std::string(static_cast<size_t>(exponent + 1 - count), '0') + ".0";
  return sign + digits.substr(0, static_cast<size_t>(exponent) + 1) + "." +
         digits.substr(static_cast<size_t>(exponent) + 1);
}

}  // namespace nextgate::gateway
