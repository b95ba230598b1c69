// A server with OpenAI's /v1/embeddings as the answer cache's Embedder: one request a call, over idle
// connections where there are some, given up at the deadline whatever the server does. It is asked once;
// only a connection that was idle and turns out to be closed is exchanged for another.
//
// A circuit breaker leaves a server alone that failed five times in a row: that was away, refused
// (401, 403, 404, 429, 5xx), answered nonsense, or was not done by the deadline, so one that is merely
// too slow for those who ask costs them nothing either. Callers with deadlines of another kind need a
// client of their own.
//
// Not known of such a server: how many tokens a text has, which it does not know, whether it was cut off.
//
// Threads: as cache/embedder.h has it; the caller's thread moves the socket.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cache/embedder.h"
#include "gateway/upstream/peer.h"

namespace nextgate::gateway {

class EmbeddingsClient final : public cache::Embedder {
 public:
  struct Options {
    std::string url;       // as ParseUpstreamUrl takes it
    std::string model;     // asked for, and info().id
    std::string revision;  // the operator's, for info()
    int64_t dimension = 0;
    bool shorten = false;  // asks for vectors of `dimension` values
    std::string api_key;   // sent as a bearer token; may be empty
    std::string ca_file;   // PEM; empty: the system's authorities
    Breaker::Options breaker;
  };
  // kInvalidArgument for a URL that is none, and a CA file that cannot be read. Connects to nobody.
  static Result<std::unique_ptr<EmbeddingsClient>> Open(const Options& options);

  const cache::EmbedderInfo& info() const override { return info_; }
  // kUnavailable: away, left alone, or it refuses; kResourceExhausted: 429; kDataLoss: an answer that
  // is not `dimension` finite values for each text, each once, or a text that it does not take (another
  // 4xx). Vectors are brought to length 1, and into their order by `index`.
  Result<std::vector<cache::Embedding>> Embed(std::span<const std::string> texts,
                                              Deadline deadline) override;

  // In the Via of every request: one that comes with it has been here before.
  const std::string& hop() const { return hop_; }
  UpstreamStats stats() const { return peer_.stats(); }

 private:
  EmbeddingsClient(const Options& options, Url url);
  struct Reply;
  Result<std::string> Ask(const std::string& request, size_t body_bytes_max, Deadline deadline,
                          UpstreamPhase& phase);
  Reply Exchange(const std::string& request, size_t body_bytes_max, Deadline deadline,
                 std::unique_ptr<Socket> idle);
  std::string RequestOf(std::span<const std::string> texts) const;

  const Options options_;
  const cache::EmbedderInfo info_;
  const std::string hop_;
  UpstreamPeer peer_;
};

// The vectors in the body of an answer to `count` texts, each brought to length 1, in the texts' order; as
// lists of numbers or in base64. kDataLoss names what is wrong with it.
Result<std::vector<std::vector<float>>> ReadEmbeddings(std::string_view body, size_t count,
                                                       int64_t dimension);

}  // namespace nextgate::gateway
