// WordPiece as Hugging Face `tokenizers` computes it from a BERT-family tokenizer.json: added
// tokens, BertNormalizer, BertPreTokenizer, the longest pieces first, the special tokens of the
// post-processor. Exactly equal to `tokenizers` on every valid UTF-8 text; invalid bytes are read as
// Python's decode('utf-8', 'replace') has them.
//
// Threads: immutable after Open; all methods may be called from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/encoder/bert_normalizer.h"
#include "engine/tokenizer/added_tokens.h"
#include "engine/tokenizer/vocabulary.h"

namespace nextgate::engine {

// What tokenizer.json says.
struct WordPieceParts {
  Vocabulary vocabulary;  // the model's
  int32_t ids_end = 0;    // the highest id of it and of added tokens, + 1
  std::vector<AddedToken> added;
  BertNormalizer normalizer;
  std::string continuation;             // "##": the spelling of what does not begin a word
  int64_t word_chars_max = 100;         // longer words are unknown
  int32_t unknown_id = 0;               // of model.unk_token
  std::vector<int32_t> before, behind;  // the special tokens around a text
};

// Supported: WordPiece; BertNormalizer; BertPreTokenizer; TemplateProcessing with one sequence and
// type ids of 0, BertProcessing, or none; added tokens without lstrip, rstrip, single_word and
// normalized. `truncation` and `padding` are ignored, since the encoder's own files decide.
// kDataLoss: it is broken; kUnimplemented: it asks for what is not supported. Messages begin with
// `origin` and name the field.
Result<WordPieceParts> ParseWordPieceJson(const std::string& text, const std::string& origin);

struct WordPieceIds {
  std::vector<int32_t> ids;  // special tokens included
  int64_t num_unknown = 0;   // how many of them are the unknown token
  bool truncated = false;    // the text has more tokens
};

class WordPiece {
 public:
  // Reads <dir>/tokenizer.json. kNotFound: no such file; else as ParseWordPieceJson.
  static Result<std::unique_ptr<WordPiece>> Open(const std::string& dir);
  explicit WordPiece(WordPieceParts parts);

  // At most `tokens_max` ids: what is too much is cut off the text's end, never off the special
  // tokens. A long text is read once for its UTF-8 and its added tokens; all else takes time for
  // what is kept only (and for one run without an ASCII space). REQUIRES: tokens_max ≥ num_special().
  WordPieceIds Encode(std::string_view text, int64_t tokens_max) const;

  int64_t num_special() const {
    return static_cast<int64_t>(parts_.before.size() + parts_.behind.size());
  }
  int32_t size() const { return parts_.ids_end; }  // highest id + 1

 private:
  void EncodeSegment(std::string_view text, size_t ids_max, WordPieceIds* out) const;
  void EncodeWord(std::string_view word, WordPieceIds* out) const;

  WordPieceParts parts_;
  AddedTokenFinder added_;
  size_t piece_bytes_max_ = 0;  // of the longest spelling
};

}  // namespace nextgate::engine
