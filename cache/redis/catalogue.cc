#include "cache/redis/catalogue.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace nextgate::cache {
namespace {

using std::chrono::steady_clock;

constexpr size_t kSummariesAtOnce = 256;
constexpr size_t kEntriesAtOnce = 16;

// A counter's value; a missing one is 0.
int64_t Number(const RedisReply& reply) {
  int64_t value = 0;
  std::from_chars(reply.text.data(), reply.text.data() + reply.text.size(), value);
  return value;
}

}  // namespace

std::string HitsKey(std::string_view name_space, const Hash128& id, int64_t created_unix_ms) {
  return fmt::format("{{{}}}:h:{}:{}", name_space, id.Hex(), created_unix_ms);
}

std::string RedisCatalogue::EntryKey(const Hash128& id) const {
  return fmt::format("{{{}}}:e:{}", name_space_, id.Hex());
}

std::string RedisCatalogue::AliasKey(const Hash128& normalised) const {
  return fmt::format("{{{}}}:n:{}", name_space_, normalised.Hex());
}

// An error reply to any of the commands is the error of all.
Result<std::vector<RedisReply>> RedisCatalogue::Run(std::span<const RedisCommand> commands) {
  ASSIGN_OR_RETURN(auto replies, client_.Run(commands, steady_clock::now() + kBudget));
  for (size_t i = 0; i < replies.size(); ++i)
    RETURN_IF_ERROR(replies[i].ToStatus(commands[i].front()));
  return replies;
}

Status RedisCatalogue::Scan(size_t batch_max, const Batch& batch) {
  const std::string prefix = fmt::format("{{{}}}:e:", name_space_);
  std::string cursor = "0";
  do {
    const RedisCommand scan[] = {
        {"SCAN", cursor, "MATCH", prefix + "*", "COUNT", std::to_string(kSummariesAtOnce)}};
    ASSIGN_OR_RETURN(const auto replies, Run(scan));
    if (replies[0].elements.size() != 2) return DataLoss("SCAN: not a reply of SCAN");
    cursor = replies[0].elements[0].text;
    std::vector<Hash128> ids;
    for (const RedisReply& key : replies[0].elements[1].elements) {
      if (!key.text.starts_with(prefix)) continue;
      if (const auto id = ParseHash128(std::string_view(key.text).substr(prefix.size())))
        ids.push_back(*id);
    }
    for (size_t at = 0; at < ids.size(); at += batch_max) {
      const auto part = std::span(ids).subspan(at, std::min(batch_max, ids.size() - at));
      ASSIGN_OR_RETURN(const bool go_on, batch(part));
      if (!go_on) return {};
    }
  } while (cursor != "0");
  return {};
}

Status RedisCatalogue::ForEach(const std::function<void(EntrySummary)>& visit) {
  return Scan(kSummariesAtOnce, [&](std::span<const Hash128> ids) -> Result<bool> {
    ASSIGN_OR_RETURN(auto summaries, Summaries(ids));
    for (EntrySummary& summary : summaries) visit(std::move(summary));
    return true;
  });
}

Result<std::vector<EntrySummary>> RedisCatalogue::Summaries(std::span<const Hash128> ids) {
  std::vector<RedisCommand> headers;
  for (const Hash128& id : ids)
    headers.push_back(
        {"GETRANGE", EntryKey(id), "0", std::to_string(EntryCodec::kHeaderBytesMax - 1)});
  ASSIGN_OR_RETURN(const auto beginnings, Run(headers));
  std::vector<EntrySummary> summaries;
  std::vector<RedisCommand> rest;
  for (size_t i = 0; i < ids.size(); ++i) {
    auto summary = codec_.DecodeSummary(ids[i], beginnings[i].text);
    if (!summary) continue;  // gone meanwhile, or not ours
    rest.push_back({"STRLEN", EntryKey(ids[i])});
    rest.push_back({"GET", HitsKey(name_space_, ids[i], summary->created_unix_ms)});
    summaries.push_back(std::move(*summary));
  }
  if (summaries.empty()) return summaries;
  ASSIGN_OR_RETURN(const auto replies, Run(rest));
  for (size_t i = 0; i < summaries.size(); ++i) {
    summaries[i].bytes = replies[2 * i].integer;
    summaries[i].hits += Number(replies[2 * i + 1]);
  }
  return summaries;
}

Status RedisCatalogue::ForEachEntry(
    const std::function<bool(const Hash128&, std::shared_ptr<const StoredAnswer>)>& visit) {
  return Scan(kEntriesAtOnce, [&](std::span<const Hash128> ids) -> Result<bool> {
    std::vector<RedisCommand> gets;
    for (const Hash128& id : ids) gets.push_back({"GET", EntryKey(id)});
    ASSIGN_OR_RETURN(const auto replies, Run(gets));
    std::vector<std::pair<Hash128, StoredAnswer>> entries;
    std::vector<RedisCommand> counters;
    for (size_t i = 0; i < ids.size(); ++i) {
      auto entry = codec_.Decode(ids[i], replies[i].text);
      if (!entry) continue;  // gone meanwhile, or not ours
      counters.push_back({"GET", HitsKey(name_space_, ids[i], entry->created_unix_ms)});
      entries.emplace_back(ids[i], std::move(*entry));
    }
    if (entries.empty()) return true;
    ASSIGN_OR_RETURN(const auto hits, Run(counters));
    for (size_t i = 0; i < entries.size(); ++i) {
      auto& [id, entry] = entries[i];
      entry.hits = HitCounter(entry.hits.value() + Number(hits[i]));
      if (!visit(id, std::make_shared<const StoredAnswer>(std::move(entry)))) return false;
    }
    return true;
  });
}

Result<std::shared_ptr<const StoredAnswer>> RedisCatalogue::Peek(const Hash128& id) {
  const RedisCommand get[] = {{"GET", EntryKey(id)}};
  ASSIGN_OR_RETURN(const auto replies, Run(get));
  if (replies[0].type == RedisReply::Type::kNil) return nullptr;
  ASSIGN_OR_RETURN(StoredAnswer entry, codec_.Decode(id, replies[0].text));
  return std::make_shared<const StoredAnswer>(std::move(entry));
}

Result<std::optional<Hash128>> RedisCatalogue::Alias(const Hash128& normalised) {
  const RedisCommand get[] = {{"GET", AliasKey(normalised)}};
  ASSIGN_OR_RETURN(const auto replies, Run(get));
  return ParseHash128(replies[0].text);
}

Result<int64_t> RedisCatalogue::Hits(const Hash128& id, int64_t created_unix_ms,
                                     int64_t hits_when_written) {
  const RedisCommand get[] = {{"GET", HitsKey(name_space_, id, created_unix_ms)}};
  ASSIGN_OR_RETURN(const auto replies, Run(get));
  return hits_when_written + Number(replies[0]);
}

Result<bool> RedisCatalogue::PutIfNewer(const Hash128& id, const StoredAnswer& entry,
                                        int64_t now_unix_ms, const std::optional<Hash128>& alias) {
  const RedisCommand header[] = {
      {"GETRANGE", EntryKey(id), "0", std::to_string(EntryCodec::kHeaderBytesMax - 1)}};
  ASSIGN_OR_RETURN(const auto found, Run(header));
  const auto there = codec_.DecodeSummary(id, found[0].text);
  if (there && there->created_unix_ms >= entry.created_unix_ms) return false;
  const int64_t ttl_ms = entry.expires_unix_ms - now_unix_ms;
  if (ttl_ms <= 0) return false;
  const std::string ttl = std::to_string(ttl_ms);
  std::vector<RedisCommand> set = {{"SET", EntryKey(id), codec_.Encode(id, entry), "PX", ttl}};
  if (alias) set.push_back({"SET", AliasKey(*alias), id.Hex(), "PX", ttl});
  RETURN_IF_ERROR(Run(set));
  return true;
}

Result<bool> RedisCatalogue::Erase(const Hash128& id) {
  const RedisCommand del[] = {{"DEL", EntryKey(id)}};
  ASSIGN_OR_RETURN(const auto replies, Run(del));
  return replies[0].integer > 0;
}

}  // namespace nextgate::cache
