// How two questions differ, gate by gate: the bodies of the gates that look at texts (gates.h says what each
// refuses). Each returns what it saw, in words, or nothing if it does not refuse.
//
// Threads: of one thread; const after construction. Linear in the length of both texts.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "cache/semantic/question_text.h"

namespace nextgate::cache {

class QuestionDifference {
 public:
  using Refusal = std::optional<std::string>;
  // Of so many words in one text that the other has not, no counterparts are looked for.
  static constexpr size_t kComparedMax = 24;

  // Both are borrowed.
  QuestionDifference(const Question& asked, const Question& stored);

  Refusal Numbers() const;
  Refusal Names() const;
  Refusal Negation() const;
  Refusal Antonyms() const;
  Refusal Order() const;
  Refusal Language() const;
  Refusal Length(double ratio_max) const;

 private:
  using Words = std::vector<const ContentWord*>;
  template <class Clash>
  Refusal Across(Clash clash) const;
  void DropCounterparts();
  void DropCompounds();
  Refusal ClosedClasses() const;
  Refusal Forms() const;  // question_form_compare.cc
  static Refusal Roles(const Question& asked, const Question& stored);
  static Refusal PlaceOf(const Question& asked, const Question& stored, const ContentWord& word,
                         const ContentWord& other);
  static Refusal OrderOneWay(const Question& asked, const Question& stored);

  const Question& asked_;
  const Question& stored_;
  Words only_asked_, only_stored_;  // content words without a counterpart
};

}  // namespace nextgate::cache
