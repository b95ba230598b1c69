// The real encoder's vectors, of texts in a file as it was kept from another run (bench/semantic/vectors.h), of
// others computed. How many tokens a text has it does not say, so nothing is refused for its script.
//
// Threads: any; one call computes at a time.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "bench/semantic/vectors.h"
#include "cache/embedder.h"
#include "engine/encoder/sentence_encoder.h"

namespace nextgate::semantic_day {

class KnownEmbedder final : public cache::Embedder {
 public:
  // `vectors` is borrowed and has all of `texts`.
  KnownEmbedder(const semantic_bench::Vectors& vectors, const std::vector<std::string>& texts,
                std::unique_ptr<engine::SentenceEncoder> encoder)
      : vectors_(vectors),
        known_(texts.begin(), texts.end()),
        encoder_(std::move(encoder)),
        info_{.id = "minilm",
              .revision = encoder_->fingerprint(),
              .dimension = encoder_->dimension()} {}

  const cache::EmbedderInfo& info() const override { return info_; }
  Result<std::vector<cache::Embedding>> Embed(std::span<const std::string> texts,
                                              Deadline deadline) override {
    std::vector<cache::Embedding> out;
    for (const std::string& text : texts) {
      if (known_.contains(text)) {
        const float* values = vectors_.Find(text);
        out.push_back({.values = {values, values + vectors_.dimension()}});
        continue;
      }
      ASSIGN_OR_RETURN(auto computed, encoder_->Encode(std::span(&text, 1), deadline));
      out.push_back({.values = std::move(computed[0].values)});
    }
    return out;
  }

 private:
  const semantic_bench::Vectors& vectors_;
  const std::unordered_set<std::string> known_;
  const std::unique_ptr<engine::SentenceEncoder> encoder_;
  const cache::EmbedderInfo info_;
};

}  // namespace nextgate::semantic_day
