// The gates of the semantic tier: a stored question whose vector is near the asked one's may still ask
// for something else ("turn on dark mode", "turn off dark mode": cosine 0.915). Each gate looks at the two
// texts, or at the cosines, and may refuse the stored answer; nothing but all of them together lets it
// pass. A gate that refuses too much costs a miss, one that refuses too little a wrong answer, so every
// doubt refuses.
//
// English and Chinese have word tables (word_tables.h). In other languages with Latin letters every word
// counts as content, so the same words are needed; in other scripts, and with bytes that are not UTF-8,
// nothing but the same text passes. Two texts that are the same but for case, spaces and the punctuation of
// prose pass every gate but the margin.
//
// What each refuses:
//
//   numbers    The numbers of both texts, in their order, each with its unit, currency or sign: they must be
//              equal ("two" and 二 are 2, "50%" is "50 percent"). So must be the currencies named, and
//              the months, days of the week and relative days. Versions and operators are numbers.
//   names      Content words that only one text has, by stem, synonym list, spelling variant (one slip in a long
//              word) or compound ("log in", "login"): any refuses, but for light verbs ("make", "get", "need")
//              that one text has and the other has nothing for. Two texts that are the same but for a word have
//              a high cosine whatever the word is.
//   negation   Another number of negations ("not", "never", "without", "unable", 不, 没 …), negations of other
//              words, "only" before another word, or a word and its own negated form ("healthy", "unhealthy").
//   antonyms   A word on one side whose opposite is on the other; and closed classes of which each side has
//              another member: what is asked for (who, when, where, why, how, what, whether), past or not, may or
//              must, I or you or he or she or they. And another kind of answer: how many, not which; how to, not
//              to do; whether it is so, not that it is so; what one is, not what it is now.
//   order      The same words with the parts exchanged: their order differs by more than a phrase that is
//              elsewhere ("in the app, how …"), a word is the "from" of one and the "to" of the other, or "with"
//              it and not "to" it, or "my" and not "your", who does and who is done to change places ("I",
//              "me"; "bit", "was bitten"; "by Anna", "Anna").
//   language   Different scripts; a script without tables; not UTF-8; no words at all.
//   length     One text has more than GateSettings::length_ratio_max times as many words as the other.
//   margin     Another stored question that says something else than the nearest (rival.h) is less than
//              GateSettings::margin_min further away.
//
// Threads: pure functions, from any thread. Linear in the length of the texts. Nothing is logged; `detail`
// holds words of the texts, for who may see them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nextgate::cache {

enum class Gate : uint8_t {
  kNumbers,
  kNames,
  kNegation,
  kAntonyms,
  kOrder,
  kLanguage,
  kLength,
  kMargin,
};
inline constexpr size_t kNumGates = static_cast<size_t>(Gate::kMargin) + 1;

// "numbers", "names", …: what users see in settings, explain and counters; they are stable.
std::string_view GateCode(Gate gate);
std::optional<Gate> FindGate(std::string_view code);

// A set of gates.
class GateSet {
 public:
  constexpr GateSet() = default;
  constexpr GateSet(std::initializer_list<Gate> gates) {
    for (const Gate gate : gates) insert(gate);
  }
  static constexpr GateSet all() {
    GateSet set;
    set.bits_ = (uint32_t{1} << kNumGates) - 1;
    return set;
  }
  static constexpr GateSet none() { return {}; }

  constexpr bool contains(Gate gate) const { return (bits_ & Bit(gate)) != 0; }
  constexpr void insert(Gate gate) { bits_ |= Bit(gate); }
  constexpr void erase(Gate gate) { bits_ &= ~Bit(gate); }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr bool operator==(const GateSet&) const = default;

 private:
  static constexpr uint32_t Bit(Gate gate) { return uint32_t{1} << static_cast<uint32_t>(gate); }
  uint32_t bits_ = 0;
};

struct GateSettings {
  float margin_min = 0.1F;        // of cosine over cosine_second
  double length_ratio_max = 3.0;  // of words that are not fillers
};

// Texts are borrowed for the call.
struct QuestionPair {
  std::string_view asked;
  std::string_view stored;
  float cosine = 0;                    // of asked and stored
  std::optional<float> cosine_second;  // of asked and the nearest stored one's rival (rival.h)
};

struct GateVerdict {
  Gate gate = Gate::kNumbers;
  bool refuses = false;
  std::string detail;  // what was seen, "2 is not 3"; empty if the gate does not refuse
};

// Every gate's, in the order of the enumeration.
std::vector<GateVerdict> JudgeGates(const QuestionPair& pair, const GateSettings& settings = {});

// Which of `on` refuse: what JudgeGates says of these, without the words.
GateSet RefusedBy(const QuestionPair& pair, GateSet on, const GateSettings& settings = {});

}  // namespace nextgate::cache
