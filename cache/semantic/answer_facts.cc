#include "cache/semantic/answer_facts.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/ascii.h"

namespace nextgate::cache {
namespace {

using Word = std::string_view;

constexpr std::array<std::pair<Word, Word>, 34> kNumberWords = {{
    {"zero", "0"},      {"one", "1"},         {"two", "2"},           {"three", "3"},
    {"four", "4"},      {"five", "5"},        {"six", "6"},           {"seven", "7"},
    {"eight", "8"},     {"nine", "9"},        {"ten", "10"},          {"eleven", "11"},
    {"twelve", "12"},   {"thirteen", "13"},   {"fourteen", "14"},     {"fifteen", "15"},
    {"sixteen", "16"},  {"seventeen", "17"},  {"eighteen", "18"},     {"nineteen", "19"},
    {"twenty", "20"},   {"thirty", "30"},     {"forty", "40"},        {"fifty", "50"},
    {"sixty", "60"},    {"seventy", "70"},    {"eighty", "80"},       {"ninety", "90"},
    {"hundred", "100"}, {"thousand", "1000"}, {"million", "1000000"}, {"twice", "2"},
    {"half", "0.5"},    {"dozen", "12"},
}};
// "one" is more often a pronoun than a number.
constexpr Word kPronounNumber = "one";

constexpr std::array<std::pair<Word, Word>, 10> kHanNumbers = {{
    {"两", "2"},
    {"二", "2"},
    {"三", "3"},
    {"四", "4"},
    {"五", "5"},
    {"六", "6"},
    {"七", "7"},
    {"八", "8"},
    {"九", "9"},
    {"十", "10"},
}};

constexpr std::array<Word, 24> kNegations = {
    "not",     "no",     "never", "cannot",  "without",  "none",    "neither", "nor",
    "nothing", "nobody", "isnt",  "arent",   "wasnt",    "werent",  "dont",    "doesnt",
    "didnt",   "cant",   "wont",  "couldnt", "shouldnt", "wouldnt", "mustnt",  "hasnt"};
constexpr std::array<Word, 5> kHanNegations = {"不", "没", "无", "未", "勿"};

constexpr std::array<std::pair<Word, Word>, 43> kOpposites = {{
    {"on", "off"},
    {"enable", "disable"},
    {"enabled", "disabled"},
    {"left", "right"},
    {"up", "down"},
    {"before", "after"},
    {"open", "close"},
    {"opens", "closes"},
    {"open", "closed"},
    {"start", "stop"},
    {"starts", "stops"},
    {"begins", "ends"},
    {"largest", "smallest"},
    {"larger", "smaller"},
    {"more", "less"},
    {"maximum", "minimum"},
    {"at most", "at least"},
    {"ascending", "descending"},
    {"north", "south"},
    {"east", "west"},
    {"positive", "negative"},
    {"raised", "lowered"},
    {"increased", "decreased"},
    {"increase", "decrease"},
    {"delete", "add"},
    {"deleted", "added"},
    {"online", "offline"},
    {"summer", "winter"},
    {"buy", "sell"},
    {"lock", "unlock"},
    {"block", "unblock"},
    {"freeze", "unfreeze"},
    {"accept", "reject"},
    {"allow", "deny"},
    {"allow", "forbid"},
    {"inside", "outside"},
    {"higher", "lower"},
    {"early", "late"},
    {"first", "last"},
    {"always", "never"},
    {"true", "false"},
    {"hot", "cold"},
    {"connect", "disconnect"},
}};
constexpr std::array<std::pair<Word, Word>, 8> kHanOpposites = {{
    {"开启", "关闭"},
    {"打开", "关闭"},
    {"左", "右"},
    {"提高", "降低"},
    {"前", "后"},
    {"增加", "减少"},
    {"最大", "最小"},
    {"允许", "禁止"},
}};

bool IsWordByte(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || (c & 0x80) != 0;
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Chinese and typographic punctuation, as UTF-8.
constexpr std::array<Word, 22> kWideMarks = {"，", "。", "、", "；", "：", "？", "！", "（",
                                             "）", "“",  "”",  "《", "》", "「", "」", "…",
                                             "—",  "–",  "·",  "【", "】", "　"};

std::string PlainMarks(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    if (text.substr(i).starts_with("’")) {
      out += '\'';
      i += Word("’").size();
      continue;
    }
    const auto* const mark = std::ranges::find_if(
        kWideMarks, [&](Word wide) { return text.substr(i).starts_with(wide); });
    if (mark != kWideMarks.end()) {
      out += *mark == "。" || *mark == "！" || *mark == "？" ? ". " : " ";
      i += mark->size();
    } else {
      out += text[i++];
    }
  }
  return out;
}

// "'s" at a word's end.
bool IsPossessive(std::string_view text) {
  return text.starts_with("'s") && (text.size() == 2 || !IsWordByte(text[2]));
}

struct Token {
  std::string word;  // lower case
  bool capital = false;
  bool first = false;  // of a sentence, or of a line
};

// Words without apostrophes, names without a possessive's s; a number keeps a point between digits and loses commas there.
std::vector<Token> TokensOf(std::string_view text) {
  std::vector<Token> tokens;
  bool first = true;
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (!IsWordByte(c)) {
      first = first || c == '.' || c == '!' || c == '?' || c == '\n' || c == ':';
      ++i;
      continue;
    }
    Token token{.word = {}, .capital = c >= 'A' && c <= 'Z', .first = first};
    first = false;
    for (; i < text.size(); ++i) {
      const bool between =
          i > 0 && i + 1 < text.size() && IsDigit(text[i - 1]) && IsDigit(text[i + 1]);
      if (token.capital && IsPossessive(text.substr(i))) {
        i += 2;
        break;
      }
      if (IsWordByte(text[i]) || (between && text[i] == '.'))
        token.word += text[i];
      else if (!(text[i] == '\'' || (between && text[i] == ',')))
        break;
    }
    token.word = AsciiLower(token.word);
    tokens.push_back(std::move(token));
  }
  return tokens;
}

void AddNumber(std::string digits, std::vector<std::string>& numbers) {
  if (digits.find('.') != std::string::npos) {
    while (digits.back() == '0') digits.pop_back();
    if (digits.back() == '.') digits.pop_back();
  }
  const size_t first = std::min(digits.find_first_not_of('0'), digits.size() - 1);
  numbers.push_back(digits.substr(first));
}

void ReadNumbers(const std::string& word, std::vector<std::string>& numbers) {
  const auto* const known =
      std::ranges::find(kNumberWords, Word(word), &std::pair<Word, Word>::first);
  if (known != kNumberWords.end() && word != kPronounNumber) numbers.emplace_back(known->second);
  for (size_t i = 0; i < word.size();) {
    if (!IsDigit(word[i])) {
      for (const auto& [han, digits] : kHanNumbers)
        if (Word(word).substr(i).starts_with(han)) numbers.emplace_back(digits);
      ++i;
      continue;
    }
    size_t end = i;
    while (end < word.size() && (IsDigit(word[end]) || word[end] == '.')) ++end;
    AddNumber(word.substr(i, end - i), numbers);
    i = end;
  }
}

int64_t NegationsIn(const std::string& word) {
  int64_t count = std::ranges::count(kNegations, Word(word));
  for (const Word han : kHanNegations)
    for (size_t at = word.find(han); at != std::string::npos; at = word.find(han, at + han.size()))
      ++count;
  return count;
}

template <class T>
void SortUnique(std::vector<T>& values) {
  std::ranges::sort(values);
  const auto rest = std::ranges::unique(values);
  values.erase(rest.begin(), rest.end());
}

bool HasWord(const std::string& text, Word word) {
  return (" " + text + " ").find(" " + std::string(word) + " ") != std::string::npos;
}

void ReadOpposites(StatedFacts& facts) {
  int pair = 0;
  for (const auto& [one, other] : kOpposites) {
    if (HasWord(facts.text, one)) facts.opposites.emplace_back(pair, false);
    if (HasWord(facts.text, other)) facts.opposites.emplace_back(pair, true);
    ++pair;
  }
  for (const auto& [one, other] : kHanOpposites) {
    if (facts.text.find(one) != std::string::npos) facts.opposites.emplace_back(pair, false);
    if (facts.text.find(other) != std::string::npos) facts.opposites.emplace_back(pair, true);
    ++pair;
  }
}

// Each name of `a` is somewhere in `b`.
bool NamesIn(const StatedFacts& a, const StatedFacts& b) {
  return std::ranges::all_of(
      a.names, [&](const std::string& name) { return b.text.find(name) != std::string::npos; });
}

// Of a pair of opposites each answer has one side, and not the same.
bool OppositesClash(const StatedFacts& a, const StatedFacts& b) {
  const auto has = [](const StatedFacts& facts, std::pair<int, bool> side) {
    return std::ranges::binary_search(facts.opposites, side);
  };
  return std::ranges::any_of(a.opposites, [&](std::pair<int, bool> side) {
    const std::pair<int, bool> other = {side.first, !side.second};
    return !has(a, other) && has(b, other) && !has(b, side);
  });
}

}  // namespace

StatedFacts FactsOf(std::string_view answer) {
  StatedFacts facts;
  for (const Token& token : TokensOf(PlainMarks(answer))) {
    if (!facts.text.empty()) facts.text += ' ';
    facts.text += token.word;
    ReadNumbers(token.word, facts.numbers);
    facts.negations += NegationsIn(token.word);
    const bool letters =
        std::ranges::any_of(token.word, [](char c) { return c >= 'a' && c <= 'z'; });
    const bool digits = std::ranges::any_of(token.word, IsDigit);
    if ((token.capital && !token.first && token.word.size() > 1) || (letters && digits))
      facts.names.push_back(token.word);
  }
  SortUnique(facts.numbers);
  SortUnique(facts.names);
  ReadOpposites(facts);
  SortUnique(facts.opposites);
  return facts;
}

std::optional<FactClash> ClashOf(const StatedFacts& a, const StatedFacts& b) {
  if (a.numbers != b.numbers) return FactClash::kNumbers;
  if (!NamesIn(a, b) || !NamesIn(b, a)) return FactClash::kNames;
  if ((a.negations > 0) != (b.negations > 0)) return FactClash::kNegation;
  if (OppositesClash(a, b)) return FactClash::kOpposites;
  return std::nullopt;
}

}  // namespace nextgate::cache
