#include "engine/encoder/graphemes.h"

#include <algorithm>
#include <cstdint>
#include <span>

#include "engine/encoder/grapheme_tables.h"
#include "engine/tokenizer/utf8.h"

namespace nextgate::engine {
namespace {

struct Character {
  uint32_t scalar;
  GraphemeClass kind;
};

Character Read(std::string_view text, size_t* at) {
  const uint32_t scalar = NextScalar(text, at);
  if (scalar >= 0x20 && scalar < 0x7F) return {scalar, kOther};
  const std::span ranges(kGraphemeRanges, kGraphemeRangesCount);
  const auto found = std::ranges::lower_bound(ranges, scalar, {}, &GraphemeRange::last);
  const bool listed = found != ranges.end() && scalar >= found->first;
  return {scalar, listed ? static_cast<GraphemeClass>(found->value) : kOther};
}

bool HangulGoesOn(Character before, GraphemeClass after) {
  const bool open = before.kind == kSyllable && (before.scalar - 0xAC00) % 28 == 0;
  switch (before.kind) {
    case kLeading:
      return after == kLeading || after == kVowel || after == kSyllable;
    case kVowel:
      return after == kVowel || after == kTrailing;
    case kSyllable:
      return after == kTrailing || (open && after == kVowel);
    case kTrailing:
      return after == kTrailing;
    default:
      return false;
  }
}

bool Extends(GraphemeClass kind) {
  return kind == kExtend || kind == kConjunctExtend || kind == kLinker;
}

// What has been read of a cluster, as far as the next character asks.
class Cluster {
 public:
  explicit Cluster(Character first) { Add(first); }

  void Add(Character next) {
    joined_ = next.kind == kJoiner && pictographic_;
    if (!Extends(next.kind)) pictographic_ = next.kind == kPictographic;
    if (next.kind == kLinker) linked_ = true;
    if (!Extends(next.kind) && next.kind != kJoiner) linked_ = false;
    if (next.kind == kExtend || (!Extends(next.kind) && next.kind != kJoiner))
      consonant_ = next.kind == kConsonant;
    last_ = next;
  }

  bool GoesOn(Character next) const {
    if (last_.kind == kControl || next.kind == kControl)
      return last_.scalar == '\r' && next.scalar == '\n';
    return Extends(next.kind) || next.kind == kJoiner || next.kind == kSpacingMark ||
           last_.kind == kPrepend || HangulGoesOn(last_, next.kind) ||
           (next.kind == kConsonant && consonant_ && linked_) ||
           (next.kind == kPictographic && joined_);
  }

 private:
  Character last_{};
  bool pictographic_ = false;  // a pictograph, and since then nothing but what extends it
  bool joined_ = false;        // that, and now a joiner
  bool consonant_ = false;     // a consonant, and since then nothing but what a conjunct may hold
  bool linked_ = false;        // that, with a linker
};

}  // namespace

size_t GraphemeEnd(std::string_view text, size_t at) {
  Cluster cluster(Read(text, &at));
  while (at < text.size()) {
    size_t end = at;
    const Character next = Read(text, &end);
    if (!cluster.GoesOn(next)) break;
    cluster.Add(next);
    at = end;
  }
  return at;
}

}  // namespace nextgate::engine
