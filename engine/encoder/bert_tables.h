// What `tokenizers` does with single scalars in BertNormalizer and BertPreTokenizer, as generated
// by generate_bert_tables.py. Only bert_normalizer.cc reads these.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nextgate::engine {

// Bits of BertClassRange::value.
enum BertClass : uint32_t {
  kBertRemoved = 1,      // clean_text takes it away
  kBertToSpace = 2,      // clean_text makes a space of it
  kBertSplits = 4,       // white space between words
  kBertPunctuation = 8,  // a word of its own
  kBertMark = 16,        // strip_accents takes it away
  kBertChinese = 32,     // handle_chinese_chars puts spaces around it
};

struct BertClassRange {
  uint32_t first;
  uint32_t last;  // inclusive
  uint32_t value;
};

// Of first, first + step, … last, c becomes c − first + to, and `second` behind it unless 0.
struct LowerCaseRange {
  uint32_t first;
  uint32_t last;
  uint32_t step;
  uint32_t to;
  uint32_t second;
};

extern const BertClassRange kBertClassRanges[];  // ascending; scalars not listed have no bit
extern const size_t kBertClassRangesCount;
extern const LowerCaseRange kLowerCaseRanges[];  // ascending
extern const size_t kLowerCaseRangesCount;

}  // namespace nextgate::engine
