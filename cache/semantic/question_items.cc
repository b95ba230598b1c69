#include "cache/semantic/question_analyser.h"

#include <algorithm>
#include <utility>

namespace nextgate::cache {
namespace {

struct Contraction {
  std::string_view word, first, second;
};
// Written without the apostrophe, or irregular.
constexpr Contraction kContractions[] = {
    {"can't", "can", "not"},     {"cant", "can", "not"},      {"cannot", "can", "not"},
    {"won't", "will", "not"},    {"wont", "will", "not"},     {"shan't", "shall", "not"},
    {"ain't", "is", "not"},      {"aint", "is", "not"},       {"dont", "do", "not"},
    {"doesnt", "does", "not"},   {"didnt", "did", "not"},     {"isnt", "is", "not"},
    {"arent", "are", "not"},     {"wasnt", "was", "not"},     {"werent", "were", "not"},
    {"hasnt", "has", "not"},     {"havent", "have", "not"},   {"hadnt", "had", "not"},
    {"couldnt", "could", "not"}, {"wouldnt", "would", "not"}, {"shouldnt", "should", "not"},
    {"im", "i", "am"},           {"ive", "i", "have"},        {"whats", "what", "is"},
    {"hows", "how", "is"},       {"wheres", "where", "is"},   {"whens", "when", "is"},
    {"whos", "who", "is"},       {"thats", "that", "is"},     {"theres", "there", "is"},
    {"let's", "let", ""},        {"y'all", "you", ""},        {"gimme", "give", "me"},
    {"lemme", "let", "me"},      {"o'clock", "", ""},         {"u", "you", ""},
    {"ur", "your", ""},
};

std::pair<std::string, std::string> TakeApart(const std::string& word) {
  for (const Contraction& c : kContractions)
    if (c.word == word) return {std::string(c.first), std::string(c.second)};
  const size_t mark = word.rfind('\'');
  if (mark == std::string::npos) return {word, {}};
  const std::string base = word.substr(0, mark);
  const std::string_view end = std::string_view(word).substr(mark + 1);
  if (end == "t" && base.ends_with('n')) return {base.substr(0, base.size() - 1), "not"};
  if (end == "s") return {base, RoleOf(base) == WordRole::kFunction ? "is" : ""};
  if (end == "re") return {base, "are"};
  if (end == "m") return {base, "am"};
  if (end == "ve") return {base, "have"};
  if (end == "ll") return {base, "will"};
  if (end == "d") return {base, "would"};
  return {word, {}};
}

}  // namespace

void QuestionAnalyser::TakePieces(const Pieces& pieces) {
  for (const Piece& piece : pieces.pieces) {
    QuestionItem item{.kind = piece.kind,
                      .text = piece.text,
                      .capital = piece.capital,
                      .all_caps = piece.all_caps,
                      .first = piece.first,
                      .quoted = piece.quoted};
    if (piece.kind != PieceKind::kWord) {
      items_.push_back(std::move(item));
      continue;
    }
    auto [first, second] = TakeApart(piece.text);
    item.text = std::move(first);
    if (!item.text.empty()) items_.push_back(item);
    if (second.empty()) continue;
    item.text = std::move(second);
    item.capital = item.all_caps = item.first = false;
    items_.push_back(std::move(item));
  }
  DropTagQuestion();
  FindTitleCase();
}

// "…, isn't it?" asks what the sentence says.
void QuestionAnalyser::DropTagQuestion() {
  static constexpr std::string_view kPronouns[] = {"i",  "you", "he",   "she",
                                                   "it", "we",  "they", "there"};
  size_t end = items_.size();
  while (end > 0 && items_[end - 1].kind == PieceKind::kStop) --end;
  size_t at = end;
  const auto take = [&](auto is) {
    if (at == 0 || !is(items_[at - 1])) return false;
    --at;
    return true;
  };
  const auto is_not = [](const QuestionItem& item) { return item.text == "not"; };
  take(is_not);
  if (!take([](const QuestionItem& item) { return Among(kPronouns, item.text); })) return;
  take(is_not);
  const auto is_aux = [](const QuestionItem& item) {
    const Closed c = ClosedOf(item.text);
    return c == Closed::kPast || c == Closed::kPresent || c == Closed::kFuture ||
           c == Closed::kMay || item.text == "have" || item.text == "has";
  };
  if (take(is_aux) && at > 1 && items_[at - 1].kind == PieceKind::kComma) items_.resize(at - 1);
}

void QuestionAnalyser::FindTitleCase() {
  size_t inner = 0, capitals = 0;
  for (const QuestionItem& item : items_) {
    if (item.kind != PieceKind::kWord || item.first || item.text == "i") continue;
    ++inner;
    capitals += item.capital ? 1 : 0;
  }
  no_case_ = inner > 0 && capitals * 3 > inner * 2;
  if (no_case_) return;
  // "US" and "us", "IT" and "it" are two words.
  for (QuestionItem& item : items_)
    if (item.all_caps && (item.text == "us" || item.text == "it" || item.text == "who"))
      item.text.push_back('^');
}

bool QuestionAnalyser::IsName(const QuestionItem& item) const {
  if (item.quoted) return true;
  if (item.kind != PieceKind::kWord) return false;
  if (item.text.find_first_of("0123456789") != std::string::npos) return true;
  return !no_case_ && item.capital && (!item.first || item.all_caps);
}

}  // namespace nextgate::cache
