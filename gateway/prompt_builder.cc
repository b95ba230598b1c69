#include "gateway/prompt_builder.h"

#include <algorithm>
#include <string_view>

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

// The places to keep: ascending, not 0.
std::vector<size_t> ChooseCuts(const RenderedChat& chat, const std::vector<size_t>& specials) {
  std::vector<size_t> cuts;
  const auto add = [&](size_t at) {
    if (at > 0 && (cuts.empty() || at > cuts.back())) cuts.push_back(at);
  };
  for (const size_t start : chat.message_starts) {
    const auto after = std::upper_bound(specials.begin(), specials.end(), start);
    if (after != specials.begin()) add(*(after - 1));
  }
  // The text after the last message: the first special token ends that message, the next one opens
  // the answer.
  if (!chat.pieces.empty() && chat.pieces.back().is_template) {
    size_t tail = 0;
    for (size_t i = 0; i + 1 < chat.pieces.size(); ++i) tail += chat.pieces[i].text.size();
    const auto first = std::lower_bound(specials.begin(), specials.end(), tail);
    if (specials.end() - first >= 2) add(*(first + 1));
  }
  return cuts;
}

}  // namespace

PromptBuilder::PromptBuilder(const engine::Tokenizer& tokenizer) : tokenizer_(&tokenizer) {
  for (int32_t id = 0; id < tokenizer.size(); ++id)
    if (tokenizer.IsSpecial(id) && !tokenizer.TokenString(id).empty())
      specials_.emplace_back(tokenizer.TokenString(id));
  std::sort(specials_.begin(), specials_.end(),
            [](const auto& a, const auto& b) { return a.size() > b.size(); });
}

Prompt PromptBuilder::Build(const RenderedChat& chat) const {
  const std::vector<size_t> cuts = ChooseCuts(chat, FindSpecials(chat.pieces, specials_));
  Prompt prompt;
  std::vector<engine::TextPiece> segment;
  const auto encode = [&] {
    const auto tokens = tokenizer_->Encode(segment);
    prompt.tokens.insert(prompt.tokens.end(), tokens.begin(), tokens.end());
    segment.clear();
  };
  // BPE never crosses a special token, so the text before one and the text from it on encode apart.
  size_t offset = 0;
  auto cut = cuts.begin();
  for (const engine::TextPiece& piece : chat.pieces) {
    std::string_view rest = piece.text;
    for (; cut != cuts.end() && *cut < offset + rest.size(); ++cut) {
      const size_t length = *cut - offset;
      if (length > 0) segment.push_back({std::string(rest.substr(0, length)), piece.is_template});
      encode();
      prompt.message_borders.push_back(static_cast<int32_t>(prompt.tokens.size()));
      rest.remove_prefix(length);
      offset = *cut;
    }
    if (!rest.empty()) segment.push_back({std::string(rest), piece.is_template});
    offset += rest.size();
  }
  if (!segment.empty()) encode();
  return prompt;
}

}  // namespace nextgate::gateway
