#include "cache/semantic/embedding_memo.h"

#include <algorithm>
#include <bit>
#include <condition_variable>
#include <list>
#include <optional>
#include <utility>

#include "base/check.h"

namespace nextgate::cache {

// One lock, one list (front = most recently used), one index into it.
class EmbeddingMemo::Shard {
 public:
  Shared Get(const Hash128& hash, const std::string& text) {
    const std::lock_guard lock(mutex_);
    const auto at = index_.find(hash);
    if (at == index_.end() || at->second->text != text) return nullptr;
    nodes_.splice(nodes_.begin(), nodes_, at->second);
    return at->second->embedding;
  }

  void Put(const Hash128& hash, const std::string& text, Shared embedding, size_t charge,
           size_t bytes_max) {
    if (charge > bytes_max) return;
    std::list<Node> made;  // and then what had to go: freed without the lock
    made.push_back({hash, text, std::move(embedding), charge});
    std::list<Node> removed;
    const std::lock_guard lock(mutex_);
    if (const auto at = index_.find(hash); at != index_.end()) Remove(at->second, removed);
    while (bytes_ + charge > bytes_max) Remove(std::prev(nodes_.end()), removed);
    nodes_.splice(nodes_.begin(), made);
    index_.emplace(hash, nodes_.begin());
    bytes_ += charge;
  }

  void AddStats(EmbeddingMemoStats& total) const {
    const std::lock_guard lock(mutex_);
    total.entries += static_cast<int64_t>(nodes_.size());
    total.bytes += static_cast<int64_t>(bytes_);
  }

 private:
  struct Node {
    Hash128 hash;
    std::string text;
    Shared embedding;
    size_t charge = 0;
  };

  void Remove(std::list<Node>::iterator node, std::list<Node>& removed) {
    index_.erase(node->hash);
    bytes_ -= node->charge;
    removed.splice(removed.end(), nodes_, node);
  }

  mutable std::mutex mutex_;  // guards everything below
  std::list<Node> nodes_;
  std::unordered_map<Hash128, std::list<Node>::iterator> index_;
  size_t bytes_ = 0;
};

// A text that somebody is embedding.
struct EmbeddingMemo::Flight {
  explicit Flight(std::string t) : text(std::move(t)) {}

  const std::string text;
  std::mutex mutex;
  std::condition_variable landed;
  std::optional<Result<Shared>> result;  // guarded by mutex

  void Land(Result<Shared> with) {
    {
      const std::lock_guard lock(mutex);
      result = std::move(with);
    }
    landed.notify_all();
  }
  std::optional<Result<Shared>> Wait(Deadline deadline) {
    std::unique_lock lock(mutex);
    landed.wait_until(lock, deadline, [this] { return result.has_value(); });
    return result;
  }
};

EmbeddingMemo::EmbeddingMemo(std::unique_ptr<Embedder> embedder, const Options& options)
    : embedder_(std::move(embedder)),
      options_(options),
      shards_(std::make_unique<Shard[]>(options.num_shards)) {
  CHECK(std::has_single_bit(options.num_shards));
}

EmbeddingMemo::~EmbeddingMemo() = default;

EmbeddingMemo::Shard& EmbeddingMemo::ShardOf(const Hash128& hash) const {
  return shards_[hash.high & (options_.num_shards - 1)];
}

size_t EmbeddingMemo::ChargeBytes(const std::string& text) const {
  return kEntryOverheadBytes + text.size() + static_cast<size_t>(info().dimension) * sizeof(float);
}

Result<std::vector<Embedding>> EmbeddingMemo::Embed(Texts texts, Deadline deadline) {
  const auto found = EmbedAll(texts, deadline);
  if (!found) {
    ++(found.error().code == ErrorCode::kDeadlineExceeded ? deadlines_ : errors_);
    return std::unexpected(found.error());
  }
  std::vector<Embedding> embeddings;
  embeddings.reserve(found->size());
  for (const Shared& one : *found) embeddings.push_back(*one);
  return embeddings;
}

Result<std::vector<EmbeddingMemo::Shared>> EmbeddingMemo::EmbedAll(Texts texts, Deadline deadline) {
  std::vector<Shared> found(texts.size());
  std::vector<Wanted> wanted;
  for (size_t i = 0; i < texts.size(); ++i) {
    const Hash128 hash = HashBytes(texts[i]);
    found[i] = ShardOf(hash).Get(hash, texts[i]);
    if (found[i] == nullptr) wanted.push_back({.text_idx = i, .hash = hash});
  }
  hits_ += static_cast<int64_t>(texts.size() - wanted.size());
  for (bool first = true; !wanted.empty(); first = false) {
    const size_t missing = wanted.size();
    Board(texts, wanted, found);
    if (first) {
      const auto led = std::ranges::count(wanted, true, &Wanted::leads);
      hits_ += static_cast<int64_t>(missing - wanted.size());
      misses_ += led;
      coalesced_ += static_cast<int64_t>(wanted.size()) - led;
    }
    RETURN_IF_ERROR(Lead(texts, wanted, found, deadline));
    // After its own flights have landed: who waits for one of these does not wait for what this
    // call waits for.
    ASSIGN_OR_RETURN(wanted, Follow(wanted, found, deadline));
  }
  return found;
}

// Takes a seat for each text: leads its flight, or follows the one there is. What has landed since it was
// looked for is taken, and leaves `wanted`.
void EmbeddingMemo::Board(Texts texts, std::vector<Wanted>& wanted, std::vector<Shared>& found) {
  const std::lock_guard lock(flights_mutex_);
  for (Wanted& one : wanted) {
    const std::string& text = texts[one.text_idx];
    const auto [at, is_new] = flights_.try_emplace(one.hash);
    one.leads = is_new || at->second->text != text;
    one.flight = nullptr;
    if (!is_new && !one.leads) one.flight = at->second;
    if (!is_new) continue;
    found[one.text_idx] = ShardOf(one.hash).Get(one.hash, text);
    if (found[one.text_idx] != nullptr) {
      flights_.erase(at);
    } else {
      one.flight = at->second = std::make_shared<Flight>(text);
    }
  }
  std::erase_if(wanted, [&](const Wanted& one) { return found[one.text_idx] != nullptr; });
}

// Embeds what this call leads, and tells who follows.
Status EmbeddingMemo::Lead(Texts texts, std::span<const Wanted> wanted, std::vector<Shared>& found,
                           Deadline deadline) {
  std::vector<std::string> led;
  for (const Wanted& one : wanted)
    if (one.leads) led.push_back(texts[one.text_idx]);
  if (led.empty()) return {};
  auto embeddings = embedder_->Embed(led, deadline);
  CHECK(!embeddings || embeddings->size() == led.size());
  size_t next = 0;
  for (const Wanted& one : wanted) {
    if (!one.leads) continue;
    Result<Shared> result = nullptr;
    if (embeddings) {
      result = found[one.text_idx] =
          std::make_shared<const Embedding>(std::move((*embeddings)[next++]));
      const std::string& text = texts[one.text_idx];
      ShardOf(one.hash).Put(one.hash, text, *result, ChargeBytes(text),
                            options_.bytes_max / options_.num_shards);
    } else {
      result = std::unexpected(embeddings.error());
    }
    if (one.flight == nullptr) continue;
    {  // it is in its shard already, so there is no instant at which it is in neither
      const std::lock_guard lock(flights_mutex_);
      flights_.erase(one.hash);
    }
    one.flight->Land(std::move(result));
  }
  if (!embeddings) return std::unexpected(embeddings.error());
  return {};
}

// Waits for what others embed. Returns what they gave up although this call has time left.
Result<std::vector<EmbeddingMemo::Wanted>> EmbeddingMemo::Follow(std::span<const Wanted> wanted,
                                                                 std::vector<Shared>& found,
                                                                 Deadline deadline) {
  std::vector<Wanted> again;
  for (const Wanted& one : wanted) {
    if (one.leads) continue;
    const auto result = one.flight->Wait(deadline);
    const bool late = std::chrono::steady_clock::now() >= deadline;
    if (!result)
      return MakeError(ErrorCode::kDeadlineExceeded, "the embedding was not there in time");
    if (*result) {
      found[one.text_idx] = **result;
    } else if ((*result).error().code == ErrorCode::kDeadlineExceeded && !late) {
      again.push_back(one);
    } else {
      return std::unexpected((*result).error());
    }
  }
  return again;
}

EmbeddingMemoStats EmbeddingMemo::stats() const {
  EmbeddingMemoStats stats{.hits = hits_.load(),
                           .coalesced = coalesced_.load(),
                           .misses = misses_.load(),
                           .errors = errors_.load(),
                           .deadlines = deadlines_.load()};
  for (size_t i = 0; i < options_.num_shards; ++i) shards_[i].AddStats(stats);
  return stats;
}

}  // namespace nextgate::cache
