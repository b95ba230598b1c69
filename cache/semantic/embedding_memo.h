// An Embedder that remembers: equal texts are embedded once, also those that are asked for at the same
// time. Bounded in bytes, least recently used out first, sharded by a 128-bit hash of the text; what is
// found is proven by the text itself, which is kept beside its embedding. Errors are not remembered.
//
// Threads and invariants as cache/embedder.h has them, and: (1) the bytes of all shards never exceed
// bytes_max; (2) who waits for a text that another caller has asked for waits to its own deadline, and
// asks itself if the other one gave up earlier.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "cache/embedder.h"

namespace nextgate::cache {

// Texts: each is a hit, coalesced or a miss, by how it was looked for first. Calls: errors, deadlines.
struct EmbeddingMemoStats {
  int64_t hits = 0;
  int64_t coalesced = 0;  // another caller's answer, or a text that came twice in one call
  int64_t misses = 0;     // handed to the embedder
  int64_t errors = 0;     // calls that failed, but for deadlines
  int64_t deadlines = 0;  // calls that were not answered in time
  int64_t entries = 0;
  int64_t bytes = 0;
};

class EmbeddingMemo final : public Embedder {
 public:
  static constexpr size_t kEntryOverheadBytes = 256;  // of list, index and control blocks

  struct Options {
    size_t bytes_max = size_t{16} << 20;  // 0: only equal texts at the same time are embedded once
    size_t num_shards = 8;                // REQUIRES: a power of two
  };
  EmbeddingMemo(std::unique_ptr<Embedder> embedder, const Options& options);
  explicit EmbeddingMemo(std::unique_ptr<Embedder> embedder)
      : EmbeddingMemo(std::move(embedder), Options{}) {}
  // REQUIRES: no call is being answered.
  ~EmbeddingMemo() override;

  const EmbedderInfo& info() const override { return embedder_->info(); }
  Result<std::vector<Embedding>> Embed(std::span<const std::string> texts,
                                       Deadline deadline) override;

  Embedder& embedder() { return *embedder_; }  // without memory
  EmbeddingMemoStats stats() const;
  // What an entry of `text` is charged.
  size_t ChargeBytes(const std::string& text) const;

 private:
  using Shared = std::shared_ptr<const Embedding>;
  class Shard;
  struct Flight;
  // A text of a call that is not there yet: embedded by this call, unless it follows another's flight.
  struct Wanted {
    size_t text_idx = 0;
    Hash128 hash;
    std::shared_ptr<Flight> flight;  // null: the hash of another text is on its way, so without one
    bool leads = false;
  };
  using Texts = std::span<const std::string>;

  Result<std::vector<Shared>> EmbedAll(Texts texts, Deadline deadline);
  void Board(Texts texts, std::vector<Wanted>& wanted, std::vector<Shared>& found);
  Status Lead(Texts texts, std::span<const Wanted> wanted, std::vector<Shared>& found,
              Deadline deadline);
  static Result<std::vector<Wanted>> Follow(std::span<const Wanted> wanted,
                                            std::vector<Shared>& found, Deadline deadline);
  Shard& ShardOf(const Hash128& hash) const;

  const std::unique_ptr<Embedder> embedder_;
  const Options options_;
  const std::unique_ptr<Shard[]> shards_;
  std::mutex flights_mutex_;                                      // guards the next one
  std::unordered_map<Hash128, std::shared_ptr<Flight>> flights_;  // texts that are being embedded
  std::atomic<int64_t> hits_ = 0, coalesced_ = 0, misses_ = 0, errors_ = 0, deadlines_ = 0;
};

}  // namespace nextgate::cache
