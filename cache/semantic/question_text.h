// One question as the gates see it: what it says in numbers, words, negations and roles, so that two can be
// compared without another look at their text.
//
// Threads: pure functions. Linear in the length of the text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cache/semantic/word_tables.h"

namespace nextgate::cache {

enum class Script : uint8_t {
  kNone,   // no letters
  kLatin,  // all or nearly all letters are Latin
  kHan,    // Han, also with Latin words in it
  kOther,  // letters of a script there are no tables for: Cyrillic, Arabic, kana …
};

enum class Determiner : uint8_t {
  kNone,
  kIndefinite,  // a, an, another, some
  kDefinite,    // the, this, that
  kOwn,         // my, your, their
};

// A word that says what the question is about.
struct ContentWord {
  std::string text;                           // lower case, NFKC
  std::string stem;                           // StemOf(text); a Chinese word itself
  Closed before = Closed::kNone;              // the preposition it follows: kFrom … kHard
  std::string preposition;                    // which it is
  bool name = false;                          // by its capitals or digits, or in quotes
  bool joined = false;                        // after "and", "or", 和, or a comma
  Determiner determiner = Determiner::kNone;  // right before it
  Closed owner = Closed::kNone;               // "my": kFirstPerson; "your": kSecondPerson …
  bool used = false;                          // "use my card"
  size_t place = 0;                           // index into words
};

// What kind of answer is wanted; `yes_no` and `asks` also in Chinese, the rest in English.
struct QuestionForm {
  bool yes_no = false;                     // asks whether, not who, how …
  std::string subject;                     // of that: "i", or a stem; "": not known
  Closed asks = Closed::kNone;             // the first of kWho … kWhat (kWhich is kWhat)
  uint32_t also_asks = 0;                  // bits 1 << Closed: "… and when"
  bool which = false;                      // "which", "what card"
  bool where_to = false;                   // "where do I go"
  bool how_many = false;                   // also "what number of"
  Determiner what_is = Determiner::kNone;  // "what is a mortgage", "what is the rate"
  bool request = false;                    // "can you send it"
  bool order = false;                      // "cancel my card"
  bool statement = false;                  // "my card was declined."
  bool will_not = false;                   // "I am not doing it", "I will not"
};

struct Question {
  bool utf8 = true;  // else all that follows is empty
  Script script = Script::kNone;
  std::string plain;  // the text in lower case, without spaces and the punctuation of prose
  std::vector<std::string> words;  // all of them, contractions taken apart; without numbers
  std::vector<ContentWord> content;
  std::vector<std::string> numbers;  // "3", "5 kg", "#1", "1.2.3", "+", " usd"; in their order
  std::vector<std::pair<std::string, Closed>> exchanges;  // currencies behind kFrom or kTo
  std::vector<std::string> dates;                         // "m5", "d1", "r0"; in their order
  int negations = 0;
  // Of each negation that stands right before it, the content word it negates; else "".
  std::vector<std::string> negated;
  std::vector<std::string> only;       // the words after "only"
  uint32_t closed = 0;                 // bits 1 << Closed
  std::vector<Closed> persons;         // in their order, one for each run of the same
  uint32_t pronouns = 0;               // bits 1 << Closed of persons, but not of what is theirs
  uint32_t from = 0, to = 0;           // of these, who follows "from" and who "to"
  uint32_t subjects = 0, objects = 0;  // bits 1 << Closed of persons: "I", "he" … and "me", "him" …
  QuestionForm form;
  size_t num_words = 0;  // content, numbers and dates: what the length is measured in

  bool has(Closed c) const { return (closed >> static_cast<uint32_t>(c) & 1) != 0; }
};

Question AnalyseQuestion(std::string_view text);

// Whether one of `words` is among the question's.
bool HasAny(const Question& question, std::span<const std::string_view> words);

}  // namespace nextgate::cache
