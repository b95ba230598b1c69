// The built-in sentence encoder: text in, one vector out, the same as sentence-transformers
// computes from the same directory. BERT's and XLM-RoBERTa's networks, each with WordPiece or
// Unigram (all-MiniLM-L6-v2, multilingual-e5-small and their like); prompt, maximum length, pooling
// and normalisation come from the directory's own files.
//
// Threads: Encode from any thread. One call computes at a time, over the encoder's own threads; the
// others wait for it, no longer than their deadlines.
// Invariants: (1) an embedding depends on its text and the directory only, bit for bit: not on the
// texts beside it, nor on the number of threads; (2) its values are finite; (3) nothing of a text is
// logged or named in an error.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/encoder/bert.h"
#include "engine/encoder/encoder_config.h"
#include "engine/encoder/text_tokenizer.h"

namespace nextgate::engine {

struct SentenceEmbedding {
  std::vector<float> values;  // [dimension()]
  int64_t num_tokens = 0;     // computed, special tokens and prompt included
  int64_t num_unknown = 0;    // of these, how many the vocabulary does not know
  bool truncated = false;     // the text was longer than tokens_max(): its end does not count
  int64_t num_spelled = 0;  // tokens that only spell letters of a script without words (scripts.h)
};

class SentenceEncoder {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  // Of one pass of the network: what a deadline may be overrun by is a layer of so many tokens.
  static constexpr int64_t kPassTokens = 512;

  // `dir` holds modules.json and what it names. `threads`: of one call; 0: one per processor.
  // kNotFound, kDataLoss and kUnimplemented as encoder_config.h and text_tokenizer.h have them.
  static Result<std::unique_ptr<SentenceEncoder>> Open(const std::string& dir, int threads);

  // One embedding a text, in their order; any text is valid, also an empty one. Errors:
  // kDeadlineExceeded: `deadline` passed (asked between layers); kDataLoss: the weights make
  // something that is not finite.
  Result<std::vector<SentenceEmbedding>> Encode(std::span<const std::string> texts,
                                                TimePoint deadline = TimePoint::max());

  int64_t dimension() const { return config_.bert.hidden_size; }
  int64_t tokens_max() const { return config_.tokens_max; }
  // 32 hex digits, equal for directories whose files decide the same embeddings.
  const std::string& fingerprint() const { return fingerprint_; }
  int64_t bytes() const { return bert_->bytes(); }  // of weights and buffers

 private:
  SentenceEncoder(EncoderConfig config, std::unique_ptr<TextTokenizer> tokenizer,
                  std::unique_ptr<Bert> bert, std::string fingerprint);
  Result<std::vector<float>> Pool(kernels::View<const float, 2> hidden) const;

  EncoderConfig config_;
  std::unique_ptr<TextTokenizer> tokenizer_;
  std::unique_ptr<Bert> bert_;  // of whoever holds the lock
  std::string fingerprint_;
  std::timed_mutex mutex_;
};

}  // namespace nextgate::engine
