// WordPiece as Hugging Face `tokenizers` computes it from a BERT-family tokenizer.json:
// BertNormalizer, BertPreTokenizer, the longest pieces first.
//
// Threads: immutable; const methods may be called from any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/encoder/bert_normalizer.h"
#include "engine/tokenizer/added_tokens.h"
#include "engine/tokenizer/vocabulary.h"

namespace nextgate::engine {

class TokenizerSax;

// What tokenizer.json says.
struct WordPieceParts {
  Vocabulary vocabulary;  // the model's: a word is never made of an added token
  BertNormalizer normalizer;
  std::string continuation;      // "##": the spelling of what does not begin a word
  int64_t word_chars_max = 100;  // longer words are unknown
  int32_t unknown_id = 0;        // of model.unk_token
};

// Supported: WordPiece; BertNormalizer; BertPreTokenizer. `sax`: of the whole file.
Result<WordPieceParts> ReadWordPiece(const TokenizerSax& sax);

class WordPiece {
 public:
  explicit WordPiece(WordPieceParts parts);

  // Appends the ids of what stands between two added tokens. Stops soon after `ids_max` are there.
  // REQUIRES: valid UTF-8.
  void Encode(std::string_view segment, size_t ids_max, std::vector<int32_t>* ids) const;

  int32_t unknown_id() const { return parts_.unknown_id; }
  // Whether it only spells a script that the vocabulary has no words of (scripts.h).
  bool OnlySpells(int32_t id) const {
    return id != parts_.unknown_id && static_cast<size_t>(id) < spelled_.size() &&
           spelled_[static_cast<size_t>(id)];
  }

 private:
  void EncodeWord(std::string_view word, std::vector<int32_t>* ids) const;

  WordPieceParts parts_;
  size_t piece_bytes_max_ = 0;  // of the longest spelling
  std::vector<bool> spelled_;   // by id
};

}  // namespace nextgate::engine
