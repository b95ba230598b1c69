#include "engine/tokenizer/added_tokens.h"

#include <algorithm>
#include <cstring>

namespace nextgate::engine {

AddedTokenFinder::AddedTokenFinder(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  const auto first_byte = [](const AddedToken& t) { return static_cast<uint8_t>(t.content[0]); };
  std::ranges::sort(tokens_, [&](const AddedToken& a, const AddedToken& b) {
    if (first_byte(a) != first_byte(b)) return first_byte(a) < first_byte(b);
    return a.content.size() > b.content.size();
  });
  for (const AddedToken& token : tokens_) {
    starts_token_[first_byte(token)] = true;
    ++begin_[first_byte(token) + 1];
  }
  for (size_t b = 0; b < 256; ++b) begin_[b + 1] += begin_[b];
  if (std::ranges::count(starts_token_, true) == 1) single_start_ = first_byte(tokens_[0]);
}

AddedTokenFinder::Match AddedTokenFinder::Find(std::string_view text, size_t from) const {
  if (tokens_.empty()) return {};
  for (size_t at = from; at < text.size(); ++at) {
    if (single_start_ >= 0) {
      const void* next = std::memchr(text.data() + at, single_start_, text.size() - at);
      if (next == nullptr) return {};
      at = static_cast<size_t>(static_cast<const char*>(next) - text.data());
    }
    const uint8_t byte = static_cast<uint8_t>(text[at]);
    if (!starts_token_[byte]) continue;
    for (uint32_t i = begin_[byte]; i < begin_[byte + 1]; ++i)
      if (text.substr(at).starts_with(tokens_[i].content)) return {at, &tokens_[i]};
  }
  return {};
}

}  // namespace nextgate::engine
