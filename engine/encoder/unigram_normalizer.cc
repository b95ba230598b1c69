#include "engine/encoder/unigram_normalizer.h"

#include <algorithm>
#include <utility>

#include "engine/encoder/white_space.h"
#include "engine/tokenizer/unicode.h"

namespace nextgate::engine {
namespace {

using Normalizer = UnigramNormalizer;

std::string Replaced(std::string_view text, const Normalizer::ReplaceText& replace) {
  std::string out;
  for (size_t at = 0;;) {
    const size_t found = text.find(replace.text, at);
    out += text.substr(at, found - at);
    if (found == std::string_view::npos) return out;
    out += replace.by;
    at = found + replace.text.size();
  }
}

std::string Replaced(std::string_view text, const Normalizer::ReplaceSpaces& replace) {
  std::string out;
  for (size_t at = 0;;) {
    const size_t found = text.find("  ", at);
    out += text.substr(at, found - at);
    if (found == std::string_view::npos) return out;
    out += replace.by;
    at = std::min(text.find_first_not_of(' ', found), text.size());
  }
}

std::string_view Stripped(std::string_view text, bool left, bool right) {
  if (left) text.remove_prefix(WhiteSpaceEnd(text));
  if (right) text = text.substr(0, WhiteSpaceBegin(text));
  return text;
}

}  // namespace

UnigramNormalizer::UnigramNormalizer(std::vector<Step> steps) : steps_(std::move(steps)) {
  for (const Step& step : steps_) {
    const auto* charsmap = std::get_if<Charsmap>(&step);
    if (charsmap != nullptr ? !charsmap->keeps_ascii() : std::holds_alternative<ReplaceText>(step))
      may_cut_ = false;
  }
}

bool UnigramNormalizer::moves_begin() const {
  return std::ranges::any_of(steps_, [](const Step& step) {
    const auto* strip = std::get_if<Strip>(&step);
    const auto* spaces = std::get_if<ReplaceSpaces>(&step);
    return std::holds_alternative<ReplaceText>(step) || (strip != nullptr && strip->left) ||
           (spaces != nullptr && spaces->by.empty());
  });
}

std::string UnigramNormalizer::Normalize(std::string_view text, bool first, bool last) const {
  std::string out(text);
  for (const Step& step : steps_) {
    if (const auto* charsmap = std::get_if<Charsmap>(&step))
      out = charsmap->Normalize(out);
    else if (const auto* strip = std::get_if<Strip>(&step))
      out = std::string(Stripped(out, strip->left && first, strip->right && last));
    else if (const auto* replace = std::get_if<ReplaceText>(&step))
      out = Replaced(out, *replace);
    else if (const auto* spaces = std::get_if<ReplaceSpaces>(&step))
      out = Replaced(out, *spaces);
    else
      out = std::get<Form>(step) == Form::kNfc ? NormalizeNfc(out) : NormalizeNfd(out);
  }
  return out;
}

}  // namespace nextgate::engine
