#include "cache/semantic/answer_comparator.h"

#include <algorithm>
#include <span>
#include <utility>

namespace nextgate::cache {
namespace {

using Label = AnswerVerdict::Label;
using Reason = AnswerVerdict::Reason;

AnswerVerdict NoLabel(Reason reason, std::string failure = "") {
  return {.label = Label::kNone, .reason = reason, .cosine = {}, .failure = std::move(failure)};
}

Reason ReasonOf(FactClash clash) {
  switch (clash) {
    case FactClash::kNumbers:
      return Reason::kNumbers;
    case FactClash::kNames:
      return Reason::kNames;
    case FactClash::kNegation:
      return Reason::kNegation;
    case FactClash::kOpposites:
      return Reason::kOpposites;
  }
  return Reason::kNumbers;
}

// What the texts alone say.
std::optional<AnswerVerdict> DecideByFacts(const StatedFacts& stored,
                                           const StatedFacts& generated) {
  if (stored.text == generated.text)
    return AnswerVerdict{
        .label = Label::kSame, .reason = Reason::kEqual, .cosine = {}, .failure = {}};
  if (const auto clash = ClashOf(stored, generated))
    return AnswerVerdict{
        .label = Label::kDifferent, .reason = ReasonOf(*clash), .cosine = {}, .failure = {}};
  return std::nullopt;
}

// The text in pieces of at most kPieceBytes, cut at the last end of a sentence or line before that,
// else at the last space, else between two characters.
std::vector<std::string> PiecesOf(std::string_view text) {
  std::vector<std::string> pieces;
  while (text.size() > AnswerComparator::kPieceBytes) {
    const std::string_view head = text.substr(0, AnswerComparator::kPieceBytes);
    size_t cut = std::string_view::npos;
    for (const std::string_view mark : {".", "!", "?", "\n", "。", "！", "？"})
      if (const size_t at = head.rfind(mark); at != std::string_view::npos && at > 0)
        cut = cut == std::string_view::npos ? at + mark.size() : std::max(cut, at + mark.size());
    if (cut == std::string_view::npos) cut = head.rfind(' ');
    if (cut == std::string_view::npos || cut == 0) {
      cut = head.size();
      while (cut > 1 && (text[cut] & 0xc0) == 0x80) --cut;
    }
    pieces.emplace_back(text.substr(0, cut));
    text.remove_prefix(cut);
  }
  if (!text.empty() || pieces.empty()) pieces.emplace_back(text);
  return pieces;
}

float Cosine(const Embedding& a, const Embedding& b) {
  float sum = 0;
  for (size_t i = 0; i < std::min(a.values.size(), b.values.size()); ++i)
    sum += a.values[i] * b.values[i];
  return sum;
}

// The least, over the pieces of `a`, of the cosine with their nearest in `b`.
float LeastCounterpart(std::span<const Embedding> a, std::span<const Embedding> b) {
  float least = 1;
  for (const Embedding& piece : a) {
    float nearest = -1;
    for (const Embedding& other : b) nearest = std::max(nearest, Cosine(piece, other));
    least = std::min(least, nearest);
  }
  return least;
}

bool Supported(std::span<const Embedding> pieces) {
  int64_t tokens = 0, unknown = 0;
  for (const Embedding& piece : pieces) {
    tokens += piece.num_tokens;
    unknown += piece.num_unknown;
  }
  return static_cast<double>(unknown) <=
         AnswerComparator::kUnknownMax * static_cast<double>(tokens);
}

}  // namespace

std::string_view NameOf(AnswerVerdict::Reason reason) {
  static constexpr std::array<std::string_view, AnswerVerdict::kReasons> kNames = {
      "equal",  "numbers",     "names",        "negation",    "opposites",  "judge",
      "cosine", "no_embedder", "not_embedded", "unsupported", "not_judged", "too_long"};
  return kNames[static_cast<size_t>(reason)];
}

AnswerComparator::AnswerComparator(const Options& options, Embedder* embedder, AnswerJudge* judge)
    : options_(options), embedder_(embedder), judge_(judge) {}

AnswerVerdict AnswerComparator::Compare(std::string_view question, std::string_view stored,
                                        std::string_view generated, Deadline deadline) {
  const AnswerVerdict verdict = Decide(question, stored, generated, deadline);
  counts_[static_cast<size_t>(verdict.reason)].fetch_add(1, std::memory_order_relaxed);
  return verdict;
}

void AnswerComparator::Close() {
  if (judge_ != nullptr) judge_->Close();
}

int64_t AnswerComparator::count(AnswerVerdict::Reason reason) const {
  return counts_[static_cast<size_t>(reason)].load(std::memory_order_relaxed);
}

AnswerVerdict AnswerComparator::Decide(std::string_view question, std::string_view stored,
                                       std::string_view generated, Deadline deadline) const {
  const auto plain = DecideByFacts(options_.facts(stored), options_.facts(generated));
  if (judge_ == nullptr) return DecideByCosine(stored, generated, plain, deadline);
  // Asked also where the texts alone decide, or a judge that is away would leave those labels only.
  const Result<bool> same = judge_->Same(question, stored, generated, deadline);
  if (!same) return NoLabel(Reason::kNotJudged, same.error().message);
  const bool decided =
      plain && (plain->reason == Reason::kEqual || plain->reason == Reason::kNumbers ||
                plain->reason == Reason::kNames);
  if (decided) return *plain;
  return {.label = *same ? Label::kSame : Label::kDifferent,
          .reason = Reason::kJudge,
          .cosine = {},
          .failure = {}};
}

AnswerVerdict AnswerComparator::DecideByCosine(std::string_view stored, std::string_view generated,
                                               std::optional<AnswerVerdict> plain,
                                               Deadline deadline) const {
  if (embedder_ == nullptr) return NoLabel(Reason::kNoEmbedder);
  std::vector<std::string> texts = PiecesOf(stored);
  const size_t of_stored = texts.size();
  for (std::string& piece : PiecesOf(generated)) texts.push_back(std::move(piece));
  if (texts.size() > kPiecesMax) return NoLabel(Reason::kTooLong);

  const Result<std::vector<Embedding>> embedded = embedder_->Embed(texts, deadline);
  if (!embedded) return NoLabel(Reason::kNotEmbedded, embedded.error().message);
  if (embedded->size() != texts.size()) return NoLabel(Reason::kNotEmbedded);
  const std::span<const Embedding> all(*embedded);
  const auto first = all.first(of_stored), second = all.subspan(of_stored);
  if (!Supported(first) || !Supported(second)) return NoLabel(Reason::kUnsupported);
  if (plain) return *plain;
  const float cosine = std::min(LeastCounterpart(first, second), LeastCounterpart(second, first));
  return {.label = cosine >= options_.cosine_min ? Label::kSame : Label::kDifferent,
          .reason = Reason::kCosine,
          .cosine = cosine,
          .failure = {}};
}

}  // namespace nextgate::cache
