// The embedder that the flags ask for.
//
// Threads: call at start.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "cache/embedder.h"
#include "gateway/serve_options.h"

namespace nextgate::gateway {

struct EmbeddingModel {
  std::string dir;
  std::string id;  // in words an operator knows; equal for all who name it so, wherever it lies
};

// What --embedding-model names: a directory, by the last part of its path; else minilm,
// all-MiniLM-L6-v2 or sentence-transformers/all-MiniLM-L6-v2, which scripts/models.sh puts below `prefix`.
// kNotFound names what was expected, and the command that fetches it.
Result<EmbeddingModel> FindEmbeddingModel(const std::string& name, const std::string& prefix);

// As scripts/common.sh has it: NEXTGATE_DEPS_PREFIX, or nextgate/deps in the user's cache.
std::string DepsPrefix();

struct OpenedEmbedder {
  std::unique_ptr<cache::Embedder> questions;  // that are looked up; null: none is asked for
  // Of /v1/embeddings, where that takes another object: who waits long for a server needs a circuit
  // breaker of their own. Null: `questions`.
  std::unique_ptr<cache::Embedder> documents;
  std::vector<std::string> names;  // what requests may call it; the first is its id
  std::string hop;                 // of `documents` (EmbeddingsClient::hop), or ""
};

// Errors: as FindEmbeddingModel, engine/encoder/sentence_encoder.h and EmbeddingsClient::Open have them. A URL
// is asked for a vector, for 2 s at most; that it does not answer, or not as it should, is a warning.
Result<OpenedEmbedder> OpenEmbedder(const ServeOptions& options);

}  // namespace nextgate::gateway
