// The engine's sentence encoder as the answer cache's Embedder: one thread computes, callers wait for
// it up to their deadlines. What nobody waits for any more is not begun, and given up between two
// layers if it was.
//
// Threads: as cache/embedder.h has it; `embedder` is its own.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/queue.h"
#include "cache/embedder.h"
#include "engine/encoder/sentence_encoder.h"

namespace nextgate::gateway {

class EncoderEmbedder final : public cache::Embedder {
 public:
  static constexpr size_t kWaitingMax = 256;  // calls; more would all miss their deadlines

  // `id` names the model.
  EncoderEmbedder(std::string id, std::unique_ptr<engine::SentenceEncoder> encoder);
  // REQUIRES: no call is being answered. What was given up is not waited for, but for one layer of
  // the network.
  ~EncoderEmbedder() override;

  const cache::EmbedderInfo& info() const override { return info_; }
  Result<std::vector<cache::Embedding>> Embed(std::span<const std::string> texts,
                                              Deadline deadline) override;

 private:
  struct Job {
    std::vector<std::string> texts;
    Deadline deadline;
    std::mutex mutex;
    std::condition_variable ready;
    std::optional<Result<std::vector<cache::Embedding>>> result;  // under the mutex
  };
  void Work();
  Result<std::vector<cache::Embedding>> Compute(const Job& job);

  cache::EmbedderInfo info_;
  std::unique_ptr<engine::SentenceEncoder> encoder_;
  BoundedQueue<std::shared_ptr<Job>> queue_{kWaitingMax};
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace nextgate::gateway
