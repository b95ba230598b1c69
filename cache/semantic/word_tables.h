// What the gates know of words, English and Chinese: roles, numbers, units, synonyms, opposites. The lists
// are in words_en.cc, synonyms_en.cc, antonyms_en.cc, words_zh.cc and antonyms_zh.cc, as text that is read once; this is how
// they are asked.
//
// Words come in lower case and NFKC; English ones also by their stem (StemOf), where it says so.
//
// Threads: pure functions, from any thread; the first call reads the lists.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nextgate::cache {

// What a word does in a question.
enum class WordRole : uint8_t {
  kContent,   // says what it is about: also every word in no list
  kLight,     // content that a sentence may have or not: "make" a payment, "use" a card
  kFunction,  // articles, auxiliaries, pronouns, soft prepositions: not compared by itself
  kFiller,    // politeness and what wraps a question: "please", "tell me", 请问
  kNegator,   // "not", "never", "without", 不, 没
};
WordRole RoleOf(std::string_view word);

// Which of a closed class a word is: two texts that have different members ask different things. kNone for
// other words.
enum class Closed : uint8_t {
  kNone,
  kFirstPerson,   // I, me, my, we, 我
  kSecondPerson,  // you, your, 你
  kThirdHe,
  kThirdShe,
  kThirdThey,
  kPast,     // was, were, did, had
  kPresent,  // is, are, am, do, does
  kFuture,   // will, shall
  kMay,      // can, may
  kMust,     // must, should
  kWho,
  kWhen,
  kWhere,
  kWhy,
  kHow,
  kWhat,
  kWhich,
  kFrom,  // prepositions that turn a sense around
  kTo,
  kThan,
  kBy,
  kOther,  // a soft preposition: "in", "of", "for"
  kHard,   // another preposition that is not soft: "against", "versus"
};
Closed ClosedOf(std::string_view word);
// Of a person, tense, mood or question word, in English; "" for others.
std::string_view NameOf(Closed c);

// "two", "twelve", "dozen", "half", 二, 两, 半: its value in decimal digits ("2", "0.5"); "first" gives "#1".
std::string_view NumberWord(std::string_view word);
// A factor after a number: "hundred", "million", 百, 万. 0: none.
uint64_t FactorWord(std::string_view word);
// Of a unit or currency, its code: "kg" for "kilograms", "usd" for "$". Empty: none. A unit that is a word
// of its own too ("second", "pound") counts only after a number; a currency always (CurrencyOf).
std::string_view UnitOf(std::string_view word);
std::string_view CurrencyOf(std::string_view word);
// Months, days of the week, today, 周一: a code ("m5", "d1", "r0"), equal in both languages. Empty: none.
std::string_view DateOf(std::string_view word);
// One of those that are another word too: "may", "march", "sat".
bool IsDoubtfulDate(std::string_view word);

// The word without English inflection: "cards" and "card", "charging" and "charge" have the same. Not a
// word of English always.
std::string StemOf(std::string_view word);

// By stems. Synonyms are few and safe; equal stems are too.
bool AreSynonyms(std::string_view stem_a, std::string_view stem_b);
bool AreOpposites(std::string_view stem_a, std::string_view stem_b);
// Of "unhealthy" and "healthy", "careless" and "careful", "nonstop" and "stop": whether one negates the other.
bool IsNegatedForm(std::string_view word_a, std::string_view word_b);

// The longest word of the Chinese lists that `text` starts with, in bytes; 0: none.
size_t ChinesePrefix(std::string_view text);

}  // namespace nextgate::cache
