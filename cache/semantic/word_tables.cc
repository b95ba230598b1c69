#include "cache/semantic/word_tables.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/check.h"
#include "cache/semantic/word_lists.h"

namespace nextgate::cache {
namespace {

using Words = std::unordered_map<std::string_view, std::string_view>;  // word, what its line says
using Sets = std::unordered_map<std::string, std::vector<int>>;        // stem, the lines it is in

constexpr size_t kChineseWordMax = 18;  // bytes: six characters

// Calls fn(first word, another word) for all but the first of every line.
template <class Fn>
void ForEachPair(std::string_view list, Fn fn) {
  while (!list.empty()) {
    std::string_view line = list.substr(0, list.find('\n'));
    list.remove_prefix(std::min(list.size(), line.size() + 1));
    std::string_view first;
    while (!line.empty()) {
      const std::string_view word = line.substr(0, line.find(' '));
      line.remove_prefix(std::min(line.size(), word.size() + 1));
      if (word.empty()) continue;
      if (first.empty())
        first = word;
      else
        fn(first, word);
    }
  }
}

template <class Fn>
void ForEachWord(std::string_view list, Fn fn) {
  while (!list.empty()) {
    const std::string_view word = list.substr(0, list.find_first_of(" \n"));
    list.remove_prefix(std::min(list.size(), word.size() + 1));
    if (!word.empty()) fn(word);
  }
}

template <class Fn>
void ForEachLine(std::string_view list, Fn fn) {
  while (!list.empty()) {
    const std::string_view line = list.substr(0, list.find('\n'));
    list.remove_prefix(std::min(list.size(), line.size() + 1));
    if (!line.empty()) fn(line);
  }
}

WordRole RoleNamed(std::string_view name) {
  if (name == "function") return WordRole::kFunction;
  if (name == "filler") return WordRole::kFiller;
  if (name == "light") return WordRole::kLight;
  CHECK(name == "negator");
  return WordRole::kNegator;
}

Closed ClosedNamed(std::string_view name) {
  static const std::unordered_map<std::string_view, Closed> kNames = {
      {"first", Closed::kFirstPerson},
      {"second", Closed::kSecondPerson},
      {"he", Closed::kThirdHe},
      {"she", Closed::kThirdShe},
      {"they", Closed::kThirdThey},
      {"past", Closed::kPast},
      {"present", Closed::kPresent},
      {"future", Closed::kFuture},
      {"may", Closed::kMay},
      {"must", Closed::kMust},
      {"who", Closed::kWho},
      {"when", Closed::kWhen},
      {"where", Closed::kWhere},
      {"why", Closed::kWhy},
      {"how", Closed::kHow},
      {"what", Closed::kWhat},
      {"which", Closed::kWhich},
      {"from", Closed::kFrom},
      {"to", Closed::kTo},
      {"than", Closed::kThan},
      {"by", Closed::kBy},
      {"hard", Closed::kHard},
      {"other", Closed::kOther},
  };
  const auto found = kNames.find(name);
  CHECK(found != kNames.end());
  return found->second;
}

// Everything that is in the lists, by word.
struct Tables {
  std::unordered_map<std::string_view, WordRole> roles;
  std::unordered_map<std::string_view, Closed> closed;
  Words numbers, units, currencies, dates;
  std::unordered_map<std::string_view, uint64_t> factors;
  std::unordered_set<std::string_view> doubtful_dates;
  Sets synonyms;   // the numbers of lines
  Sets opposites;  // twice the numbers of lines, + 1 on the right side
  std::unordered_set<std::string_view> chinese;

  Tables();

 private:
  void ReadRoles(std::string_view list);
  void ReadFactors(std::string_view list);
  void ReadSynonyms(std::string_view list);
  void ReadAntonyms(std::string_view list);

  int lines_ = 0;
};

bool IsAscii(std::string_view word) {
  return std::ranges::all_of(word, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

void Put(Sets* sets, std::string_view word, int line) {
  std::vector<int>& lines = (*sets)[IsAscii(word) ? StemOf(word) : std::string(word)];
  if (lines.empty() || lines.back() != line) lines.push_back(line);
}

void ReadWords(Words* words, std::string_view list) {
  ForEachPair(list,
              [&](std::string_view says, std::string_view word) { words->emplace(word, says); });
}

void Tables::ReadRoles(std::string_view list) {
  ForEachPair(list, [&](std::string_view name, std::string_view word) {
    roles.insert_or_assign(word, RoleNamed(name));
  });
}

void Tables::ReadFactors(std::string_view list) {
  ForEachPair(list, [&](std::string_view digits, std::string_view word) {
    uint64_t factor = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), factor);
    CHECK(factor > 1);
    factors.emplace(word, factor);
  });
}

void Tables::ReadSynonyms(std::string_view list) {
  ForEachLine(list, [&](std::string_view line) {
    ForEachWord(line, [&](std::string_view word) { Put(&synonyms, word, lines_); });
    ++lines_;
  });
}

void Tables::ReadAntonyms(std::string_view list) {
  ForEachLine(list, [&](std::string_view line) {
    const size_t bar = line.find('|');
    CHECK(bar != std::string_view::npos);
    ForEachWord(line.substr(0, bar),
                [&](std::string_view word) { Put(&opposites, word, 2 * lines_); });
    ForEachWord(line.substr(bar + 1),
                [&](std::string_view word) { Put(&opposites, word, 2 * lines_ + 1); });
    ++lines_;
  });
}

Tables::Tables() {
  ReadRoles(kRolesEnglish);
  ReadRoles(kRolesChinese);
  for (const std::string_view list : {kClosedEnglish, kClosedChinese})
    ForEachPair(list, [&](std::string_view name, std::string_view word) {
      closed.emplace(word, ClosedNamed(name));
    });
  ReadWords(&numbers, kNumbersEnglish);
  ReadWords(&numbers, kNumbersChinese);
  ReadFactors(kFactorsEnglish);
  ReadFactors(kFactorsChinese);
  ReadWords(&units, kUnitsEnglish);
  ReadWords(&units, kUnitsChinese);
  ReadWords(&currencies, kCurrenciesEnglish);
  ReadWords(&currencies, kCurrenciesChinese);
  ReadWords(&dates, kDatesEnglish);
  ReadWords(&dates, kDatesChinese);
  ForEachWord(kDoubtfulDates, [&](std::string_view word) { doubtful_dates.insert(word); });
  ReadSynonyms(kSynonymsEnglish);
  ReadSynonyms(kSynonymsChinese);
  ReadAntonyms(kAntonymsEnglish);
  ReadAntonyms(kAntonymsChinese);
  for (const std::string_view list :
       {kRolesChinese, kClosedChinese, kUnitsChinese, kCurrenciesChinese, kDatesChinese,
        kSynonymsChinese, kAntonymsChinese, kWordsChinese})
    ForEachWord(list, [&](std::string_view word) {
      if (word.size() > 3 && !IsAscii(word)) chinese.insert(word);
    });
}

const Tables& Get() {
  static const Tables tables;
  return tables;
}

template <class Map, class Value>
Value Find(const Map& map, std::string_view word, Value otherwise) {
  const auto found = map.find(word);
  return found == map.end() ? otherwise : found->second;
}

const std::vector<int>& LinesOf(const Sets& sets, std::string_view stem) {
  static const std::vector<int> kNone;
  const auto found = sets.find(std::string(stem));
  return found == sets.end() ? kNone : found->second;
}

// Of "stolen", "steal"; empty for others.
std::string_view BaseOf(std::string_view word) {
  static const Words bases = [] {
    Words words;
    ReadWords(&words, kIrregularEnglish);
    return words;
  }();
  return Find(bases, word, std::string_view());
}

bool IsVowel(char c) { return std::string_view("aeiou").find(c) != std::string_view::npos; }

bool HasVowel(std::string_view word) {
  return word.find_first_of("aeiouy") != std::string_view::npos;
}

bool EndsWithAny(std::string_view word, std::span<const std::string_view> ends) {
  return std::ranges::any_of(ends, [&](std::string_view end) { return word.ends_with(end); });
}

// After "ing" or "ed" is gone: "stopp" to "stop", "clos" to "close".
void MendEnd(std::string* word) {
  const size_t size = word->size();
  const char last = word->back();
  if (size >= 4 && last == (*word)[size - 2] && !IsVowel(last) && last != 's' && last != 'z' &&
      last != 'l') {
    word->pop_back();
    return;
  }
  static constexpr std::string_view kLoseE[] = {"at", "bl", "iz", "v",  "c", "dg",
                                                "rg", "u",  "rs", "ns", "z", "ag"};
  const bool one_s = last == 's' && !word->ends_with("ss");
  const size_t vowels = std::ranges::count_if(*word, IsVowel);
  const bool short_closed = size >= 2 && size <= 4 && vowels == 1 && IsVowel((*word)[size - 2]) &&
                            !IsVowel(last) && last != 'w' && last != 'x' && last != 'y';
  if (EndsWithAny(*word, kLoseE) || one_s || short_closed) word->push_back('e');
}

void TakePlural(std::string* word) {
  static constexpr std::string_view kEs[] = {"sses", "shes", "ches", "xes", "zzes"};
  static constexpr std::string_view kNot[] = {"ss", "us", "is", "'s"};
  if (word->size() > 4 && word->ends_with("ies")) {
    word->replace(word->size() - 3, 3, "y");
  } else if (EndsWithAny(*word, kEs)) {
    word->resize(word->size() - 2);
  } else if (word->size() > 3 && word->back() == 's' && !EndsWithAny(*word, kNot)) {
    word->pop_back();
  }
}

void TakeVerbEnd(std::string* word) {
  if (word->size() > 4 && word->ends_with("ied")) {
    word->replace(word->size() - 3, 3, "y");
    return;
  }
  for (const std::string_view end : {std::string_view("ing"), std::string_view("ed")}) {
    if (!word->ends_with(end) || word->size() < end.size() + 2) continue;
    const std::string_view rest = std::string_view(*word).substr(0, word->size() - end.size());
    if (!HasVowel(rest) || rest.size() < 2) continue;
    if (rest.ends_with("e") && !(end == "ing" && rest.ends_with("ee"))) continue;
    word->resize(rest.size());
    MendEnd(word);
    return;
  }
}

void TakeDerived(std::string* word) {
  static constexpr std::string_view kOwnSense[] = {"hardly", "lately",  "nearly", "early",   "only",
                                                   "family", "reply",   "apply",  "supply",  "july",
                                                   "italy",  "monthly", "likely", "assembly"};
  if (word->size() >= 6 && word->ends_with("ly") &&
      std::ranges::find(kOwnSense, std::string_view(*word)) == std::end(kOwnSense))
    word->resize(word->size() - 2);
  if (word->size() >= 8 && (word->ends_with("tion") || word->ends_with("ssion")))
    word->resize(word->size() - 3);
}

constexpr std::string_view kNegatingPrefixes[] = {"un",  "in",  "im",   "ir",  "il",
                                                  "dis", "non", "anti", "mis", "de"};

// Whether `longer` is `shorter` with a negating prefix, by stems.
bool HasNegatingPrefix(std::string_view longer, std::string_view shorter) {
  return std::ranges::any_of(kNegatingPrefixes, [&](std::string_view prefix) {
    if (!longer.starts_with(prefix)) return false;
    std::string_view rest = longer.substr(prefix.size());
    if (rest.starts_with('-')) rest.remove_prefix(1);
    return rest.size() >= 3 && (rest == shorter || StemOf(rest) == StemOf(shorter));
  });
}

// "careless" and "careful", "care", "caring".
bool IsLessOf(std::string_view less, std::string_view other) {
  if (!less.ends_with("less") || less.size() < 7) return false;
  const std::string_view base = less.substr(0, less.size() - 4);
  if (other.ends_with("ful") && other.substr(0, other.size() - 3) == base) return true;
  return StemOf(other) == StemOf(base);
}

}  // namespace

WordRole RoleOf(std::string_view word) { return Find(Get().roles, word, WordRole::kContent); }
Closed ClosedOf(std::string_view word) { return Find(Get().closed, word, Closed::kNone); }

std::string_view NumberWord(std::string_view word) {
  return Find(Get().numbers, word, std::string_view());
}
uint64_t FactorWord(std::string_view word) { return Find(Get().factors, word, uint64_t{0}); }
std::string_view UnitOf(std::string_view word) {
  return Find(Get().units, word, std::string_view());
}
std::string_view CurrencyOf(std::string_view word) {
  return Find(Get().currencies, word, std::string_view());
}
std::string_view DateOf(std::string_view word) {
  return Find(Get().dates, word, std::string_view());
}
bool IsDoubtfulDate(std::string_view word) { return Get().doubtful_dates.contains(word); }

std::string StemOf(std::string_view word) {
  std::string stem(word);
  if (stem == "ups") return "up";  // "top-ups"
  if (stem.size() < 3 || !IsAscii(stem)) return stem;
  if (const std::string_view base = BaseOf(stem); !base.empty()) return StemOf(base);
  if (stem.size() < 4) return stem;
  TakePlural(&stem);
  TakeVerbEnd(&stem);
  TakeDerived(&stem);
  if (stem.size() >= 6 && stem.back() == 'e') stem.pop_back();
  if (stem.size() >= 6 && stem.ends_with("ll")) stem.pop_back();
  if (stem.size() >= 4 && stem.back() == 'y' && !IsVowel(stem[stem.size() - 2])) stem.back() = 'i';
  return stem;
}

bool AreSynonyms(std::string_view stem_a, std::string_view stem_b) {
  if (stem_a == stem_b) return true;
  const std::vector<int>& a = LinesOf(Get().synonyms, stem_a);
  const std::vector<int>& b = LinesOf(Get().synonyms, stem_b);
  return std::ranges::find_first_of(a, b) != a.end();
}

namespace {

bool AreOppositeStems(std::string_view stem_a, std::string_view stem_b) {
  const std::vector<int>& b = LinesOf(Get().opposites, stem_b);
  return std::ranges::any_of(LinesOf(Get().opposites, stem_a),
                             [&](int line) { return std::ranges::find(b, line ^ 1) != b.end(); });
}

// "cheapest" and "cheaper" without their ends; others as they are.
std::string PositiveOf(std::string_view stem) {
  std::string word(stem);
  for (const std::string_view end : {std::string_view("est"), std::string_view("er")}) {
    if (word.size() < end.size() + 3 || !word.ends_with(end)) continue;
    word.resize(word.size() - end.size());
    const size_t size = word.size();
    if (size >= 3 && word[size - 1] == word[size - 2] && word.back() != 'l' && word.back() != 's')
      word.pop_back();
    break;
  }
  return word;
}

}  // namespace

bool AreOpposites(std::string_view stem_a, std::string_view stem_b) {
  if (AreOppositeStems(stem_a, stem_b)) return true;
  const std::string a = PositiveOf(stem_a), b = PositiveOf(stem_b);
  return (a != stem_a || b != stem_b) && AreOppositeStems(a, b);
}

bool IsNegatedForm(std::string_view word_a, std::string_view word_b) {
  return HasNegatingPrefix(word_a, word_b) || HasNegatingPrefix(word_b, word_a) ||
         IsLessOf(word_a, word_b) || IsLessOf(word_b, word_a);
}

size_t ChinesePrefix(std::string_view text) {
  size_t best = 0;
  for (size_t size = 6; size <= std::min(text.size(), kChineseWordMax); ++size)
    if (Get().chinese.contains(text.substr(0, size))) best = size;
  return best;
}

std::string_view NameOf(Closed c) {
  switch (c) {
    case Closed::kFirstPerson:
      return "I";
    case Closed::kSecondPerson:
      return "you";
    case Closed::kThirdHe:
      return "he";
    case Closed::kThirdShe:
      return "she";
    case Closed::kThirdThey:
      return "they";
    case Closed::kPast:
      return "past";
    case Closed::kPresent:
      return "present";
    case Closed::kFuture:
      return "future";
    case Closed::kMay:
      return "may";
    case Closed::kMust:
      return "must";
    case Closed::kWho:
      return "who";
    case Closed::kWhen:
      return "when";
    case Closed::kWhere:
      return "where";
    case Closed::kWhy:
      return "why";
    case Closed::kHow:
      return "how";
    case Closed::kWhat:
      return "what";
    case Closed::kWhich:
      return "which";
    default:
      return "";
  }
}

}  // namespace nextgate::cache
