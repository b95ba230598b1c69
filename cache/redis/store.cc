#include "cache/redis/store.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "base/log.h"
#include "cache/memory_store.h"

namespace nextgate::cache {
namespace {

using std::chrono::steady_clock;

void Count(std::atomic<int64_t>& counter) { counter.fetch_add(1, std::memory_order_relaxed); }

}  // namespace

const char* const RedisStore::kLookEither = R"(
local entry = redis.call('GET', KEYS[1])
if entry then return {'entry', entry, ''} end
if KEYS[2] ~= KEYS[1] then
  local id = redis.call('GET', KEYS[2])
  entry = id and redis.call('GET', ARGV[1] .. id)
  if entry then return {'alias', entry, id} end
end
)";

RedisStore::RedisStore(Options options, RedisClient& client, const EntryCodec& codec,
                       const Clock& clock)
    : options_(std::move(options)), client_(client), codec_(codec), clock_(clock) {}

std::string RedisStore::Key(const Hash128& hash) const {
  return fmt::format("{{{}}}:e:{}", options_.name_space, hash.Hex());
}

std::string RedisStore::AliasKey(const Hash128& normalised) const {
  return fmt::format("{{{}}}:n:{}", options_.name_space, normalised.Hex());
}

RedisFound RedisStore::GetEither(const Hash128& hash, const Hash128& normalised) {
  const RedisCommand look[] = {{"EVAL", kLookEither, "2", Key(hash), AliasKey(normalised),
                                fmt::format("{{{}}}:e:", options_.name_space)}};
  const auto replies = client_.Run(look, steady_clock::now() + options_.read_budget);
  if (replies && replies->front().elements.size() == 3) return ReadEither(hash, replies->front());
  CountLookup(replies && !replies->front().is_error());
  return {};
}

RedisFound RedisStore::ReadEither(const Hash128& hash, const RedisReply& reply) {
  if (reply.elements[0].text != "alias")
    return {.entry = Read(hash, reply.elements[1]), .alias_of = {}};
  const auto id = ParseHash128(reply.elements[2].text);
  if (!id) {
    Count(corrupt_);
    return {};
  }
  return {.entry = Read(*id, reply.elements[1]), .alias_of = id};
}

std::shared_ptr<const StoredAnswer> RedisStore::Get(const Hash128& hash) {
  return Get(hash, steady_clock::now() + options_.read_budget);
}

std::shared_ptr<const StoredAnswer> RedisStore::Get(const Hash128& hash, Deadline deadline,
                                                    bool* absent) {
  const RedisCommand get[] = {{"GET", Key(hash)}};
  const auto replies = client_.Run(get, deadline);
  if (!replies) {
    Count(errors_);
    return nullptr;
  }
  if (absent != nullptr) *absent = replies->front().type == RedisReply::Type::kNil;
  return Read(hash, replies->front());
}

std::shared_ptr<const StoredAnswer> RedisStore::Read(const Hash128& hash, const RedisReply& reply) {
  if (reply.is_error() || reply.type == RedisReply::Type::kNil) {
    CountLookup(!reply.is_error());
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

// Nothing if it is too large, or expired.
std::optional<SealedEntry> RedisStore::Seal(const Hash128& hash, const StoredAnswer& entry,
                                            const std::optional<Hash128>& alias) const {
  if (MemoryStore::ChargeBytes(entry) > options_.entry_bytes_max) return std::nullopt;
  SealedEntry sealed{.key = Key(hash),
                     .bytes = codec_.Encode(hash, entry),
                     .ttl_ms = entry.expires_unix_ms - clock_.UnixMs(),
                     .alias_key = alias ? AliasKey(*alias) : "",
                     .id = hash.Hex()};
  if (sealed.ttl_ms <= 0) return std::nullopt;
  return sealed;
}

bool RedisStore::Put(const Hash128& hash, const StoredAnswer& entry,
                     const std::optional<Hash128>& alias) {
  bool stored = false;
  if (auto sealed = Seal(hash, entry, alias)) {
    const std::string ttl = std::to_string(sealed->ttl_ms);
    std::vector<RedisCommand> set = {
        {"SET", std::move(sealed->key), std::move(sealed->bytes), "PX", ttl}};
    if (alias) set.push_back({"SET", sealed->alias_key, sealed->id, "PX", ttl});
    const auto replies = client_.Run(set, steady_clock::now() + options_.write_budget);
    stored = replies && !replies->front().is_error();
  }
  CountPut(stored);
  return stored;
}

bool RedisStore::Erase(const Hash128& hash) {
  const RedisCommand del[] = {{"DEL", Key(hash)}};
  const auto replies = client_.Run(del, steady_clock::now() + options_.read_budget);
  return replies && !replies->front().is_error();
}

void RedisStore::CountLookup(bool answered) { Count(answered ? misses_ : errors_); }
void RedisStore::CountPut(bool stored) { Count(stored ? stored_ : not_stored_); }

RedisStoreStats RedisStore::stats() const {
  return {.hits = hits_.load(std::memory_order_relaxed),
          .misses = misses_.load(std::memory_order_relaxed),
          .errors = errors_.load(std::memory_order_relaxed),
          .corrupt = corrupt_.load(std::memory_order_relaxed),
          .stored = stored_.load(std::memory_order_relaxed),
          .not_stored = not_stored_.load(std::memory_order_relaxed),
          .encrypts = codec_.keys().encrypts(),
          .keyring = codec_.keys().stats()};
}

}  // namespace nextgate::cache
