#include "engine/encoder/bert_normalizer.h"

#include <algorithm>
#include <cstdint>
#include <span>

#include "engine/encoder/bert_tables.h"
#include "engine/tokenizer/unicode.h"
#include "engine/tokenizer/utf8.h"

namespace nextgate::engine {
namespace {

uint32_t ClassOf(uint32_t scalar) {
  const std::span ranges(kBertClassRanges, kBertClassRangesCount);
  const auto at = std::ranges::lower_bound(ranges, scalar, {}, &BertClassRange::last);
  return at == ranges.end() || scalar < at->first ? 0 : at->value;
}

void AppendLower(uint32_t scalar, std::string* out) {
  const std::span ranges(kLowerCaseRanges, kLowerCaseRangesCount);
  const auto at = std::ranges::lower_bound(ranges, scalar, {}, &LowerCaseRange::last);
  if (at == ranges.end() || scalar < at->first || (scalar - at->first) % at->step != 0)
    return AppendUtf8(scalar, out);
  AppendUtf8(scalar - at->first + at->to, out);
  if (at->second != 0) AppendUtf8(at->second, out);
}

std::string Clean(std::string_view text, bool clean, bool separate_chinese) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  for (size_t at = 0; at < text.size();) {
    const uint32_t scalar = NextScalar(text, &at);
    const uint32_t what = ClassOf(scalar);
    if (clean && (what & kBertRemoved)) continue;
    if (separate_chinese && (what & kBertChinese)) {
      out += ' ';
      AppendUtf8(scalar, &out);
      out += ' ';
    } else {
      AppendUtf8(clean && (what & kBertToSpace) ? ' ' : scalar, &out);
    }
  }
  return out;
}

std::string WithoutMarks(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const uint32_t scalar = NextScalar(text, &at);
    if (!(ClassOf(scalar) & kBertMark)) AppendUtf8(scalar, &out);
  }
  return out;
}

std::string Lower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) AppendLower(NextScalar(text, &at), &out);
  return out;
}

}  // namespace

std::string BertNormalizer::Normalize(std::string_view text) const {
  std::string out(text);
  if (clean_text || handle_chinese_chars) out = Clean(out, clean_text, handle_chinese_chars);
  if (strip_accents && AsciiPrefix(out) < out.size()) out = WithoutMarks(NormalizeNfd(out));
  if (lowercase) out = Lower(out);
  return out;
}

std::vector<std::string_view> BertWords(std::string_view text) {
  std::vector<std::string_view> words;
  size_t begin = 0;  // of the word that is being read
  const auto end_word = [&](size_t end) {
    if (end > begin) words.push_back(text.substr(begin, end - begin));
  };
  for (size_t at = 0; at < text.size();) {
    const size_t here = at;
    const uint32_t what = ClassOf(NextScalar(text, &at));
    if (!(what & (kBertSplits | kBertPunctuation))) continue;
    end_word(here);
    begin = here;
    if (what & kBertPunctuation) end_word(at);
    begin = at;
  }
  end_word(text.size());
  return words;
}

}  // namespace nextgate::engine
