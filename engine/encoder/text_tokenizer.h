// Text to ids as Hugging Face `tokenizers` computes it from the tokenizer.json of a sentence
// encoder: added tokens, the model (WordPiece or Unigram, as the file says), special tokens, cut to
// a maximum. Exactly equal to `tokenizers` on every valid UTF-8 text; invalid bytes are read as
// Python's decode('utf-8', 'replace') has them.
//
// Threads: immutable after Open; all methods may be called from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"
#include "engine/encoder/unigram.h"
#include "engine/encoder/wordpiece.h"
#include "engine/tokenizer/added_tokens.h"

namespace nextgate::engine {

// What tokenizer.json says.
struct TextTokenizerParts {
  std::variant<WordPieceParts, UnigramParts> model;
  int32_t ids_end = 0;                  // the highest id of the model and of added tokens, + 1
  std::vector<AddedToken> added;        // those that are looked for in the text as it came
  std::vector<int32_t> before, behind;  // the special tokens around a text
};

// Supported: the models as wordpiece.h and unigram.h have them; TemplateProcessing with one sequence
// and type ids of 0, BertProcessing, RobertaProcessing, or none; added tokens without rstrip and
// single_word, and with WordPiece without normalized. `truncation` and `padding` are ignored, since
// the encoder's own files decide. kDataLoss: it is broken; kUnimplemented: it asks for what is not
// supported. Messages begin with `origin` and name the field.
Result<TextTokenizerParts> ParseTextTokenizerJson(const std::string& text,
                                                  const std::string& origin);

struct TextIds {
  std::vector<int32_t> ids;  // special tokens included
  int64_t num_unknown = 0;   // how many of them are the unknown token
  bool truncated = false;    // the text has more tokens
  int64_t num_spelled = 0;   // of the ids, those that only spell a script (scripts.h); WordPiece's
};

class TextTokenizer {
 public:
  // Reads <dir>/tokenizer.json. kNotFound: no such file; else as ParseTextTokenizerJson.
  static Result<std::unique_ptr<TextTokenizer>> Open(const std::string& dir);
  explicit TextTokenizer(TextTokenizerParts parts);

  // At most `tokens_max` ids: what is too much is cut off the text's end, never off the special
  // tokens. A long text is read once for its UTF-8 and its added tokens; all else takes time for
  // what is kept only (and for one run without an ASCII space). REQUIRES: tokens_max ≥ num_special().
  TextIds Encode(std::string_view text, int64_t tokens_max) const;

  int64_t num_special() const { return static_cast<int64_t>(before_.size() + behind_.size()); }
  int32_t size() const { return ids_end_; }  // highest id + 1

 private:
  int32_t ids_end_;
  std::vector<int32_t> before_, behind_;
  AddedTokenFinder added_;
  std::variant<WordPiece, Unigram> model_;
};

}  // namespace nextgate::engine
