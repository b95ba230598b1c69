// The second half of AnalyseQuestion: pieces become numbers, dates, content words and closed classes. One pass
// from the left; each Take… looks at the item at at_ and, if it is of its kind, takes it and says so.
//
// Bodies: question_items.cc (contractions, capitals), question_numbers.cc (numbers, units, dates),
// question_asks.cc (who asks whom for what), question_form.cc (what kind of answer), question_text.cc (words, and the pass).
//
// Threads: of one thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cache/semantic/question_text.h"
#include "cache/semantic/text_pieces.h"

namespace nextgate::cache {

inline bool Among(std::span<const std::string_view> list, std::string_view word) {
  return std::ranges::find(list, word) != list.end();
}

Determiner DeterminerOf(std::string_view word);

// A piece after contractions are taken apart.
struct QuestionItem {
  PieceKind kind = PieceKind::kWord;
  std::string text;
  bool capital = false, all_caps = false, first = false, quoted = false;
};

class QuestionAnalyser {
 public:
  explicit QuestionAnalyser(const Pieces& pieces) { TakePieces(pieces); }
  Question Analyse();

 private:
  void TakePieces(const Pieces& pieces);
  void DropTagQuestion();
  void FindTitleCase();
  Closed AskedFor(Closed c) const;
  bool TakeNumber();
  bool TakeNumberWords();
  bool TakeCurrency();
  bool TakeDate();
  void TakeWrapper();
  void FindForm();
  void FindYesNo();
  void FindOrder();
  void FindRefusal();
  void NoteModal(size_t first);
  void FindStatement();
  bool AsksYou(size_t at) const;
  bool AsksWhether(size_t at) const;
  bool HasWh() const;
  size_t FirstWord() const;
  void DropGenericPerson();
  void NoteAsked(Closed c);
  void NoteCase(const QuestionItem& item, Closed person);
  void TakeWord();
  void TakeClosed(const QuestionItem& item);
  void TakeContent(const QuestionItem& item, bool name);
  void AddNumber(std::string value);
  void AddCurrency(std::string_view code);
  std::string UnitAhead();
  bool IsName(const QuestionItem& item) const;
  bool IsSplitNegator() const;
  bool IsParticle() const;
  const QuestionItem* At(size_t at) const { return at < items_.size() ? &items_[at] : nullptr; }
  std::string_view TextAt(size_t at) const {
    return at < items_.size() ? std::string_view(items_[at].text) : std::string_view();
  }
  // 0 is the one before.
  std::string_view Before(size_t back = 0) const {
    return at_ > back ? std::string_view(items_[at_ - 1 - back].text) : std::string_view();
  }

  std::vector<QuestionItem> items_;
  size_t at_ = 0;
  size_t wrapped_until_ = 0;       // light words in front of it are fillers
  size_t skip_persons_until_ = 0;  // who is polite names no role
  bool no_case_ = false;           // its capitals say nothing
  Closed before_ = Closed::kNone;  // the last preposition that no content word followed yet
  std::string preposition_;        // which it was
  bool joined_ = false;
  bool negator_waits_ = false;
  Question out_;
};

}  // namespace nextgate::cache
