#include "cache/semantic/question_text.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "cache/semantic/question_analyser.h"
#include "cache/semantic/text_pieces.h"

namespace nextgate::cache {

Determiner DeterminerOf(std::string_view word) {
  static constexpr std::string_view kIndefinite[] = {"a", "an", "another", "some"};
  static constexpr std::string_view kDefinite[] = {"the", "this", "that", "these", "those"};
  static constexpr std::string_view kOwn[] = {"my", "our", "your", "his", "her", "their"};
  if (Among(kIndefinite, word)) return Determiner::kIndefinite;
  if (Among(kDefinite, word)) return Determiner::kDefinite;
  return Among(kOwn, word) ? Determiner::kOwn : Determiner::kNone;
}

void QuestionAnalyser::TakeContent(const QuestionItem& item, bool name) {
  static constexpr std::string_view kUses[] = {"use", "using", "used", "uses"};
  const bool letter = item.kind == PieceKind::kWord && item.text.size() == 1;
  if (letter && before_ == Closed::kNone && !out_.content.empty() &&
      out_.content.back().place + 2 == out_.words.size()) {
    before_ = out_.content.back().before;  // "from account b" is from b
    preposition_ = out_.content.back().preposition;
  }
  out_.content.push_back(
      {.text = item.text,
       .stem = item.kind == PieceKind::kHan ? item.text : StemOf(item.text),
       .before = before_,
       .preposition = before_ == Closed::kNone ? "" : preposition_,
       .name = name,
       .joined = joined_,
       .determiner = DeterminerOf(Before()),
       .owner = DeterminerOf(Before()) == Determiner::kOwn ? ClosedOf(Before()) : Closed::kNone,
       .used = Among(kUses, Before()) ||
               (Among(kUses, Before(1)) && DeterminerOf(Before()) != Determiner::kNone),
       .place = out_.words.size() - 1});
  if (item.text == "old" && Before() == "how") out_.content.back().stem = "age";
  if (item.text == "long" && Before() == "how")
    out_.content.back().stem = "time";  // "how much time"
  if (negator_waits_) out_.negated.back() = out_.content.back().stem;
  before_ = Closed::kNone;
  joined_ = negator_waits_ = false;
  static constexpr std::string_view kPays[] = {"pay", "up",  "money", "add",  "funds",  "account",
                                               "top", "buy", "topup", "load", "deposit"};
  if (item.text == "using" && Among(kPays, Before())) {  // "pay using my card" is by it
    before_ = Closed::kBy;
    preposition_ = "by";
  }
}

// 好不好: asks, and negates nothing.
bool QuestionAnalyser::IsSplitNegator() const {
  if (items_[at_].text != "不" && items_[at_].text != "没") return false;
  const std::string_view before = Before();
  return !before.empty() && TextAt(at_ + 1).starts_with(before);
}

// What adds nothing to the verb before it ("find out", "show up"), "right" before "now".
bool QuestionAnalyser::IsParticle() const {
  static constexpr std::string_view kVerbs[] = {"find",    "figure", "look",   "show",
                                                "come",    "end",    "found",  "shows",
                                                "showing", "comes",  "coming", "looking"};
  static constexpr std::string_view kParticles[] = {"up", "out"};
  const std::string_view text = TextAt(at_), next = TextAt(at_ + 1);
  if (text == "right" && (next == "now" || next == "away")) return true;
  if (text == "away" && (Before() == "right" || Before() == "far")) return true;
  if (text == "order" && Before() == "in" && next == "to") return true;
  if (text == "soon" && Before() == "as" && next == "as") return true;
  if ((text == "cell" || text == "mobile") && (next == "phone" || next == "phones")) return true;
  return Among(kParticles, text) && Among(kVerbs, Before());
}

void QuestionAnalyser::TakeWord() {
  const QuestionItem& item = items_[at_];
  TakeWrapper();
  TakeClosed(item);
  out_.words.push_back(item.text);
  if (item.text == "only" || item.text == "只") out_.only.emplace_back(TextAt(at_ + 1));
  const bool name = IsName(item);
  // "from account a to b": a letter, no article.
  static constexpr std::string_view kAfterLetter[] = {"", "to", "from", "into", "and", "or", "by"};
  const bool letter = item.text == "a" && Among(kAfterLetter, TextAt(at_ + 1));
  WordRole role = item.text.ends_with('^') || letter ? WordRole::kContent : RoleOf(item.text);
  if (role == WordRole::kLight && at_ < wrapped_until_) role = WordRole::kFiller;
  const bool joins =
      item.text == "and" || item.text == "or" || item.text == "和" || item.text == "或";
  if (joins) joined_ = true;
  if (role == WordRole::kNegator && !IsSplitNegator()) {
    ++out_.negations;
    out_.negated.emplace_back();
    negator_waits_ = true;
  } else if ((role == WordRole::kContent || role == WordRole::kLight) && !IsParticle()) {
    static constexpr std::string_view kTimes[] = {"time", "date", "day"};
    const bool after_what =
        Before() == "what" || Before() == "which" ||
        ((Before() == "the" || Before() == "a") && Before(1) == "is" && Before(2) == "what");
    const bool asks_time =
        (after_what && Among(kTimes, item.text)) || (Before() == "how" && item.text == "soon");
    if (!asks_time) TakeContent(item, name);
  } else if (role == WordRole::kFunction && item.kind == PieceKind::kWord && !joins) {
    negator_waits_ = false;  // "didn't my transfer arrive": what is negated comes later
  }
  ++at_;
}

Question QuestionAnalyser::Analyse() {
  while (at_ < items_.size()) {
    const QuestionItem& item = items_[at_];
    if (item.kind == PieceKind::kComma || item.kind == PieceKind::kStop) {
      before_ = Closed::kNone;
      ++at_;
      continue;
    }
    const size_t from = at_;
    if (item.quoted || item.kind == PieceKind::kSign || item.kind == PieceKind::kNumber) {
      if (item.kind == PieceKind::kNumber && TakeNumber()) {
      } else if (item.kind == PieceKind::kSign && TakeCurrency()) {
      } else {
        TakeWord();
      }
    } else if (item.text == "百分之") {
      out_.numbers.emplace_back(" %");
      ++at_;
    } else if (!TakeDate() && !TakeNumberWords() && !TakeCurrency()) {
      TakeWord();
    }
    for (size_t i = from; i < at_; ++i) out_.plain.append(items_[i].text).push_back(' ');
    if (at_ > from && before_ != Closed::kNone && items_[at_ - 1].kind == PieceKind::kNumber)
      before_ = Closed::kNone;
  }
  FindForm();
  DropGenericPerson();
  // "March 2nd" is "2 March".
  if (std::ranges::any_of(out_.dates, [](const std::string& date) { return date.front() == 'm'; }))
    for (std::string& number : out_.numbers)
      if (number.front() == '#') number.erase(0, 1);
  out_.num_words = out_.content.size() + out_.numbers.size() + out_.dates.size();
  return std::move(out_);
}

namespace {

Script ScriptOf(const Pieces& pieces) {
  const size_t letters = pieces.latin + pieces.han + pieces.other;
  if (letters == 0) return Script::kNone;
  if (pieces.other * 20 > letters) return Script::kOther;
  // A Han character weighs as much as a short word.
  return pieces.han * 4 >= pieces.latin ? Script::kHan : Script::kLatin;
}

}  // namespace

Question AnalyseQuestion(std::string_view text) {
  const std::optional<Pieces> pieces = CutText(text);
  if (!pieces) {
    Question question;
    question.utf8 = false;
    return question;
  }
  Question question = QuestionAnalyser(*pieces).Analyse();
  question.script = ScriptOf(*pieces);
  return question;
}

bool HasAny(const Question& question, std::span<const std::string_view> words) {
  return std::ranges::any_of(question.words, [&](const std::string& word) {
    return std::ranges::find(words, std::string_view(word)) != words.end();
  });
}

}  // namespace nextgate::cache
