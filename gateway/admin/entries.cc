#include "gateway/admin/entries.h"

#include <fmt/format.h>

#include "base/log.h"
#include "gateway/admin/listing.h"

namespace nextgate::gateway::admin {
namespace {

constexpr int64_t kPageMax = 1000;
constexpr int64_t kHitsMax = (int64_t{1} << 53) - 1;  // what a double holds exactly
constexpr int64_t kPageDefault = 50;
constexpr int64_t kSecondsMax = int64_t{10} * 365 * 86'400;

Result<Hash128> ReadId(const ServerRequest& http) {
  const auto id = ParseHash128(http.parameter);
  if (!id)
    return InvalidArgument("id: expected 32 lower-case hex digits, as entries are listed with",
                           "id");
  return *id;
}

Error NoSuchEntry() { return {ErrorCode::kNotFound, "there is no such entry", "id"}; }

Json ChoicesJson(const cache::Answer& answer) {
  Json choices = Json::array();
  for (size_t i = 0; i < answer.choices().size(); ++i)
    choices.push_back({{"index", i},
                       {"text", answer.ChoiceText(static_cast<int32_t>(i))},
                       {"finish_reason", answer.choices()[i].finish_reason}});
  return choices;
}

bool RedisAnswers(const AdminContext& c) {
  return c.catalogue != nullptr && c.exact.shared()->client().stats().available;
}

}  // namespace

Result<bool> WantsCluster(const AdminContext& c, QueryReader& query) {
  const std::string scope =
      query.Choice("scope", {"instance", "cluster"}, RedisAnswers(c) ? "cluster" : "instance");
  if (scope == "cluster" && c.catalogue == nullptr)
    query.Fail("scope: there is no cluster without --cache-url; expected instance", "scope");
  RETURN_IF_ERROR(query.status());
  return scope == "cluster";
}

Json SummaryJson(const cache::EntrySummary& entry, int64_t now_unix_ms) {
  const cache::Scope& scope = entry.origin.scope;
  return {{"id", entry.id.Hex()},
          {"model", entry.origin.model},
          {"route", entry.origin.route},
          {"scope",
           {{"id", entry.scope_id},
            {"tenant", scope.tenant},
            {"team", scope.team},
            {"user", scope.user},
            {"namespace", scope.name_space}}},
          {"fingerprint", entry.fingerprint},
          {"created_unix_ms", entry.created_unix_ms},
          {"expires_unix_ms", entry.expires_unix_ms},
          {"age_s", std::max<int64_t>(0, now_unix_ms - entry.created_unix_ms) / 1000},
          {"hits", entry.hits},
          {"bytes", entry.bytes},
          {"prompt_tokens", entry.prompt_tokens},
          {"completion_tokens", entry.completion_tokens},
          {"finish_reasons", entry.finish_reasons}};
}

Json CanonicalJson(std::string_view material) {
  const std::string_view canonical = cache::SplitMaterial(material).canonical;
  Json json = Json::parse(canonical, nullptr, /*allow_exceptions=*/false);
  return json.is_discarded() ? Json() : json;
}

Status ListEntries(const AdminContext& c, const AdminRequest& request, ServerReply& reply) {
  QueryReader query(request.http, {"scope", "order", "limit", "cursor", "model", "route",
                                   "namespace", "min_hits", "older_than", "id_prefix"});
  const std::string order_name = query.Choice("order", {"created", "hits", "bytes"}, "created");
  const EntryOrder order = order_name == "hits"    ? EntryOrder::kHits
                           : order_name == "bytes" ? EntryOrder::kBytes
                                                   : EntryOrder::kCreated;
  const int64_t limit = query.Whole("limit", 1, kPageMax).value_or(kPageDefault);
  EntryFilter filter{.model = query.Text("model"),
                     .route = query.Text("route"),
                     .name_space = query.Text("namespace"),
                     .id_prefix = query.Text("id_prefix"),
                     .hits_min = query.Whole("min_hits", 0, kHitsMax).value_or(0),
                     .age_min_ms = 1000 * query.Whole("older_than", 0, kSecondsMax).value_or(0)};
  if (filter.id_prefix &&
      (filter.id_prefix->size() > 32 ||
       filter.id_prefix->find_first_not_of("0123456789abcdef") != std::string::npos))
    query.Fail("id_prefix: expected 1 to 32 lower-case hex digits", "id_prefix");
  const std::string cursor = query.Text("cursor").value_or("");
  ASSIGN_OR_RETURN(const bool cluster, WantsCluster(c, query));
  const int64_t now = c.clock.UnixMs();
  ASSIGN_OR_RETURN(Listing listing, Listing::Open(std::move(filter), order,
                                                  static_cast<size_t>(limit), cursor, now));
  if (cluster) {
    RETURN_IF_ERROR(
        c.catalogue->ForEach([&](cache::EntrySummary entry) { listing.Offer(std::move(entry)); }));
  } else {
    c.exact.store().ForEach(
        [&](const Hash128& id, const auto& entry) { listing.Offer(cache::Summarise(id, *entry)); });
  }
  Json entries = Json::array();
  for (const cache::EntrySummary& entry : listing.TakePage())
    entries.push_back(SummaryJson(entry, now));
  AnswerJson(reply, {{"scope", cluster ? "cluster" : "instance"},
                     {"order", order_name},
                     {"entries", std::move(entries)},
                     {"next_cursor",
                      listing.next_cursor().empty() ? Json() : Json(listing.next_cursor())}});
  return {};
}

Status ShowEntry(const AdminContext& c, const AdminRequest& request, ServerReply& reply) {
  QueryReader query(request.http, {});
  RETURN_IF_ERROR(query.status());
  ASSIGN_OR_RETURN(const Hash128 id, ReadId(request.http));
  const auto here = c.exact.store().Peek(id);
  auto entry = here;
  Json in_redis;  // null: nobody could be asked
  std::optional<int64_t> hits;
  if (c.catalogue != nullptr) {
    const auto found = c.catalogue->Peek(id);
    if (found) in_redis = *found != nullptr;
    if (!found && here == nullptr) return std::unexpected(found.error());
    if (found && *found != nullptr) {
      entry = *found;
      if (const auto all = c.catalogue->Hits(id, entry->created_unix_ms, entry->hits.value()))
        hits = *all;
    }
  }
  if (entry == nullptr) return std::unexpected(NoSuchEntry());
  cache::EntrySummary summary = cache::Summarise(id, *entry);
  if (hits) summary.hits = *hits;
  Json json = SummaryJson(summary, c.clock.UnixMs());
  json["where"] = {{"memory", here != nullptr}, {"redis", in_redis}};
  json["request"] = CanonicalJson(entry->material);
  json["choices"] = ChoicesJson(*entry->answer);
  AnswerJson(reply, json);
  return {};
}

Status DeleteEntry(const AdminContext& c, const AdminRequest& request, ServerReply& reply) {
  QueryReader query(request.http, {});
  RETURN_IF_ERROR(query.status());
  ASSIGN_OR_RETURN(const Hash128 id, ReadId(request.http));
  bool from_redis = false;
  if (c.catalogue != nullptr) {
    // First there: if that fails nothing was deleted, and it can be asked for again.
    ASSIGN_OR_RETURN(from_redis, c.catalogue->Erase(id));
  }
  const bool from_memory = c.exact.store().Erase(id);
  if (!from_memory && !from_redis) return std::unexpected(NoSuchEntry());
  Json everywhere;  // null: there are no other instances
  if (c.catalogue != nullptr) everywhere = c.invalidations.Issue({.id = id}).shared;
  LogInfo("audit who={} action=delete_entry id={} memory={} redis={} everywhere={}",
          request.caller.label, id.Hex(), from_memory, from_redis, everywhere.dump());
  AnswerJson(reply, {{"id", id.Hex()},
                     {"deleted", {{"memory", from_memory}, {"redis", from_redis}}},
                     {"everywhere", std::move(everywhere)}});
  return {};
}

}  // namespace nextgate::gateway::admin
