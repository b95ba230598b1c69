// SentencePiece's Unigram as Hugging Face `tokenizers` computes it from the tokenizer.json of an
// XLM-R-family model: normalizer, added tokens of the normalised text, WhitespaceSplit and
// Metaspace, and of all ways to cut a word into pieces the one with the highest sum of scores.
//
// Source: models/unigram/model.rs (encode_optimized) and pre_tokenizers/metaspace.rs in tokenizers.
//
// Threads: immutable; const methods may be called from any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/encoder/piece_trie.h"
#include "engine/encoder/unigram_normalizer.h"
#include "engine/tokenizer/added_tokens.h"
#include "engine/tokenizer/vocabulary.h"

namespace nextgate::engine {

class TokenizerSax;

struct Metaspace {
  enum class Prepend { kAlways, kFirst, kNever };
  std::string replacement;             // of a space; one character
  Prepend prepend = Prepend::kAlways;  // one of these before what begins with none
  bool split = true;                   // a word ends before each of them
  bool words = false;                  // WhitespaceSplit comes first
};

// What tokenizer.json says.
struct UnigramParts {
  Vocabulary vocabulary;       // the model's
  std::vector<double> scores;  // by id; finite
  int32_t unknown_id = 0;
  bool byte_fallback = false;
  UnigramNormalizer normalizer;
  Metaspace metaspace;
  std::vector<AddedToken> added;  // contents as normalised, which they are looked for in
};

// Supported: Unigram with unk_id; the normalizers Precompiled, Sequence, Strip, NFC, NFD, Replace
// with a text or with the pattern " {2,}"; Metaspace alone or behind WhitespaceSplit; its
// prepend_scheme "first" alone only, and not beside a Strip or Replace that may move the text's
// beginning. `sax`: of the whole file; the scores are moved out of it. `added`: those with
// `normalized`.
Result<UnigramParts> ReadUnigram(TokenizerSax* sax, std::vector<AddedToken> added);

class Unigram {
 public:
  explicit Unigram(UnigramParts parts);

  // Appends the ids of what stands between two added tokens. Stops soon after `ids_max` are there.
  // `at_begin`: the whole text begins with it. REQUIRES: valid UTF-8.
  void Encode(std::string_view segment, bool at_begin, size_t ids_max,
              std::vector<int32_t>* ids) const;

  int32_t unknown_id() const { return parts_.unknown_id; }

 private:
  struct Step {  // the best way that ends at a byte of the word
    double score;
    int32_t id;
    uint32_t begin;  // of its last piece; kNone: there is no way yet
  };
  static constexpr uint32_t kNone = UINT32_MAX;

  void EncodeNormalised(std::string_view text, bool at_begin, size_t ids_max,
                        std::vector<int32_t>* ids) const;
  void EncodeSpaced(std::string_view text, bool at_begin, size_t ids_max,
                    std::vector<int32_t>* ids) const;
  void EncodeWord(std::string_view word, std::vector<int32_t>* ids) const;
  void AppendUnknown(std::string_view text, std::vector<int32_t>* ids) const;

  UnigramParts parts_;
  AddedTokenFinder added_;
  PieceTrie trie_;
  double unknown_score_;
  bool may_cut_;
};

}  // namespace nextgate::engine
