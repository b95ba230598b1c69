#include "cache/redis/store.h"

#include <fmt/format.h>

#include <utility>

#include "base/log.h"

namespace nextgate::cache {
namespace {

using std::chrono::steady_clock;

void Count(std::atomic<int64_t>& counter) { counter.fetch_add(1, std::memory_order_relaxed); }

}  // namespace

RedisStore::RedisStore(Options options, RedisClient& client, const EntryCodec& codec,
                       const Clock& clock)
    : options_(std::move(options)), client_(client), codec_(codec), clock_(clock) {}

std::string RedisStore::Key(const Hash128& hash) const {
  return fmt::format("{{{}}}:e:{}", options_.name_space, hash.Hex());
}

std::shared_ptr<const StoredAnswer> RedisStore::Get(const Hash128& hash) {
  const RedisCommand get[] = {{"GET", Key(hash)}};
  const auto replies = client_.Run(get, steady_clock::now() + options_.read_budget);
  if (!replies || replies->front().is_error()) {
    Count(errors_);
    return nullptr;
  }
  const RedisReply& reply = replies->front();
  if (reply.type == RedisReply::Type::kNil) {
    Count(misses_);
    return nullptr;
  }
  auto entry = codec_.Decode(hash, reply.text);
  if (!entry) {
    Count(corrupt_);
    LogDebug("answer cache: {} in Redis: {}", hash.Hex(), entry.error().message);
    return nullptr;
  }
  if (clock_.UnixMs() >= entry->expires_unix_ms) {  // the instances' clocks differ a little
    Count(misses_);
    return nullptr;
  }
  Count(hits_);
  return std::make_shared<const StoredAnswer>(std::move(*entry));
}

bool RedisStore::Put(const Hash128& hash, const StoredAnswer& entry) {
  const int64_t ttl_ms = entry.expires_unix_ms - clock_.UnixMs();
  std::string bytes = codec_.Encode(hash, entry);
  bool stored = false;
  if (ttl_ms > 0 && bytes.size() <= options_.entry_bytes_max) {
    const RedisCommand set[] = {{"SET", Key(hash), std::move(bytes), "PX", std::to_string(ttl_ms)}};
    const auto replies = client_.Run(set, steady_clock::now() + options_.write_budget);
    stored = replies && !replies->front().is_error();
  }
  Count(stored ? stored_ : not_stored_);
  return stored;
}

RedisStoreStats RedisStore::stats() const {
  return {.hits = hits_.load(std::memory_order_relaxed),
          .misses = misses_.load(std::memory_order_relaxed),
          .errors = errors_.load(std::memory_order_relaxed),
          .corrupt = corrupt_.load(std::memory_order_relaxed),
          .stored = stored_.load(std::memory_order_relaxed),
          .not_stored = not_stored_.load(std::memory_order_relaxed)};
}

}  // namespace nextgate::cache
