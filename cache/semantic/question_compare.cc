#include "cache/semantic/question_compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "cache/semantic/word_tables.h"

namespace nextgate::cache {
namespace {

using Refusal = QuestionDifference::Refusal;
using Words = std::vector<const ContentWord*>;

Words WordsNotIn(const Question& question, const Question& other) {
  std::unordered_set<std::string_view> stems;
  for (const ContentWord& word : other.content) stems.insert(word.stem);
  Words missing;
  for (const ContentWord& word : question.content)
    if (!stems.contains(word.stem)) missing.push_back(&word);
  return missing;
}

bool IsAscii(std::string_view word) {
  return std::ranges::all_of(word, [](char c) { return c >= 'a' && c <= 'z'; });
}

// Whether one slip of the typist's lies between them: two letters exchanged, one doubled or not, in a long
// word any letter but the first. Shorter words are too often other words ("house", "horse").
bool IsMisspelt(std::string_view a, std::string_view b) {
  if (a.size() > b.size()) std::swap(a, b);
  if (a.size() < 5 || b.size() > a.size() + 1 || !IsAscii(a) || !IsAscii(b)) return false;
  size_t same = 0;
  while (same < a.size() && a[same] == b[same]) ++same;
  if (same == 0) return false;
  const std::string_view rest_a = a.substr(same), rest_b = b.substr(same);
  if (a.size() == b.size()) {
    if (rest_a.empty()) return true;
    const bool exchanged = rest_a.size() >= 2 && rest_a[0] == rest_b[1] && rest_a[1] == rest_b[0] &&
                           rest_a.substr(2) == rest_b.substr(2);
    if (exchanged) return a.size() >= 6;
    return a.size() >= 8 && rest_a.substr(1) == rest_b.substr(1);
  }
  if (rest_a != rest_b.substr(1)) return false;
  const bool doubled = b[same] == b[same - 1];
  return doubled || a.size() >= 7;
}

// Takes each word out of both lists that `same` says has a counterpart.
template <class Same>
void DropPairs(Words* a, Words* b, const Words& all_a, const Words& all_b, Same same) {
  const auto has = [&](const Words& among, const ContentWord* word) {
    return std::ranges::any_of(among,
                               [&](const ContentWord* other) { return same(*word, *other); });
  };
  std::erase_if(*a, [&](const ContentWord* word) { return has(all_b, word); });
  std::erase_if(*b, [&](const ContentWord* word) { return has(all_a, word); });
}

Words AllOf(const Question& question) {
  Words all;
  for (const ContentWord& word : question.content) all.push_back(&word);
  return all;
}

// "login" of one text against "log in" of the other: takes both out.
void DropCompoundsOf(Words* wholes, Words* parts, const Question& split) {
  std::unordered_map<std::string, size_t> joined;  // two neighbours as one, the first's place
  for (size_t i = 0; i + 1 < split.words.size(); ++i)
    joined.emplace(StemOf(split.words[i] + split.words[i + 1]), i);
  std::erase_if(*wholes, [&](const ContentWord* whole) {
    const auto found = joined.find(whole->stem);
    if (found == joined.end()) return false;
    std::erase_if(*parts, [&](const ContentWord* part) {
      return part->place == found->second || part->place == found->second + 1;
    });
    return true;
  });
}

std::string List(const std::vector<std::string>& values) {
  if (values.empty()) return "nothing";
  return fmt::format("{}", fmt::join(values, ", "));
}

std::string List(const Words& words) {
  constexpr size_t kShown = 6;
  std::string list;
  for (size_t i = 0; i < std::min(words.size(), kShown); ++i)
    list += (i == 0 ? "" : ", ") + words[i]->text;
  return words.size() > kShown ? list + ", …" : list;
}

}  // namespace

QuestionDifference::QuestionDifference(const Question& asked, const Question& stored)
    : asked_(asked),
      stored_(stored),
      only_asked_(WordsNotIn(asked, stored)),
      only_stored_(WordsNotIn(stored, asked)) {
  if (std::max(only_asked_.size(), only_stored_.size()) > kComparedMax) return;
  DropCompounds();
  DropCounterparts();
}

void QuestionDifference::DropCounterparts() {
  const Words asked = AllOf(asked_), stored = AllOf(stored_);
  DropPairs(&only_asked_, &only_stored_, asked, stored,
            [](const ContentWord& a, const ContentWord& b) { return AreSynonyms(a.stem, b.stem); });
  const Words a = only_asked_, b = only_stored_;
  DropPairs(&only_asked_, &only_stored_, a, b, [](const ContentWord& x, const ContentWord& y) {
    return IsMisspelt(x.text, y.text) && !AreOpposites(x.stem, y.stem) &&
           !IsNegatedForm(x.text, y.text);
  });
}

void QuestionDifference::DropCompounds() {
  DropCompoundsOf(&only_asked_, &only_stored_, stored_);
  DropCompoundsOf(&only_stored_, &only_asked_, asked_);
}

namespace {

Closed Turned(Closed direction) { return direction == Closed::kFrom ? Closed::kTo : Closed::kFrom; }
bool Exchanges(const Question& question, std::string_view code, Closed direction) {
  return std::ranges::any_of(question.exchanges, [&](const auto& exchange) {
    return exchange.first == code && exchange.second == direction;
  });
}

}  // namespace

Refusal QuestionDifference::Numbers() const {
  if (asked_.numbers != stored_.numbers)
    return fmt::format("{} is not {}", List(asked_.numbers), List(stored_.numbers));
  for (const auto& [code, role] : asked_.exchanges)
    if (!Exchanges(stored_, code, role) && Exchanges(stored_, code, Turned(role)))
      return fmt::format("from {} is not to {}", code, code);
  if (asked_.dates != stored_.dates)
    return fmt::format("{} is not {}", List(asked_.dates), List(stored_.dates));
  return std::nullopt;
}

namespace {

// Something is said to arrive, as with "receive".
bool Comes(const Question& question) {
  static constexpr std::string_view kWords[] = {
      "receive", "received", "receives",  "receiving", "get",      "gets",  "got",    "getting",
      "arrive",  "arrived",  "arrives",   "come",      "comes",    "came",  "sent",   "obtain",
      "have",    "here",     "delivered", "delivery",  "incoming", "where", "missing"};
  return HasAny(question, kWords);
}

}  // namespace

Refusal QuestionDifference::Names() const {
  const auto light = [](const ContentWord* word) {
    return RoleOf(word->text) == WordRole::kLight && !word->name;
  };
  const Words& all = only_asked_.empty() ? only_stored_ : only_asked_;
  const Question& less = only_asked_.empty() ? asked_ : stored_;
  const auto receives = [&](const ContentWord* word) {
    return word->text.starts_with("receiv") && !Comes(less);
  };
  if ((only_asked_.empty() || only_stored_.empty()) && std::ranges::all_of(all, light) &&
      std::ranges::none_of(all, receives))
    return std::nullopt;
  if (only_stored_.empty()) return fmt::format("only asked: {}", List(only_asked_));
  if (only_asked_.empty()) return fmt::format("only stored: {}", List(only_stored_));
  return fmt::format("only asked: {}; only stored: {}", List(only_asked_), List(only_stored_));
}

// Of the words that only one text has: whether `clash` holds for one of them and any word, content or not,
// that only the other has ("on", "some", "possible").
template <class Clash>
Refusal QuestionDifference::Across(Clash clash) const {
  const auto look = [&](const Words& words, const Question& own, const Question& other) -> Refusal {
    const std::unordered_set<std::string_view> known(own.words.begin(), own.words.end());
    for (const std::string& text : other.words) {
      if (known.contains(text)) continue;
      for (const ContentWord* word : words)
        if (clash(*word, text)) return fmt::format("{} is not {}", word->text, text);
    }
    return std::nullopt;
  };
  if (std::max(only_asked_.size(), only_stored_.size()) > kComparedMax) return std::nullopt;
  if (Refusal r = look(only_asked_, asked_, stored_)) return r;
  return look(only_stored_, stored_, asked_);
}

Refusal QuestionDifference::Negation() const {
  if (asked_.negations != stored_.negations)
    return fmt::format("{} negations, not {}", asked_.negations, stored_.negations);
  if (!asked_.only.empty() && !stored_.only.empty() && asked_.only != stored_.only)
    return fmt::format("only {}, and only {}", asked_.only.front(), stored_.only.front());
  const auto has = [](const Question& question, std::string_view stem) {
    return std::ranges::any_of(question.content,
                               [&](const ContentWord& w) { return w.stem == stem; });
  };
  const size_t common = std::min(asked_.negated.size(), stored_.negated.size());
  for (size_t i = 0; i < common; ++i) {
    const std::string &a = asked_.negated[i], &b = stored_.negated[i];
    if (!a.empty() && !b.empty() && !AreSynonyms(a, b) && has(stored_, a) && has(asked_, b))
      return fmt::format("not {}, and not {}", a, b);
  }
  return Across([](const ContentWord& word, std::string_view other) {
    return IsNegatedForm(word.text, other);
  });
}

// Members of closed classes of which each text has one that the other has not.
Refusal QuestionDifference::ClosedClasses() const {
  const uint32_t a = asked_.closed & ~stored_.closed, b = stored_.closed & ~asked_.closed;
  const auto clash = [&](std::initializer_list<Closed> members) -> Refusal {
    for (const Closed x : members)
      for (const Closed y : members)
        if (x != y && (a >> static_cast<uint32_t>(x) & 1) != 0 &&
            (b >> static_cast<uint32_t>(y) & 1) != 0)
          return fmt::format("{} is not {}", NameOf(x), NameOf(y));
    return std::nullopt;
  };
  using enum Closed;
  if (Refusal r = clash({kWho, kWhen, kWhere, kWhy, kHow, kWhat})) return r;
  if (Refusal r = clash({kWho, kWhen, kWhere, kWhy, kHow, kWhich})) return r;
  for (const Closed c : {kWho, kWhen, kWhere, kWhy, kHow, kWhat, kWhich})
    if ((asked_.form.yes_no && stored_.has(c)) || (stored_.form.yes_no && asked_.has(c)))
      return fmt::format("{} is not whether", NameOf(c));
  if (Refusal r = Forms()) return r;
  if (Refusal r = clash({kPast, kPresent})) return r;
  if (Refusal r = clash({kPast, kFuture})) return r;
  if (Refusal r = clash({kMay, kMust})) return r;
  if ((asked_.pronouns & ~stored_.pronouns) != 0 && (stored_.pronouns & ~asked_.pronouns) != 0)
    return std::string("other persons");
  return clash({kFirstPerson, kSecondPerson, kThirdHe, kThirdShe, kThirdThey});
}

Refusal QuestionDifference::Antonyms() const {
  const auto opposite = [](const ContentWord& word, std::string_view other) {
    return AreOpposites(word.stem, StemOf(other));
  };
  if (Refusal r = Across(opposite)) return r;
  return ClosedClasses();
}

namespace {

// "turn the light off", "turn off the light": one such word may stand in two places.
bool IsParticle(const ContentWord& word) {
  return word.text == "up" || word.text == "down" || word.text == "off" || word.text == "out" ||
         word.text == "away" || word.text == "back";
}

// The content words that each text has once and both have, in one's order.
Words Shared(const Question& question, const Question& other) {
  const bool one_particle = std::ranges::count_if(question.content, IsParticle) == 1 &&
                            std::ranges::count_if(other.content, IsParticle) == 1;
  std::unordered_map<std::string_view, int> count, count_other;
  for (const ContentWord& word : question.content) ++count[word.stem];
  for (const ContentWord& word : other.content) ++count_other[word.stem];
  Words shared;
  for (const ContentWord& word : question.content) {
    if (one_particle && IsParticle(word)) continue;
    const auto found = count_other.find(word.stem);
    if (count[word.stem] == 1 && found != count_other.end() && found->second == 1)
      shared.push_back(&word);
  }
  return shared;
}

// 密码怎么改, 怎么改密码: what is spoken of may come first in Chinese. Not where a word marks roles, nor with 谁
// or 什么, which may be either end of the verb.
bool IsTopicSwap(const Question& a, const Question& b) {
  using enum Closed;
  constexpr Closed kRoles[] = {kFrom, kTo,          kThan,         kBy,      kHard,     kWho,
                               kWhat, kFirstPerson, kSecondPerson, kThirdHe, kThirdShe, kThirdThey};
  if (a.script != Script::kHan || b.script != Script::kHan || !a.has(kHow) || !b.has(kHow))
    return false;
  return std::ranges::none_of(kRoles, [&](Closed c) { return a.has(c) || b.has(c); });
}

bool IsDirection(Closed c) { return c == Closed::kFrom || c == Closed::kTo; }
// One has it, and others have theirs.
bool IsOwnable(const ContentWord& word) {
  static constexpr std::string_view kThings[] = {"account", "accounts", "card",  "cards", "phone",
                                                 "number",  "address",  "email", "wallet"};
  return std::ranges::find(kThings, word.text) != std::end(kThings);
}

// "connect to it", "connect with it"
bool ConnectsTo(const Question& question) {
  static constexpr std::string_view kVerbs[] = {"connect", "pair",  "sync", "link",   "synch",
                                                "talk",    "speak", "chat", "compar", "limit"};
  return std::ranges::any_of(question.words, [&](const std::string& word) {
    return std::ranges::any_of(kVerbs,
                               [&](std::string_view verb) { return word.starts_with(verb); });
  });
}

bool IsHard(Closed c) { return c >= Closed::kFrom && c != Closed::kOther; }

// Whether what lies between `from` and `to` of `a` is two blocks that `b` has the other way round; where the
// second begins, else 0.
size_t BlockSwap(const Words& a, const Words& b, size_t from, size_t to) {
  size_t cut = from;
  while (cut < to && a[cut]->stem != b[from]->stem) ++cut;
  const size_t size = to - from;
  for (size_t i = 0; i < size; ++i)
    if (a[from + (cut - from + i) % size]->stem != b[from + i]->stem) return 0;
  return cut;
}

}  // namespace

namespace {

// "was changed", "was the oil changed", "got stolen": what is said before it is what it is done to.
bool IsPassive(const Question& question, const ContentWord& word) {
  constexpr std::string_view kBe[] = {"is",   "are",   "am",  "was",  "were", "be",
                                      "been", "being", "get", "gets", "got",  "getting"};
  constexpr std::string_view kOthers[] = {"do",   "does",  "did",    "can", "could",
                                          "will", "would", "should", "to"};
  if (word.text.ends_with("ing")) return false;
  constexpr size_t kBack = 8;  // words
  for (size_t place = word.place; place-- > word.place - std::min(word.place, kBack);) {
    if (std::ranges::find(kBe, question.words[place]) != std::end(kBe)) return true;
    if (std::ranges::find(kOthers, question.words[place]) != std::end(kOthers)) return false;
  }
  return false;
}

// Whether a verb of both is passive in one and of another form and not passive in the other.
bool ChangesVoice(const Question& a, const ContentWord& in_a, const Question& b,
                  const ContentWord& in_b) {
  return in_a.text != in_b.text && IsPassive(a, in_a) != IsPassive(b, in_b);
}

}  // namespace

// Who does what to whom, as far as pronouns say it.
Refusal QuestionDifference::Roles(const Question& asked, const Question& stored) {
  if (asked.persons.size() >= 2 && stored.persons.size() >= 2 && asked.persons != stored.persons)
    return std::string("the persons change places");
  const auto only = [](uint32_t bits, uint32_t others) { return bits & ~others; };
  const uint32_t turned = (only(asked.from, asked.to) & only(stored.to, stored.from)) |
                          (only(asked.to, asked.from) & only(stored.from, stored.to));
  if (turned != 0) return std::string("from somebody is not to them");
  // "… for me" says no more than that somebody asks.
  constexpr uint32_t kFirst = uint32_t{1} << static_cast<uint32_t>(Closed::kFirstPerson);
  if (((asked.objects ^ stored.objects) & ~kFirst) != 0) return std::string("done to another");
  if (((asked.subjects ^ stored.subjects) & (asked.objects ^ stored.objects)) != 0)
    return std::string("I is not me");
  return std::nullopt;
}

// What stands before a word that both have once.
Refusal QuestionDifference::PlaceOf(const Question& asked, const Question& stored,
                                    const ContentWord& word, const ContentWord& other) {
  // "bought by Anna", "bought Anna"
  const bool by = (word.before == Closed::kBy && other.before == Closed::kNone) ||
                  (other.before == Closed::kBy && word.before == Closed::kNone);
  if (by) return fmt::format("by {} is not {}", word.text, word.text);
  // "with a card", "to a card"; "to an account", "to my account"
  const bool with = ((word.preposition == "with" || word.used) && IsDirection(other.before)) ||
                    ((other.preposition == "with" || other.used) && IsDirection(word.before));
  if (with && !ConnectsTo(asked) && !ConnectsTo(stored))
    return fmt::format("with {} is not to or from it", word.text);
  const bool mine = word.owner != Closed::kNone && other.owner != Closed::kNone;
  if (mine && word.owner != other.owner) return fmt::format("{} of another person", word.text);
  const auto object = [](const ContentWord& w) {
    return w.before == Closed::kNone &&
           (w.determiner == Determiner::kOwn || w.determiner == Determiner::kIndefinite);
  };
  const auto means = [](const ContentWord& w) {
    return w.preposition == "with" && w.determiner == Determiner::kNone;
  };
  if ((means(word) && object(other)) || (means(other) && object(word)))
    return fmt::format("with {} is not {}", word.text, word.text);
  const bool owned = word.determiner == Determiner::kOwn,
             own = other.determiner == Determiner::kOwn;
  const bool a_one =
      word.determiner == Determiner::kIndefinite || other.determiner == Determiner::kIndefinite;
  if (word.before == other.before && IsDirection(word.before) && owned != own && a_one &&
      IsOwnable(word))
    return fmt::format("one's own {} is not another", word.text);
  const bool both = word.before != Closed::kNone && other.before != Closed::kNone;
  if (word.before != other.before && both && IsHard(word.before) && IsHard(other.before))
    return fmt::format("another preposition before {}", word.text);
  return std::nullopt;
}

Refusal QuestionDifference::Order() const {
  if (Refusal r = OrderOneWay(asked_, stored_)) return r;
  return OrderOneWay(stored_, asked_);
}

Refusal QuestionDifference::OrderOneWay(const Question& asked, const Question& stored) {
  const Words a = Shared(asked, stored), b = Shared(stored, asked);
  std::unordered_map<std::string_view, const ContentWord*> in_b;
  for (const ContentWord* word : b) in_b.emplace(word->stem, word);
  for (const ContentWord* word : a) {
    if (Refusal r = PlaceOf(asked, stored, *word, *in_b.at(word->stem))) return r;
  }
  size_t from = 0, to = a.size();
  while (from < to && a[from]->stem == b[from]->stem) ++from;
  while (to > from && a[to - 1]->stem == b[to - 1]->stem) --to;
  if (from == to) {
    // "the dog bit", "the dog was bitten"
    for (size_t i = 1; i < a.size(); ++i)
      if (ChangesVoice(asked, *a[i], stored, *b[i]))
        return fmt::format("{} is not {}", a[i]->text, b[i]->text);
    return Roles(asked, stored);
  }
  std::string seen = fmt::format("{} and {} change places", a[from]->text, b[from]->text);
  const size_t cut = BlockSwap(a, b, from, to);
  if (cut == 0) return seen;
  // "change my oil", "my oil was changed"
  const ContentWord* verb = cut == from + 1 ? a[from] : cut + 1 == to ? a[cut] : nullptr;
  if (verb != nullptr && ChangesVoice(asked, *verb, stored, *in_b.at(verb->stem)) &&
      IsPassive(cut == from + 1 ? stored : asked, cut == from + 1 ? *in_b.at(verb->stem) : *verb))
    return Roles(asked, stored);
  // "fee for a transfer", "transfer fee", "in the app, how": one of the two blocks is a phrase of its own.
  bool phrase = false;
  int tagged_asked = 0, tagged_stored = 0;
  for (const ContentWord* block : {a[from], a[cut]}) {
    const ContentWord* other = in_b.at(block->stem);
    if (IsHard(block->before) || IsHard(other->before)) return seen;
    const bool x = block->before != Closed::kNone, y = other->before != Closed::kNone;
    if (x && y && block->preposition != other->preposition) return seen;
    phrase = phrase || x || y;
    tagged_asked += x && !y ? 1 : 0;
    tagged_stored += y && !x ? 1 : 0;
  }
  if (tagged_asked == 1 && tagged_stored == 1) return seen;  // "dogs in cats", "cats in dogs"
  if (from == 0 && to == a.size() && IsTopicSwap(asked, stored)) return Roles(asked, stored);
  const bool coordinated = a[cut]->joined && b[from + (to - cut)]->joined;
  if (!phrase && !coordinated) return seen;
  return Roles(asked, stored);
}

Refusal QuestionDifference::Language() const {
  if (!asked_.utf8 || !stored_.utf8) return std::string("not UTF-8");
  if (asked_.script != stored_.script) return std::string("different scripts");
  if (asked_.script == Script::kOther) return std::string("a script without word tables");
  if (asked_.num_words == 0 && stored_.num_words == 0)
    return std::string("no words that say what is asked");
  return std::nullopt;
}

Refusal QuestionDifference::Length(double ratio_max) const {
  const auto [less, more] = std::minmax(asked_.num_words, stored_.num_words);
  if (static_cast<double>(more) <= ratio_max * static_cast<double>(less)) return std::nullopt;
  return fmt::format("{} words, not {}", asked_.num_words, stored_.num_words);
}

}  // namespace nextgate::cache
