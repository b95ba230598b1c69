// The normalised tier: requests that differ in nothing but how the last user message is written get the
// same answer. A second key, over the canonical request with that text normalised:
//
//   space             trimmed at both ends, runs within are one space
//   case              the first word's, and a word's after "!" or "?", does not count
//   end punctuation   ".", "!" and "。", "！" at the end do not count; "?" and "？" do not if the text says
//                     itself that it is a question ("What …", "… 什么 …"), else they stay: "You paid?" is not
//                     "You paid."
//   NFC               as the canonical request has it already
//
// Never for a text whose letters alone do not say all (Unnormalisable); then there is no second key. All that
// may be in it are letters, spaces, and the punctuation of prose, so no digit, quote, code or line
// break. A word whose case may be its meaning (US, Polish, iPhone) rules the text out; "I", and first
// words such as "Polish" or "May", keep the case they have.
//
// Only chat requests have one (last_question.h).
//
// A key finds, the stored request proves: what is found is served only if its own material, normalised, is
// the asked one's. So who can write to a Redis still cannot have another answer served.
//
// Threads: pure functions; AliasTable from any thread.
#pragma once

#include <cstddef>
#include <expected>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "cache/key.h"

namespace nextgate::cache {

// Why there is no normalised key. The codes are what explain shows; they are stable.
enum class Unnormalisable {
  kNotChat,  // the first three are NoQuestion's (last_question.h)
  kNotOneText,
  kPromptMatters,
  kEmpty,      // empty: no letters
  kDigits,     // digits
  kQuotes,     // quotes
  kCode,       // code: signs that prose has not, or punctuation where prose has none
  kLineBreak,  // line_break
  kCase,       // case: a word whose case is not its sentence's
};
std::string_view UnnormalisableCode(Unnormalisable why);

// REQUIRES: `text` is in NFC.
std::expected<std::string, Unnormalisable> NormaliseText(std::string_view text);

// `material` is a CacheKey's. The same with the last user text of its canonical request normalised.
std::expected<std::string, Unnormalisable> NormalisedMaterial(std::string_view material);

// The second key of a request, by the material of its first.
std::expected<CacheKey, Unnormalisable> NormalisedKey(std::string_view material);

// Which entry answers a normalised request: the last one stored. Bounded; forgets the older ones of those
// that share a row.
class AliasTable {
 public:
  // For about so many entries; 0: remembers nothing.
  explicit AliasTable(size_t entries_max);

  void Put(const Hash128& normalised, const Hash128& entry);
  std::optional<Hash128> Find(const Hash128& normalised) const;

 private:
  static constexpr size_t kRow = 8;
  struct Alias {
    Hash128 normalised, entry;
  };
  size_t RowOf(const Hash128& normalised) const;

  const size_t rows_;
  mutable std::mutex mutex_;    // guards the next one
  std::vector<Alias> aliases_;  // rows of kRow, the youngest first; empty until the first Put
};

}  // namespace nextgate::cache
