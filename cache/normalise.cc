#include "cache/normalise.h"

#include <utf8proc.h>

#include <algorithm>
#include <span>
#include <utility>

#include "cache/last_question.h"

namespace nextgate::cache {
namespace {

using Why = Unnormalisable;

// Words that mean something else with a capital letter. As first words they keep their case, since it may
// be their own or their sentence's.
constexpr std::string_view kTwoMeanings[] = {
    "access",  "amazon",  "apple",   "art",     "august", "bill",    "bob",    "catholic", "chile",
    "china",   "cologne", "dean",    "dodge",   "duke",   "earl",    "earth",  "excel",    "faith",
    "ford",    "frank",   "gap",     "georgia", "go",     "grace",   "guinea", "hope",     "jack",
    "japan",   "java",    "jersey",  "job",     "jordan", "liberal", "lima",   "march",    "mark",
    "mars",    "may",     "mercury", "meta",    "mobile", "moon",    "nice",   "office",   "oracle",
    "outlook", "pat",     "polish",  "python",  "ray",    "reading", "rich",   "rob",      "rose",
    "ruby",    "rust",    "scala",   "shell",   "sue",    "sun",     "swift",  "target",   "teams",
    "turkey",  "visa",    "will",    "windows", "word",
};

// With these a text is a question whatever stands at its end. Not "do", "have", "will" …: "Do it."
constexpr std::string_view kQuestionWords[] = {
    "am",      "are",  "aren",  "can",  "could", "couldn", "did",  "didn",  "does",
    "doesn",   "had",  "hadn",  "has",  "hasn",  "how",    "is",   "isn",   "should",
    "shouldn", "was",  "wasn",  "were", "weren", "what",   "when", "where", "which",
    "who",     "whom", "whose", "why",  "would", "wouldn",
};
constexpr std::string_view kQuestionAnywhere[] = {
    "为什么", "為什麼", "什么是", "什麼是", "是什么", "是什麼", "怎么", "怎麼", "怎样",
    "怎樣",   "如何",   "是否",   "哪里",   "哪裡",   "哪个",   "哪個", "是谁", "是誰",
};
constexpr std::string_view kQuestionEnds[] = {"吗", "嗎", "呢", "か"};

enum class Kind { kLetter, kSpace, kMark, kDash, kOpen, kClose, kWide, kApostrophe };

struct Char {
  int32_t code = 0;
  Kind kind = Kind::kLetter;
  utf8proc_category_t category = UTF8PROC_CATEGORY_CN;
};

bool Among(std::span<const std::string_view> list, std::string_view word) {
  return std::ranges::find(list, word) != list.end();
}

bool IsOneOf(int32_t code, std::u32string_view set) {
  return set.find(static_cast<char32_t>(code)) != std::u32string_view::npos;
}

std::expected<Kind, Why> KindOf(int32_t code, utf8proc_category_t category) {
  if (code == 0x130 || code == 0x131) return std::unexpected(Why::kCase);  // another i in Turkish
  switch (category) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
      return Kind::kLetter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return std::unexpected(Why::kDigits);
    case UTF8PROC_CATEGORY_ZS:
      return Kind::kSpace;
    default:
      break;
  }
  if (code == '\t') return Kind::kSpace;
  if (IsOneOf(code, U"\n\r\v\f\x85\x2028\x2029")) return std::unexpected(Why::kLineBreak);
  if (IsOneOf(code, U".,!?:;")) return Kind::kMark;
  if (IsOneOf(code, U"-–—")) return Kind::kDash;
  if (code == '(') return Kind::kOpen;
  if (code == ')') return Kind::kClose;
  if (IsOneOf(code, U"…、，。！？：；（）¿¡")) return Kind::kWide;
  if (IsOneOf(code, U"'’")) return Kind::kApostrophe;
  if (IsOneOf(code, U"\"‘‚‛′″「」『』《》〈〉") || category == UTF8PROC_CATEGORY_PI ||
      category == UTF8PROC_CATEGORY_PF || (category == UTF8PROC_CATEGORY_PS && code == 0x201e))
    return std::unexpected(Why::kQuotes);
  return std::unexpected(Why::kCode);
}

// The characters, trimmed, with each run of spaces as one.
std::expected<std::vector<Char>, Why> Read(std::string_view text) {
  constexpr std::string_view kBlank = " \t\n\r";
  const size_t from = std::min(text.find_first_not_of(kBlank), text.size());
  text.remove_prefix(from);
  text = text.substr(0, text.find_last_not_of(kBlank) + 1);
  std::vector<Char> chars;
  const auto* at = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  auto left = static_cast<utf8proc_ssize_t>(text.size());
  while (left > 0) {
    Char c;
    const utf8proc_ssize_t size = utf8proc_iterate(at, left, &c.code);
    if (size <= 0) return std::unexpected(Why::kCode);
    at += size;
    left -= size;
    c.category = utf8proc_category(c.code);
    const auto kind = KindOf(c.code, c.category);
    if (!kind) return std::unexpected(kind.error());
    c.kind = *kind;
    if (c.kind == Kind::kSpace) {
      c.code = ' ';
      if (chars.empty() || chars.back().kind == Kind::kSpace) continue;
    }
    chars.push_back(c);
  }
  while (!chars.empty() && chars.back().kind == Kind::kSpace) chars.pop_back();
  return chars;
}

// Takes the punctuation at the end; true if it asked. "..." stays: something is left out there.
bool TakeEnd(std::vector<Char>& chars) {
  size_t end = chars.size();
  bool asks = false;
  int dots = 0;
  for (; end > 0; --end) {
    const int32_t code = chars[end - 1].code;
    if (!IsOneOf(code, U".!?。！？ ")) break;
    asks = asks || IsOneOf(code, U"?？");
    if (IsOneOf(code, U".。")) ++dots;
  }
  if (dots > 1 || (end > 0 && chars[end - 1].code == U'…')) return false;
  chars.resize(end);
  return asks;
}

// Punctuation where prose has none belongs to code, names of files, options …
bool IsProse(const std::vector<Char>& chars) {
  const auto kind = [&](size_t i) { return i < chars.size() ? chars[i].kind : Kind::kSpace; };
  for (size_t i = 0; i < chars.size(); ++i) {
    const Kind before = i > 0 ? chars[i - 1].kind : Kind::kSpace, after = kind(i + 1);
    switch (chars[i].kind) {
      case Kind::kMark:
        if (before == Kind::kSpace || before == Kind::kOpen || before == Kind::kDash) return false;
        if (after != Kind::kSpace && after != Kind::kMark && after != Kind::kClose) return false;
        break;
      case Kind::kDash:
        if ((before == Kind::kLetter) != (after == Kind::kLetter)) return false;
        if (before == Kind::kDash || after == Kind::kDash) return false;
        break;
      case Kind::kOpen:
        if (before != Kind::kSpace || after != Kind::kLetter) return false;
        break;
      case Kind::kClose:
        if (after == Kind::kLetter) return false;
        break;
      default:
        break;
    }
  }
  return true;
}

std::string Utf8(std::span<const Char> chars) {
  std::string out;
  for (const Char& c : chars) {
    utf8proc_uint8_t bytes[4];
    out.append(reinterpret_cast<const char*>(bytes),
               static_cast<size_t>(utf8proc_encode_char(c.code, bytes)));
  }
  return out;
}

std::string Lower(std::span<const Char> word) {
  std::vector<Char> lower(word.begin(), word.end());
  for (Char& c : lower) c.code = utf8proc_tolower(c.code);
  return Utf8(lower);
}

bool IsUpper(const Char& c) {
  return c.category == UTF8PROC_CATEGORY_LU || c.category == UTF8PROC_CATEGORY_LT;
}

// How much a capital letter says that comes next.
enum class Capital { kNothing, kUnknown, kMuch };

Capital After(const Char& c, Capital before) {
  if (IsOneOf(c.code, U"!?！？。")) return Capital::kNothing;
  if (IsOneOf(c.code, U".:;…：；(（)）")) return Capital::kUnknown;  // perhaps an abbreviation
  return c.kind == Kind::kSpace || IsOneOf(c.code, U"¿¡") ? before : Capital::kMuch;
}

// Brings the word's case to what does not depend on its place; false if it may be its meaning.
bool FoldWord(std::span<Char> word, Capital says) {
  const auto stem_end = std::ranges::find_if(
      word, [](const Char& c) { return c.kind == Kind::kApostrophe || c.kind == Kind::kDash; });
  const std::span<const Char> stem(word.begin(), stem_end);  // of "China's"
  const bool pronoun =
      word[0].code == 'I' && (word.size() == 1 || word[1].kind == Kind::kApostrophe);
  if (std::any_of(word.begin() + 1, word.end(), IsUpper)) return false;
  if (pronoun || !IsUpper(word[0])) return true;
  if (says == Capital::kMuch || word[0].category == UTF8PROC_CATEGORY_LT) return false;
  if (says == Capital::kNothing && stem.size() > 1 && !Among(kTwoMeanings, Lower(stem)))
    word[0].code = utf8proc_tolower(word[0].code);
  return true;
}

// Whether the last sentence is a question by its words.
bool IsQuestion(std::string_view text) {
  for (const std::string_view end : {". ", "! ", "? ", "。", "！", "？"})
    if (const size_t at = text.rfind(end); at != std::string_view::npos)
      text.remove_prefix(at + end.size());
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  std::string first(text.substr(0, std::min(text.find_first_of(" '-,"), text.find("’"))));
  if (!first.empty() && first[0] >= 'A' && first[0] <= 'Z') first[0] += 'a' - 'A';
  if (Among(kQuestionWords, first)) return true;
  return std::ranges::any_of(kQuestionAnywhere, [&](auto part) { return text.contains(part); }) ||
         std::ranges::any_of(kQuestionEnds, [&](auto part) { return text.ends_with(part); });
}

}  // namespace

std::string_view UnnormalisableCode(Unnormalisable why) {
  constexpr std::string_view kCodes[] = {"not_chat", "not_one_text", "prompt_matters",
                                         "empty",    "digits",       "quotes",
                                         "code",     "line_break",   "case"};
  return kCodes[static_cast<size_t>(why)];
}

std::expected<std::string, Unnormalisable> NormaliseText(std::string_view text) {
  auto chars = Read(text);
  if (!chars) return std::unexpected(chars.error());
  const bool asks = TakeEnd(*chars);
  for (size_t i = 0; i < chars->size(); ++i) {
    if ((*chars)[i].kind != Kind::kApostrophe) continue;
    const bool inside = i > 0 && i + 1 < chars->size() && (*chars)[i - 1].kind == Kind::kLetter &&
                        (*chars)[i + 1].kind == Kind::kLetter;
    if (!inside) return std::unexpected(Why::kQuotes);
  }
  if (!IsProse(*chars)) return std::unexpected(Why::kCode);
  const auto in_word = [&](size_t i) {
    const Kind kind = (*chars)[i].kind;
    return kind == Kind::kLetter || kind == Kind::kApostrophe ||
           (kind == Kind::kDash && i > 0 && (*chars)[i - 1].kind == Kind::kLetter);
  };
  Capital says = Capital::kNothing;
  bool letters = false;
  for (size_t i = 0; i < chars->size();) {
    if ((*chars)[i].kind != Kind::kLetter) {
      says = After((*chars)[i++], says);
      continue;
    }
    const size_t begin = i;
    while (i < chars->size() && in_word(i)) ++i;
    if (!FoldWord(std::span(*chars).subspan(begin, i - begin), says))
      return std::unexpected(Why::kCase);
    says = Capital::kMuch;
    letters = true;
  }
  if (!letters) return std::unexpected(Why::kEmpty);
  std::string normalised = Utf8(*chars);
  if (asks && !IsQuestion(normalised)) normalised += '?';
  return normalised;
}

std::expected<std::string, Unnormalisable> NormalisedMaterial(std::string_view material) {
  auto question = TakeLastQuestion(material);
  if (!question) return std::unexpected(static_cast<Why>(question.error()));
  auto normalised = NormaliseText(question->text);
  if (!normalised) return std::unexpected(normalised.error());
  std::string out = std::move(question->rest);
  out += '\n';  // which the JSON has nowhere
  return out += *normalised;
}

std::expected<CacheKey, Unnormalisable> NormalisedKey(std::string_view material) {
  auto normalised = NormalisedMaterial(material);
  if (!normalised) return std::unexpected(normalised.error());
  const Hash128 hash = HashBytes(*normalised);
  return CacheKey{.hash = hash, .material = std::move(*normalised)};
}

AliasTable::AliasTable(size_t entries_max) : rows_((entries_max + kRow - 1) / kRow) {}

size_t AliasTable::RowOf(const Hash128& normalised) const {
  return static_cast<size_t>(normalised.low % rows_) * kRow;
}

void AliasTable::Put(const Hash128& normalised, const Hash128& entry) {
  if (rows_ == 0) return;
  const std::lock_guard lock(mutex_);
  if (aliases_.empty()) aliases_.resize(rows_ * kRow);
  const auto row = std::span(aliases_).subspan(RowOf(normalised), kRow);
  const auto known = std::ranges::find(row, normalised, &Alias::normalised);
  const auto last = known == row.end() ? row.end() - 1 : known;
  std::move_backward(row.begin(), last, last + 1);
  row.front() = {.normalised = normalised, .entry = entry};
}

std::optional<Hash128> AliasTable::Find(const Hash128& normalised) const {
  const std::lock_guard lock(mutex_);
  if (aliases_.empty()) return std::nullopt;
  const auto row = std::span(aliases_).subspan(RowOf(normalised), kRow);
  const auto known = std::ranges::find(row, normalised, &Alias::normalised);
  if (known == row.end()) return std::nullopt;
  return known->entry;
}

}  // namespace nextgate::cache
