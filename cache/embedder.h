// What turns a question into a vector, so that one asked in other words can be found: the seam
// between the answer cache, which knows no models, and those who have one. Implementations lie
// outside of cache/: the encoder of this process (gateway/encoder_embedder.h), a server's
// /v1/embeddings.
//
// Threads: all methods may be called from any thread, at the same time.
// Invariants, which an implementation keeps whatever it talks to:
// 1. as many embeddings as texts, in their order, each of info().dimension values, all finite, of
//    length 1 or (a text that means nothing) 0;
// 2. it returns at `deadline` at the latest, but for what it takes to wake a thread, also when what it
//    talks to hangs;
// 3. equal texts under an equal info() have equal embeddings, but for rounding;
// 4. no text is logged or named in an error.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"

namespace nextgate::cache {

// What embeddings can be compared with which: it is part of every semantic partition, so a changed
// embedder opens a new one.
struct EmbedderInfo {
  std::string id;         // which model, in words an operator knows
  std::string revision;   // its exact files or version: 32 hex digits, or what an operator set
  int64_t dimension = 0;  // D
  bool operator==(const EmbedderInfo&) const = default;
};

struct Embedding {
  std::vector<float> values;  // [D]
  int64_t num_tokens = 0;     // that were embedded; 0: not known
  int64_t num_unknown = 0;    // of these, how many the vocabulary does not know
  bool truncated = false;     // the text's end was too much for the embedder and does not count
  // Tokens that only spell letters, of a script that the vocabulary has no words of: the values say little
  // more than which script it is. 0 if it is not known.
  int64_t num_spelled = 0;
};

class Embedder {
 public:
  using Deadline = std::chrono::steady_clock::time_point;

  virtual ~Embedder() = default;
  virtual const EmbedderInfo& info() const = 0;  // never changes

  // Any text is valid, also an empty one; so is no text. All or an error, which for the caller is a
  // miss: kDeadlineExceeded; kResourceExhausted: too many wait already; kUnavailable: it is away or
  // closing; kDataLoss: something came that breaks invariant 1 and cannot be mended.
  virtual Result<std::vector<Embedding>> Embed(std::span<const std::string> texts,
                                               Deadline deadline) = 0;
};

}  // namespace nextgate::cache
