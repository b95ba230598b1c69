#include "gateway/prompt_builder.h"

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

namespace nextgate::gateway {
namespace {

// Where special tokens begin in the template's text, found as the tokenizer finds them: leftmost,
// then longest. Offsets in the whole text, ascending.
std::vector<size_t> FindSpecials(const std::vector<engine::TextPiece>& pieces,
                                 const std::vector<std::string>& specials) {
  std::vector<size_t> found;
  size_t offset = 0;
  for (const engine::TextPiece& piece : pieces) {
    const std::string_view text = piece.text;
    for (size_t at = 0; piece.is_template && at < text.size();) {
      const auto special = std::find_if(specials.begin(), specials.end(), [&](const auto& s) {
        return text.substr(at).starts_with(s);
      });
      if (special == specials.end()) {
        ++at;
        continue;
      }
      found.push_back(offset + at);
      at += special->size();
    }
    offset += text.size();
  }
  return found;
}

// Where messages begin: offsets in the whole text, each that of the last special token at or before the
// message's own text; 0 if there is none. Ascending.
struct Opening {
  int32_t message = 0;
  size_t at = 0;
};
constexpr int32_t kAnswer = std::numeric_limits<int32_t>::max();  // the message to be generated

std::vector<Opening> FindOpenings(const RenderedChat& chat, const std::vector<size_t>& specials) {
  std::vector<Opening> openings;
  for (const auto& text : chat.message_texts) {
    if (!openings.empty() && text.message <= openings.back().message) continue;
    const auto after = std::upper_bound(specials.begin(), specials.end(), text.begin);
    openings.push_back(
        {.message = text.message, .at = after == specials.begin() ? 0 : *(after - 1)});
  }
  // The text after the last message: the first special token ends that message, the next one opens
  // the answer.
  if (!chat.pieces.empty() && chat.pieces.back().is_template) {
    size_t tail = 0;
    for (size_t i = 0; i + 1 < chat.pieces.size(); ++i) tail += chat.pieces[i].text.size();
    const auto first = std::lower_bound(specials.begin(), specials.end(), tail);
    if (specials.end() - first >= 2) openings.push_back({.message = kAnswer, .at = *(first + 1)});
  }
  return openings;
}

// Goes through the pieces' text once and encodes it, cut where it is told to.
class Encoder {
 public:
  Encoder(const std::vector<engine::TextPiece>& pieces, const engine::Tokenizer& tokenizer)
      : tokenizer_(tokenizer), piece_(pieces.begin()), end_(pieces.end()) {}

  // The text up to `offset`, as a segment of its own.
  void Encode(size_t offset) {
    std::vector<engine::TextPiece> segment;
    Walk(offset, &segment);
    if (segment.empty()) return;
    const auto ids = tokenizer_.Encode(segment);
    tokens_.insert(tokens_.end(), ids.begin(), ids.end());
  }
  // `ids` for the text up to `offset`.
  void Put(const std::vector<int32_t>& ids, size_t offset) {
    Walk(offset, nullptr);
    tokens_.insert(tokens_.end(), ids.begin(), ids.end());
  }

  int32_t size() const { return static_cast<int32_t>(tokens_.size()); }
  std::vector<int32_t> Take() { return std::move(tokens_); }

 private:
  void Walk(size_t offset, std::vector<engine::TextPiece>* segment) {
    while (piece_ != end_ && offset_ < offset) {
      const std::string_view rest = std::string_view(piece_->text).substr(in_piece_);
      const size_t length = std::min(rest.size(), offset - offset_);
      if (segment != nullptr)
        segment->push_back({std::string(rest.substr(0, length)), piece_->is_template});
      offset_ += length;
      in_piece_ += length;
      if (length < rest.size()) continue;
      ++piece_;
      in_piece_ = 0;
    }
  }

  const engine::Tokenizer& tokenizer_;
  std::vector<engine::TextPiece>::const_iterator piece_, end_;
  size_t in_piece_ = 0;  // of *piece_, before the place where we are
  size_t offset_ = 0;    // of the whole text
  std::vector<int32_t> tokens_;
};

}  // namespace

PromptBuilder::PromptBuilder(const engine::Tokenizer& tokenizer) : tokenizer_(&tokenizer) {
  for (int32_t id = 0; id < tokenizer.size(); ++id)
    if (tokenizer.IsSpecial(id) && !tokenizer.TokenString(id).empty())
      specials_.emplace_back(tokenizer.TokenString(id));
  std::sort(specials_.begin(), specials_.end(),
            [](const auto& a, const auto& b) { return a.size() > b.size(); });
}

Prompt PromptBuilder::Build(const RenderedChat& chat, std::span<const int32_t> marked,
                            std::span<const KnownText> known) const {
  const std::vector<Opening> openings = FindOpenings(chat, FindSpecials(chat.pieces, specials_));
  Prompt prompt;
  Encoder encoder(chat.pieces, *tokenizer_);
  auto next = known.begin();
  const auto encode = [&](size_t offset) {
    for (; next != known.end() && next->begin < offset; ++next) {
      encoder.Encode(next->begin);
      encoder.Put(next->ids, next->end);
    }
    encoder.Encode(offset);
  };
  const auto add = [](std::vector<int32_t>& borders, int32_t border) {
    if (border > 0 && (borders.empty() || border > borders.back())) borders.push_back(border);
  };
  // BPE never crosses a special token, so the text before one and the text from it on encode apart.
  auto mark = marked.begin();
  for (const Opening& opening : openings) {
    encode(opening.at);
    add(prompt.message_borders, encoder.size());
    if (mark == marked.end() || *mark >= opening.message) continue;
    add(prompt.marked_borders, encoder.size());
    while (mark != marked.end() && *mark < opening.message) ++mark;
  }
  encode(std::string_view::npos);
  if (mark != marked.end()) add(prompt.marked_borders, encoder.size());
  prompt.tokens = encoder.Take();
  return prompt;
}

}  // namespace nextgate::gateway
