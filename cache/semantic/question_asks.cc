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
  if (out_.asks != Closed::kNone && TextAt(at_) == "do") return;  // "where do you get it"
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
  while (last > 0 && items_[last - 1].kind == PieceKind::kStop) --last;
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

// The first word that asks, and what else it says: "how many", "what is a …".
void QuestionAnalyser::NoteAsked(Closed c) {
  if (c < Closed::kWho || c > Closed::kWhich) return;
  static constexpr std::string_view kBe[] = {"is", "are"};
  const Closed kind = c == Closed::kWhich ? Closed::kWhat : c;
  if (Before() == "and" && kind != out_.asks)
    out_.also_asks |= uint32_t{1} << static_cast<uint32_t>(c);
  if (out_.asks == Closed::kNone) {
    out_.asks = kind;
    const bool what = TextAt(at_) == "what" && RoleOf(TextAt(at_ + 1)) != WordRole::kFunction;
    out_.which = c == Closed::kWhich || what;
  }
  if (TextAt(at_) == "how" && TextAt(at_ + 1) == "many") out_.how_many = true;
  constexpr size_t kAhead = 4;
  for (size_t at = at_ + 1; at < at_ + kAhead; ++at)
    if ((TextAt(at) == "number" || TextAt(at) == "amount") && TextAt(at + 1) == "of")
      out_.how_many = true;
  if (TextAt(at_) == "what" && Among(kBe, TextAt(at_ + 1)) && out_.what_is == Determiner::kNone)
    out_.what_is = DeterminerOf(TextAt(at_ + 2));
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

bool QuestionAnalyser::HasWh() const {
  static constexpr Closed kAsks[] = {Closed::kWho, Closed::kWhen, Closed::kWhere, Closed::kWhy,
                                     Closed::kHow, Closed::kWhat, Closed::kWhich};
  return std::ranges::any_of(kAsks, [&](Closed c) { return out_.has(c); });
}

size_t QuestionAnalyser::FirstWord() const {
  size_t first = 0;
  while (first < items_.size() &&
         (items_[first].kind == PieceKind::kComma || items_[first].kind == PieceKind::kStop ||
          RoleOf(items_[first].text) == WordRole::kFiller))
    ++first;
  return first;
}

// Whether "Is …", "Does …", "Can I …" begins at `at`, and does not ask somebody to do something.
bool QuestionAnalyser::AsksWhether(size_t at) const {
  const Closed c = ClosedOf(TextAt(at));
  const bool request =
      (TextAt(at) == "do" && TextAt(at + 1) == "you" && TextAt(at + 2) == "know") ||
      ((c == Closed::kMay || c == Closed::kFuture || TextAt(at) == "would") &&
       TextAt(at + 1) == "you");
  const bool aux = c == Closed::kPast || c == Closed::kPresent || c == Closed::kFuture ||
                   c == Closed::kMay || c == Closed::kMust || TextAt(at) == "has" ||
                   TextAt(at) == "have";
  return aux && !request;
}

// "do I have to" is must, "is there a way to" is may, "is there a reason" is why.
void QuestionAnalyser::NoteModal(size_t first) {
  const auto add = [&](Closed c) { out_.closed |= uint32_t{1} << static_cast<uint32_t>(c); };
  const bool has_to = (TextAt(first) == "do" || TextAt(first) == "does") &&
                      (TextAt(first + 2) == "have" || TextAt(first + 2) == "need") &&
                      TextAt(first + 3) == "to";
  if (has_to) add(Closed::kMust);
  const bool way = TextAt(first) == "is" && TextAt(first + 1) == "there" &&
                   (TextAt(first + 2) == "way" || TextAt(first + 3) == "way");
  if (way) add(Closed::kMay);
  const bool reason = TextAt(first) == "is" && TextAt(first + 1) == "there" &&
                      (TextAt(first + 2) == "reason" || TextAt(first + 3) == "reason");
  if (!reason) return;
  add(Closed::kWhy);
  out_.asks = Closed::kWhy;
}

// "Is …?", "if I pay, is there …?", "check whether …", 能 … 吗.
void QuestionAnalyser::FindYesNo() {
  static constexpr std::string_view kWhether[] = {"吗",     "能不能",   "是否",   "能否",
                                                  "可否",   "可不可以", "是不是", "有没有",
                                                  "会不会", "要不要",   "whether"};
  static constexpr std::string_view kThenIf[] = {
      "check", "know", "see", "tell", "me", "us", "verify", "wondering", "wonder", "confirm"};
  static constexpr std::string_view kAny[] = {"anything", "something"};
  static constexpr std::string_view kSubjects[] = {"i", "you", "we", "they", "there"};
  static constexpr std::string_view kNeed[] = {"need", "require", "bring", "provide"};
  const size_t first = FirstWord();
  NoteModal(first);
  if (HasWh()) return;
  size_t begins = items_.size();  // the auxiliary
  for (size_t at = first; at < items_.size() && begins == items_.size(); ++at) {
    const bool after_comma = at > first && items_[at - 1].kind == PieceKind::kComma;
    const bool inverted = Among(kSubjects, TextAt(at + 1)) && TextAt(at) != "have";
    if ((at == first || after_comma || inverted) && AsksWhether(at)) begins = at;
    const bool whether = Among(kWhether, TextAt(at)) ||
                         (TextAt(at) == "if" && at > 0 && Among(kThenIf, TextAt(at - 1)));
    if (whether) out_.yes_no = true;
  }
  if (begins == items_.size()) return;
  for (size_t at = begins; at + 1 < items_.size(); ++at) {
    if (!Among(kNeed, TextAt(at))) continue;
    const bool to_do =
        TextAt(at + 1) == "to" && TextAt(at + 2) == "do" && Among(kAny, TextAt(at + 3));
    if (!to_do && !Among(kAny, TextAt(at + 1))) continue;
    // "do I need anything" is what do I need, "do I need to do anything" what should I do.
    out_.asks = to_do ? Closed::kHow : Closed::kWhat;
    out_.closed |= uint32_t{1} << static_cast<uint32_t>(out_.asks);
    return;
  }
  out_.yes_no = true;
  size_t subject = begins + 1;
  while (DeterminerOf(TextAt(subject)) != Determiner::kNone) ++subject;
  const std::string_view text = TextAt(subject);
  const bool way =
      TextAt(begins + 1) == "there" && TextAt(begins + 3) == "way" && TextAt(begins + 4) == "i";
  if (text == "i" || text == "we" || way)
    out_.subject = "i";
  else if (RoleOf(text) == WordRole::kContent)
    out_.subject = StemOf(text);
}

// "Cancel my card", "talk faster", "can you report it for me".
void QuestionAnalyser::FindOrder() {
  static constexpr std::string_view kVerbs[] = {
      "put",    "set",      "stop",   "cancel", "block", "freeze",   "unfreeze", "close",  "open",
      "turn",   "add",      "remove", "delete", "send",  "pay",      "move",     "book",   "call",
      "start",  "talk",     "speak",  "play",   "find",  "increase", "decrease", "raise",  "lower",
      "remind", "schedule", "track",  "locate", "pick",  "repeat",   "pause",    "resume", "skip"};
  static constexpr std::string_view kObjects[] = {"it", "me", "all", "him", "them"};
  const size_t first = FirstWord();
  const std::string_view next = TextAt(first + 1);
  const WordRole role = RoleOf(TextAt(first));
  const bool word = role == WordRole::kContent || role == WordRole::kLight;
  const bool taken = DeterminerOf(next) != Determiner::kNone || Among(kObjects, next);
  out_.order = (word && taken) || Among(kVerbs, TextAt(first));
}

// "My card was declined.": neither a question nor a wish nor an order.
void QuestionAnalyser::FindStatement() {
  static constexpr std::string_view kFinite[] = {"is",  "are", "am",   "was", "were", "has",
                                                 "had", "did", "does", "do",  "have"};
  static constexpr std::string_view kWishes[] = {"want",   "need", "wish",  "help",   "would",
                                                 "please", "can",  "could", "trying", "looking"};
  if (HasWh() || out_.yes_no) return;
  const auto has = [&](std::span<const std::string_view> words) {
    return std::ranges::any_of(items_,
                               [&](const QuestionItem& item) { return Among(words, item.text); });
  };
  const Closed first = ClosedOf(TextAt(FirstWord()));
  const bool inverted = first >= Closed::kPast && first <= Closed::kMust;  // "might you have …"
  for (size_t at = 0; at + 2 < items_.size(); ++at) {
    const bool denied = TextAt(at) == "i" && (TextAt(at + 1) == "am" || TextAt(at + 1) == "will") &&
                        TextAt(at + 2) == "not";
    out_.will_not = out_.will_not || denied;
  }
  out_.statement = has(kFinite) && !has(kWishes) && out_.negations == 0 && !inverted;
  FindOrder();
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
