#include "cache/semantic/eligibility.h"

#include <algorithm>
#include <iterator>

namespace nextgate::cache {
namespace {

constexpr int64_t kTokensPerStranger = 10;

// White space beyond ASCII, in UTF-8: NEL, no-break, en quad … zero-width joiner, line and paragraph
// separators, narrow no-break, ideographic, byte order mark.
constexpr std::string_view kSpaces[] = {"\u0085", "\u00A0", "\u1680", "\u2000", "\u2001", "\u2002",
                                        "\u2003", "\u2004", "\u2005", "\u2006", "\u2007", "\u2008",
                                        "\u2009", "\u200A", "\u200B", "\u200C", "\u200D", "\u2028",
                                        "\u2029", "\u202F", "\u205F", "\u2060", "\u3000", "\uFEFF"};

bool IsLetterOrDigit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool SaysNothing(std::string_view text) {
  while (!text.empty()) {
    if (IsLetterOrDigit(text.front())) return false;
    size_t bytes = 1;
    if (static_cast<unsigned char>(text.front()) >= 0x80) {
      const auto space = std::ranges::find_if(
          kSpaces, [&](std::string_view one) { return text.starts_with(one); });
      if (space == std::end(kSpaces)) return false;
      bytes = space->size();
    }
    text.remove_prefix(bytes);
  }
  return true;
}

}  // namespace

std::string_view Code(SemanticIneligible why) {
  switch (why) {
    case SemanticIneligible::kEmpty:
      return "empty";
    case SemanticIneligible::kTooLong:
      return "too_long";
    case SemanticIneligible::kUnsupportedScript:
      return "unsupported_script";
  }
  return "";
}

std::optional<SemanticIneligible> IneligibleFor(std::string_view text, const Embedding& embedding) {
  const bool zero = std::ranges::all_of(embedding.values, [](float x) { return x == 0; });
  if (zero || SaysNothing(text)) return SemanticIneligible::kEmpty;
  if (embedding.truncated) return SemanticIneligible::kTooLong;
  const int64_t strangers = embedding.num_unknown + embedding.num_spelled;
  if (strangers * kTokensPerStranger > embedding.num_tokens)
    return SemanticIneligible::kUnsupportedScript;
  return std::nullopt;
}

}  // namespace nextgate::cache
