// What kind of answer a question wants: QuestionForm.
#include <algorithm>
#include <span>

#include "cache/semantic/question_analyser.h"

namespace nextgate::cache {

// The first word that asks, and what else it says: "how many", "what is a …".
void QuestionAnalyser::NoteAsked(Closed c) {
  if (c < Closed::kWho || c > Closed::kWhich) return;
  static constexpr std::string_view kBe[] = {"is", "are"};
  const Closed kind = c == Closed::kWhich ? Closed::kWhat : c;
  if (Before() == "and" && kind != out_.form.asks)
    out_.form.also_asks |= uint32_t{1} << static_cast<uint32_t>(c);
  if (out_.form.asks == Closed::kNone) {
    out_.form.asks = kind;
    const bool what = TextAt(at_) == "what" && RoleOf(TextAt(at_ + 1)) != WordRole::kFunction;
    out_.form.which = c == Closed::kWhich || what;
    out_.form.where_to = c == Closed::kWhere && TextAt(at_ + 3) == "go";
  }
  if (TextAt(at_) == "how" && TextAt(at_ + 1) == "many") out_.form.how_many = true;
  constexpr size_t kAhead = 4;
  for (size_t at = at_ + 1; at < at_ + kAhead; ++at)
    if ((TextAt(at) == "number" || TextAt(at) == "amount") && TextAt(at + 1) == "of")
      out_.form.how_many = true;
  if (TextAt(at_) == "what" && Among(kBe, TextAt(at_ + 1)) &&
      out_.form.what_is == Determiner::kNone)
    out_.form.what_is = DeterminerOf(TextAt(at_ + 2));
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

// "can you", "will you", "would you"
bool QuestionAnalyser::AsksYou(size_t at) const {
  const Closed c = ClosedOf(TextAt(at));
  return (c == Closed::kMay || c == Closed::kFuture || TextAt(at) == "would") &&
         TextAt(at + 1) == "you";
}

// Whether "Is …", "Does …", "Can I …" begins at `at`, and does not ask somebody to do something.
bool QuestionAnalyser::AsksWhether(size_t at) const {
  const Closed c = ClosedOf(TextAt(at));
  const bool request =
      AsksYou(at) || (TextAt(at) == "do" && TextAt(at + 1) == "you" && TextAt(at + 2) == "know");
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
  const auto is_there = [&](std::string_view what) {
    return TextAt(first) == "is" && TextAt(first + 1) == "there" &&
           (TextAt(first + 2) == what || TextAt(first + 3) == what);
  };
  if (is_there("way")) add(Closed::kMay);
  if (!is_there("reason")) return;
  add(Closed::kWhy);
  out_.form.asks = Closed::kWhy;
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
    if (whether) out_.form.yes_no = true;
  }
  if (begins == items_.size()) return;
  for (size_t at = begins; at + 1 < items_.size(); ++at) {
    if (!Among(kNeed, TextAt(at))) continue;
    const bool to_do =
        TextAt(at + 1) == "to" && TextAt(at + 2) == "do" && Among(kAny, TextAt(at + 3));
    if (!to_do && !Among(kAny, TextAt(at + 1))) continue;
    // "do I need anything" is what do I need, "do I need to do anything" what should I do.
    out_.form.asks = to_do ? Closed::kHow : Closed::kWhat;
    out_.closed |= uint32_t{1} << static_cast<uint32_t>(out_.form.asks);
    return;
  }
  out_.form.yes_no = true;
  size_t subject = begins + 1;
  while (DeterminerOf(TextAt(subject)) != Determiner::kNone) ++subject;
  const std::string_view text = TextAt(subject);
  const bool way =
      TextAt(begins + 1) == "there" && TextAt(begins + 3) == "way" && TextAt(begins + 4) == "i";
  if (text == "i" || text == "we" || way)
    out_.form.subject = "i";
  else if (RoleOf(text) == WordRole::kContent)
    out_.form.subject = StemOf(text);
}

// "Cancel my card", "talk faster".
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
  out_.form.order = (word && taken) || Among(kVerbs, TextAt(first));
}

// "My card was declined.": neither a question nor a wish nor an order.
void QuestionAnalyser::FindStatement() {
  static constexpr std::string_view kFinite[] = {"is",   "are",     "am",    "was",  "were",
                                                 "has",  "had",     "did",   "does", "do",
                                                 "have", "appears", "seems", "looks"};
  static constexpr std::string_view kWishes[] = {"want",   "need", "wish",  "help",   "would",
                                                 "please", "can",  "could", "trying", "looking"};
  const auto has = [&](std::span<const std::string_view> words) {
    return std::ranges::any_of(items_,
                               [&](const QuestionItem& item) { return Among(words, item.text); });
  };
  const Closed first = ClosedOf(TextAt(FirstWord()));
  const bool inverted = first >= Closed::kPast && first <= Closed::kMust;  // "might you have …"
  out_.form.statement = has(kFinite) && !has(kWishes) && out_.negations == 0 && !inverted;
}

// "I am not doing it", "I will not do it".
void QuestionAnalyser::FindRefusal() {
  for (size_t at = 0; at + 2 < items_.size(); ++at) {
    const std::string_view aux = TextAt(at + 1);
    if (TextAt(at) == "i" && (aux == "am" || aux == "will") && TextAt(at + 2) == "not")
      out_.form.will_not = true;
  }
}

void QuestionAnalyser::FindForm() {
  FindYesNo();
  out_.form.request = AsksYou(FirstWord()) && !HasWh();
  if (HasWh() || out_.form.yes_no) return;
  FindStatement();
  FindOrder();
  FindRefusal();
}

}  // namespace nextgate::cache
