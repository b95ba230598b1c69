// POST /v1/embeddings, answered by the embedder of this server: key → parse → model → limits → texts in
// small batches, between which questions that are looked up come first (their deadlines are nearer,
// gateway/encoder_embedder.h) → body.
//
// Threads: Handle from any; it waits for the embedder on the connection's thread. Nothing of a text is
// logged or named in an error.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "base/clock.h"
#include "cache/embedder.h"
#include "gateway/access_log.h"
#include "gateway/admission.h"
#include "gateway/auth.h"
#include "gateway/http_server.h"
#include "gateway/metrics.h"
#include "gateway/openai/embeddings.h"

namespace nextgate::gateway {

class EmbeddingsEndpoint {
 public:
  // Of one request, all its texts together.
  static constexpr std::chrono::seconds kTimeMax{60};

  struct Parts {
    cache::Embedder& embedder;
    std::vector<std::string> names;  // what requests may call it; the first is its id in answers
    std::string hop;             // in the Via of a request that has been here before; "": none can
    size_t batch_texts_max = 8;  // of one call
    size_t batch_bytes_max = 256;  // of one call, if it is more than one text
    const Auth& auth;
    Admission& admission;
    Metrics& metrics;
    bool access_log = true;
    const std::atomic<bool>& ready;
    const Clock& clock = Clock::System();
  };
  // What the parts refer to must outlive it.
  explicit EmbeddingsEndpoint(Parts parts) : p_(std::move(parts)) {}

  void Handle(const ServerRequest& http, ServerReply& reply) const;
  const std::vector<std::string>& names() const { return p_.names; }

 private:
  Result<std::string> Answer(const ServerRequest& http, const PrincipalPtr& principal,
                             LimitStanding& standing) const;
  Status Check(const openai::EmbeddingsRequest& request, const Principal& principal) const;
  Result<std::vector<cache::Embedding>> EmbedAll(const ServerRequest& http,
                                                 const openai::EmbeddingsRequest& request) const;

  const Parts p_;
};

}  // namespace nextgate::gateway
