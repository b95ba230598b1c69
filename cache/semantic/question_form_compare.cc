// Whether two questions want answers of different kinds.
#include <algorithm>
#include <span>
#include <string_view>

#include "cache/semantic/question_compare.h"

namespace nextgate::cache {
namespace {

using Refusal = QuestionDifference::Refusal;

// "… for my daughter"
bool IsFor(const Question& question, std::string_view stem) {
  return !stem.empty() && std::ranges::any_of(question.content, [&](const ContentWord& word) {
    return word.stem == stem && word.preposition == "for" && word.determiner == Determiner::kOwn;
  });
}

bool SaysCan(const Question& question) {
  static constexpr std::string_view kWords[] = {"able", "unable", "possible"};
  return question.has(Closed::kMay) || HasAny(question, kWords);
}

// Which, and not how many in other words.
bool AsksWhich(const Question& question) {
  static constexpr std::string_view kAmount[] = {"amount", "count",   "number", "total",
                                                 "much",   "many",    "per",    "in",
                                                 "limit",  "maximum", "most"};
  return question.form.which && !question.form.how_many && !HasAny(question, kAmount);
}

bool AsksNothing(const QuestionForm& form) { return form.asks == Closed::kNone && !form.yes_no; }

// What makes `one` another kind of question than `other`; asked both ways round.
Refusal OneWay(const Question& one, const Question& other) {
  const QuestionForm &a = one.form, &b = other.form;
  if (a.how_many && AsksWhich(other)) return "how many is not which";
  if ((a.also_asks & ~other.closed) != 0) return "another question besides";
  if (a.asks == Closed::kHow && b.order) return "how to is not to do";
  if (a.asks == Closed::kHow && one.num_words == 1 && other.num_words == 1 && AsksNothing(b))
    return "how to is not to do";  // "unsubscribe"
  if (a.where_to && AsksNothing(b)) return "where to is not asked";
  if (a.asks == Closed::kWhy && b.order) return "why is not asked";
  if (a.yes_no && b.order) return "whether is not to do";
  const bool points = a.asks == Closed::kWho || a.asks == Closed::kWhen || a.asks == Closed::kWhere;
  if (points && (b.request || b.statement)) return "who, when or where is not asked";
  if (a.asks == Closed::kWhere && b.order) return "where is not asked";
  if (a.asks == Closed::kWhy && b.request) return "why is not asked";
  if (a.asks == Closed::kHow && b.request) return "how is not asked";
  const bool han = one.script == Script::kHan && other.script == Script::kHan;
  if (han && a.yes_no && AsksNothing(b)) return "whether is not asked";
  if (han && a.asks == Closed::kHow && AsksNothing(b)) return "how is not asked";
  if (a.yes_no && b.statement) return "whether is not that";
  if (a.will_not && !SaysCan(one) && SaysCan(other)) return "will not is not cannot";
  if (a.what_is == Determiner::kIndefinite && b.what_is > Determiner::kIndefinite)
    return "what one is, and what it is now";
  if (a.subject != "i") return std::nullopt;
  if (IsFor(one, b.subject)) return "done by another";
  const bool can_i = one.has(Closed::kMay) && other.has(Closed::kPresent) && b.yes_no;
  if (can_i && !b.subject.empty() && b.subject != "i") return "can I is not is it";
  return std::nullopt;
}

}  // namespace

Refusal QuestionDifference::Forms() const {
  const Closed a = asked_.form.asks, b = stored_.form.asks;
  if (a != Closed::kNone && b != Closed::kNone && a != b)
    return std::string(NameOf(a)).append(" is not ").append(NameOf(b));
  if (Refusal r = OneWay(asked_, stored_)) return r;
  return OneWay(stored_, asked_);
}

}  // namespace nextgate::cache
