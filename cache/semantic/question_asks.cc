#include "cache/semantic/question_analyser.h"

#include <algorithm>
#include <array>

namespace nextgate::cache {

// "could you tell me", "let me know": the persons in it ask and are asked, nothing else.
void QuestionAnalyser::TakeWrapper() {
  static constexpr std::string_view kAux[] = {"can", "could", "would", "will", "do", "please"};
  static constexpr std::string_view kVerbs[] = {
      "tell",  "show",   "explain", "help", "give", "let",    "provide", "walk",  "get",
      "guide", "inform", "advise",  "know", "send", "remind", "find",    "assist"};
  static constexpr std::string_view kOthers[] = {"him", "her", "them", "you", "he", "she", "they"};
  static constexpr std::string_view kWishes[] = {"want",      "need", "like",    "wish",
                                                 "wanted",    "have", "looking", "trying",
                                                 "wondering", "love", "try"};
  if (at_ < wrapped_until_) return;
  if (out_.form.asks != Closed::kNone && TextAt(at_) == "do") return;  // "where do you get it"
  size_t at = at_;
  if (TextAt(at) == "i") {
    // "do I need" asks.
    if (at > 0 && items_[at - 1].kind == PieceKind::kWord && ClosedOf(Before()) != Closed::kNone)
      return;
    ++at;
    while (
        Among(std::array<std::string_view, 5>{"would", "am", "was", "really", "just"}, TextAt(at)))
      ++at;
    if (!Among(kWishes, TextAt(at))) return;
    static constexpr std::string_view kThen[] = {"know", "ask", "hear", "get",
                                                 "have", "see", "find", "check"};
    ++at;
    if (TextAt(at) == "to" && Among(kThen, TextAt(at + 1))) at += 2;
    wrapped_until_ = at;
    return;
  }
  if (Among(kAux, TextAt(at)) && TextAt(at + 1) == "you") at += 2;
  while (TextAt(at) == "please" || TextAt(at) == "kindly" || TextAt(at) == "maybe") ++at;
  if (!Among(kVerbs, TextAt(at)) || Among(kOthers, TextAt(at + 1))) return;
  ++at;
  if (TextAt(at) == "me" || TextAt(at) == "us")
    at += TextAt(at + 1) == "know" ? 2 : 1;
  else if (at == at_ + 1)
    return;
  skip_persons_until_ = wrapped_until_ = at;
}

// "what time" is when, "how come" why, "what is the way to" and "what should I do" how.
Closed QuestionAnalyser::AskedFor(Closed c) const {
  static constexpr std::string_view kTimes[] = {"time", "date", "day"};
  static constexpr std::string_view kWays[] = {"way",       "ways",  "process",
                                               "procedure", "steps", "method"};
  static constexpr std::string_view kDegrees[] = {"much",  "many", "high", "low",  "big",
                                                  "large", "long", "far",  "old",  "tall",
                                                  "fast",  "hot",  "cold", "often"};
  const std::string_view next = TextAt(at_ + 1);
  if (c == Closed::kHow) {
    if (next == "soon") return Closed::kWhen;
    if (next == "come") return Closed::kWhy;
    return Among(kDegrees, next) ? Closed::kWhat : c;  // the words themselves are compared
  }
  if (c != Closed::kWhat && c != Closed::kWhich) return c;
  if (next == "reason") return Closed::kWhy;
  size_t last = items_.size();
  while (last > 0 &&
         (items_[last - 1].kind == PieceKind::kStop || items_[last - 1].kind == PieceKind::kComma ||
          RoleOf(items_[last - 1].text) == WordRole::kFiller))
    --last;
  if (next == "is" && TextAt(last - 1) == "for" && last > at_ + 2) return Closed::kWhy;
  if (next == "is" && TextAt(at_ + 2) == "the" && TextAt(at_ + 3) == "need") return Closed::kWhy;
  if (Among(kTimes, next)) return Closed::kWhen;
  // "what is the time"
  if ((next == "is" || next == "was") && Among(kTimes, TextAt(at_ + 3))) return Closed::kWhen;
  constexpr size_t kAhead = 6;
  for (size_t at = at_ + 1; at < at_ + kAhead; ++at) {
    const bool use =
        TextAt(at_ + 1) == "can" && TextAt(at + 1) == "with";  // "what can I do with it"
    const bool done = at > at_ + 2 && (TextAt(at) == "do" || TextAt(at) == "done") && !use;
    if (Among(kWays, TextAt(at)) || done) return Closed::kHow;
    const WordRole role = RoleOf(TextAt(at));
    if (role == WordRole::kContent && TextAt(at) != "best") break;
  }
  return c;
}

void QuestionAnalyser::TakeClosed(const QuestionItem& item) {
  const Closed c = AskedFor(ClosedOf(item.text));
  if (c == Closed::kNone) return;
  NoteAsked(c);
  const bool person = c >= Closed::kFirstPerson && c <= Closed::kThirdThey;
  if (person && at_ < skip_persons_until_) return;
  if (at_ < skip_persons_until_ && (c == Closed::kMay || c == Closed::kPresent)) return;
  if (c >= Closed::kFrom) {
    before_ = c;
    preposition_ = item.text;
  }
  out_.closed |= uint32_t{1} << static_cast<uint32_t>(c);
  if (!person) return;
  if (out_.persons.empty() || out_.persons.back() != c) out_.persons.push_back(c);
  NoteCase(item, c);
}

// Whether a pronoun does or is done to: "I", "me"; 我给, 给我.
void QuestionAnalyser::NoteCase(const QuestionItem& item, Closed person) {
  static constexpr std::string_view kSubjects[] = {"i", "we", "he", "she", "they"};
  static constexpr std::string_view kObjects[] = {"me", "us", "him", "them"};
  const bool han = item.kind == PieceKind::kHan && !item.text.ends_with("的");
  const bool marked = han && ClosedOf(Before()) >= Closed::kFrom;
  const uint32_t bit = uint32_t{1} << static_cast<uint32_t>(person);
  static constexpr std::string_view kPossessives[] = {
      "my", "mine", "our", "ours", "your", "yours", "his", "hers", "her", "their", "theirs"};
  if (!Among(kPossessives, item.text) && !item.text.ends_with("的")) out_.pronouns |= bit;
  if (ClosedOf(Before()) == Closed::kFrom) out_.from |= bit;
  if (ClosedOf(Before()) == Closed::kTo) out_.to |= bit;
  if (Among(kObjects, item.text) || marked) out_.objects |= bit;
  if (Among(kSubjects, item.text) || (han && !marked)) out_.subjects |= bit;
}

// "How do I …" and "how do you …" ask for the same way to do something, if that is all that is said of persons.
void QuestionAnalyser::DropGenericPerson() {
  size_t first = 0;
  while (first < items_.size() && RoleOf(items_[first].text) == WordRole::kFiller) ++first;
  const Closed person = ClosedOf(TextAt(first + 2));
  const Closed aux = ClosedOf(TextAt(first + 1));
  const bool general = TextAt(first) == "how" &&
                       (TextAt(first + 2) == "i" || TextAt(first + 2) == "you") &&
                       (aux == Closed::kPresent || aux == Closed::kMay || aux == Closed::kMust ||
                        TextAt(first + 1) == "would");
  if (!general || out_.content.size() < 2 || out_.persons.size() != 1) return;
  const auto own = [](const QuestionItem& item) {
    return item.text == "my" || item.text == "your" || item.text == "our" || item.text == "me" ||
           item.text == "us";
  };
  if (std::ranges::any_of(items_, own)) return;
  out_.persons.clear();
  out_.subjects = out_.pronouns = 0;
  out_.closed &= ~(uint32_t{1} << static_cast<uint32_t>(person));
}

}  // namespace nextgate::cache
