#include "cache/semantic/text_pieces.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "cache/semantic/word_tables.h"

namespace nextgate::cache {
namespace {

enum class CharKind {
  kSpace,
  kLetter,
  kHan,
  kDigit,
  kApostrophe,
  kQuote,
  kHyphen,
  kComma,
  kStop,
  kSign
};

struct Char {
  int32_t code = 0;
  CharKind kind = CharKind::kSpace;
  bool capital = false;
  std::string_view bytes;  // of the normalised text
};

bool IsOneOf(int32_t code, std::u32string_view set) {
  return set.find(static_cast<char32_t>(code)) != std::u32string_view::npos;
}

bool IsHan(int32_t code) {
  return (code >= 0x3400 && code <= 0x4DBF) || (code >= 0x4E00 && code <= 0x9FFF) ||
         (code >= 0xF900 && code <= 0xFAFF) || (code >= 0x20000 && code <= 0x3FFFF) ||
         code == 0x3007;
}

// Below U+0250, and what extends it. The letters of others are not compared.
bool IsLatin(int32_t code) {
  return code < 0x250 || (code >= 0x1E00 && code <= 0x1EFF) || (code >= 0x300 && code <= 0x36F);
}

CharKind KindOf(int32_t code) {
  if (IsHan(code)) return CharKind::kHan;
  if (code >= '0' && code <= '9') return CharKind::kDigit;
  if (IsOneOf(code, U"'’ʼ`´‘")) return CharKind::kApostrophe;
  if (IsOneOf(code, U"\"“”„«»「」『』《》")) return CharKind::kQuote;
  if (IsOneOf(code, U"-‐‑‒–—−")) return CharKind::kHyphen;
  if (IsOneOf(code, U",;:、，；：()[]{}（）【】")) return CharKind::kComma;
  if (IsOneOf(code, U".!?。！？…\n·~")) return CharKind::kStop;
  switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return CharKind::kLetter;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
      return CharKind::kSpace;
    default:
      return code == '@' || code == '_' ? CharKind::kSpace : CharKind::kSign;
  }
}

struct Free {
  void operator()(void* p) const { std::free(p); }
};
using Normalised = std::unique_ptr<utf8proc_uint8_t, Free>;

class Cutter {
 public:
  explicit Cutter(std::string_view text) : text_(text) {}

  Pieces Cut() {
    Decode();
    while (at_ < chars_.size()) TakeOne();
    return std::move(out_);
  }

 private:
  void Decode();
  void TakeOne();
  void TakeNumber();
  void TakeWord();
  void TakeHan();
  void Add(PieceKind kind, std::string text);
  void Note(const Char& c);
  CharKind KindAt(size_t at) const {
    return at < chars_.size() ? chars_[at].kind : CharKind::kSpace;
  }
  bool IsJoin(size_t at) const;  // "node.js", "3.5"

  std::string_view text_;
  std::vector<Char> chars_;
  size_t at_ = 0;
  bool sentence_begins_ = true, quoted_ = false;
  bool capital_ = false, all_caps_ = false;
  Pieces out_;
};

void Cutter::Decode() {
  const auto* at = reinterpret_cast<const utf8proc_uint8_t*>(text_.data());
  for (size_t i = 0; i < text_.size();) {
    Char c;
    const utf8proc_ssize_t size =
        utf8proc_iterate(at + i, static_cast<utf8proc_ssize_t>(text_.size() - i), &c.code);
    if (size <= 0) break;  // not after utf8proc_map
    c.bytes = text_.substr(i, size);
    c.kind = KindOf(c.code);
    c.capital = utf8proc_category(c.code) == UTF8PROC_CATEGORY_LU;
    chars_.push_back(c);
    i += size;
  }
}

void AppendLower(std::string* out, const Char& c) {
  utf8proc_uint8_t bytes[4];
  const utf8proc_ssize_t size = utf8proc_encode_char(utf8proc_tolower(c.code), bytes);
  out->append(reinterpret_cast<const char*>(bytes), size);
}

void Cutter::Add(PieceKind kind, std::string text) {
  const bool mark = kind == PieceKind::kComma || kind == PieceKind::kStop;
  out_.pieces.push_back({.kind = kind,
                         .text = std::move(text),
                         .capital = capital_,
                         .all_caps = all_caps_,
                         .first = sentence_begins_ && !mark,
                         .quoted = quoted_ && !mark});
  if (kind == PieceKind::kStop) sentence_begins_ = true;
  if (!mark) sentence_begins_ = false;
  capital_ = all_caps_ = false;
}

void Cutter::Note(const Char& c) {
  if (c.kind == CharKind::kHan)
    ++out_.han;
  else if (c.kind == CharKind::kLetter && IsLatin(c.code))
    ++out_.latin;
  else if (c.kind == CharKind::kLetter)
    ++out_.other;
}

bool Cutter::IsJoin(size_t at) const {
  const int32_t code = chars_[at].code;
  const CharKind next = KindAt(at + 1);
  if (chars_[at - 1].kind == CharKind::kDigit)
    return IsOneOf(code, U".,:") && next == CharKind::kDigit;
  return code == '.' && (next == CharKind::kLetter || next == CharKind::kDigit) &&
         !chars_[at + 1].capital;
}

// Digits, and the letters that follow at once. The commas of thousands go.
void Cutter::TakeNumber() {
  std::string text;
  while (at_ < chars_.size()) {
    const Char& c = chars_[at_];
    const bool join = !text.empty() && IsJoin(at_);
    if (c.kind != CharKind::kDigit && c.kind != CharKind::kLetter && !join) break;
    Note(c);
    if (c.code != ',') AppendLower(&text, c);
    ++at_;
  }
  Add(PieceKind::kNumber, std::move(text));
}

void Cutter::TakeWord() {
  std::string text;
  size_t letters = 0, capitals = 0;
  capital_ = chars_[at_].capital;
  while (at_ < chars_.size()) {
    const Char& c = chars_[at_];
    const bool letter = c.kind == CharKind::kLetter || c.kind == CharKind::kDigit;
    const bool apostrophe =
        c.kind == CharKind::kApostrophe && !text.empty() && KindAt(at_ + 1) == CharKind::kLetter;
    const bool plus = !text.empty() && (c.code == '+' || c.code == '#') &&
                      KindAt(at_ + 1) != CharKind::kLetter && KindAt(at_ + 1) != CharKind::kDigit;
    if (!letter && !apostrophe && !plus && (text.empty() || !IsJoin(at_))) break;
    Note(c);
    if (c.kind == CharKind::kLetter) {
      ++letters;
      capitals += c.capital ? 1 : 0;
    }
    if (apostrophe)
      text.push_back('\'');
    else
      AppendLower(&text, c);
    ++at_;
  }
  all_caps_ = letters >= 2 && capitals == letters;
  Add(PieceKind::kWord, std::move(text));
}

void Cutter::TakeHan() {
  const char* const begin = chars_[at_].bytes.data();
  const size_t left = text_.data() + text_.size() - begin;
  size_t size = std::max(ChinesePrefix({begin, left}), chars_[at_].bytes.size());
  // 不同意 is not 不同: a negation stands alone if what it negates is the longer word.
  const size_t one = chars_[at_].bytes.size();
  const bool negates = RoleOf(chars_[at_].bytes) == WordRole::kNegator;
  if (negates && size > one && one + ChinesePrefix({begin + one, left - one}) > size) size = one;
  Add(PieceKind::kHan, std::string(begin, size));
  while (at_ < chars_.size() && chars_[at_].bytes.data() < begin + size) Note(chars_[at_++]);
}

void Cutter::TakeOne() {
  const Char& c = chars_[at_];
  switch (c.kind) {
    case CharKind::kLetter:
      return TakeWord();
    case CharKind::kDigit:
      return TakeNumber();
    case CharKind::kHan:
      return TakeHan();
    case CharKind::kQuote:
      quoted_ = !quoted_;
      break;
    case CharKind::kComma:
      Add(PieceKind::kComma, {});
      break;
    case CharKind::kStop:
      if (c.code == '.' && KindAt(at_ + 1) == CharKind::kLetter && !chars_[at_ + 1].capital &&
          (at_ == 0 || KindAt(at_ - 1) == CharKind::kSpace))
        break;  // ".net"
      Add(PieceKind::kStop, {});
      break;
    case CharKind::kHyphen: {
      // A minus or a range; within words it is nothing.
      if (KindAt(at_ + 1) == CharKind::kDigit && (at_ == 0 || KindAt(at_ - 1) != CharKind::kLetter))
        Add(PieceKind::kSign, "-");
      break;
    }
    case CharKind::kSign:
      if (c.code != '/' || KindAt(at_ + 1) == CharKind::kDigit)
        Add(PieceKind::kSign, std::string(c.bytes));
      break;
    case CharKind::kSpace:
    case CharKind::kApostrophe:
      break;
  }
  ++at_;
}

// UTF-8 with no more than 30 combining marks in a row (Unicode's stream-safe text): sorting them takes the
// square of their number.
bool IsSane(std::string_view text) {
  constexpr int kMarksMax = 30;
  const auto* at = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  int marks = 0;
  for (size_t i = 0; i < text.size();) {
    int32_t code = 0;
    const utf8proc_ssize_t size =
        utf8proc_iterate(at + i, static_cast<utf8proc_ssize_t>(text.size() - i), &code);
    if (size <= 0) return false;
    marks = utf8proc_get_property(code)->combining_class != 0 ? marks + 1 : 0;
    if (marks > kMarksMax) return false;
    i += size;
  }
  return true;
}

}  // namespace

std::optional<Pieces> CutText(std::string_view text) {
  if (text.empty()) return Pieces{};
  if (!IsSane(text)) return std::nullopt;
  utf8proc_uint8_t* bytes = nullptr;
  const utf8proc_ssize_t size = utf8proc_map(
      reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
      static_cast<utf8proc_ssize_t>(text.size()), &bytes,
      static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT));
  const Normalised owned(bytes);
  if (size < 0) return std::nullopt;
  return Cutter({reinterpret_cast<const char*>(bytes), static_cast<size_t>(size)}).Cut();
}

}  // namespace nextgate::cache
