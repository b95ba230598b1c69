// The engine's sentence encoder as the answer cache's Embedder: one thread computes, callers wait for
// it up to their deadlines, and whose deadline is nearest is next, so that a question goes before the
// documents that somebody has embedded in numbers. What nobody waits for any more is not begun, and
// given up between two layers if it was.
//
// Threads: as cache/embedder.h has it; `embedder` is its own.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

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
  // Calls that are not begun yet.
  size_t num_waiting() const;

 private:
  struct Job {
    std::vector<std::string> texts;
    Deadline deadline;
    std::mutex mutex;
    std::condition_variable ready;
    std::optional<Result<std::vector<cache::Embedding>>> result;  // under the mutex
  };
  void Work();
  std::shared_ptr<Job> Next();  // waits for one; null once this object closes
  Result<std::vector<cache::Embedding>> Compute(const Job& job);

  cache::EmbedderInfo info_;
  std::unique_ptr<engine::SentenceEncoder> encoder_;
  mutable std::mutex mutex_;  // guards the next two
  std::multimap<Deadline, std::shared_ptr<Job>> waiting_;
  bool closing_ = false;
  std::condition_variable work_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace nextgate::gateway
