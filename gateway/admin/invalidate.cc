#include "gateway/admin/invalidate.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "base/log.h"
#include "gateway/admin/query.h"
#include "gateway/openai/field_reader.h"

namespace nextgate::gateway::admin {
namespace {

constexpr int64_t kSecondsMax = int64_t{10} * 365 * 86'400;
constexpr size_t kTextMax = 256;  // characters
constexpr size_t kPrefixMax = 4096;

struct Asked {
  cache::InvalidationPredicate predicate;
  bool dry_run = false;
  std::vector<std::string> parts;  // their names, for the audit line
};

// A part that is given; an empty or long one is an error.
std::optional<std::string> Part(openai::FieldReader& read, const char* name, size_t most,
                                Asked& asked) {
  auto text = read.Text(name);
  if (!text) return text;
  const auto characters = static_cast<size_t>(std::ranges::count_if(
      *text, [](char byte) { return (static_cast<unsigned char>(byte) & 0xc0) != 0x80; }));
  if (text->empty() || characters > most)
    read.Fail(fmt::format("{}: expected a text of 1 to {} characters", name, most), name);
  asked.parts.emplace_back(name);
  return text;
}

Result<Asked> ReadAsked(std::string_view body, int64_t now_unix_ms) {
  ASSIGN_OR_RETURN(const auto object, openai::ParseBody(body));
  for (const auto& [name, value] : object->items())
    if (value.is_null())  // somebody's forgotten value must not widen what is invalidated
      return InvalidArgument("expected a value, got null", name.substr(0, 64));
  openai::FieldReader read(*object);
  Asked asked{.dry_run = read.Bool("dry_run", false)};
  cache::InvalidationPredicate& p = asked.predicate;
  p.model = Part(read, "model", kTextMax, asked);
  p.route = Part(read, "route", kTextMax, asked);
  p.name_space = Part(read, "namespace", kTextMax, asked);
  p.tenant = Part(read, "tenant", kTextMax, asked);
  p.team = Part(read, "team", kTextMax, asked);
  p.user = Part(read, "user", kTextMax, asked);
  if (const auto prefix = Part(read, "prompt_prefix", kPrefixMax, asked))
    p.prompt_prefix = cache::CanonicalPrefix(*prefix);
  if (const auto id = Part(read, "id", kTextMax, asked)) {
    p.id = ParseHash128(*id);
    if (!p.id) read.Fail("id: expected 32 lower-case hex digits, as entries are listed with", "id");
  }
  if (const auto age_s = read.Whole("older_than", 0, kSecondsMax)) {
    p.created_before_unix_ms = now_unix_ms - *age_s * 1000;
    asked.parts.emplace_back("older_than");
  }
  const bool all = read.Bool("all", false);
  RETURN_IF_ERROR(read.status());
  if (const auto unknown = read.Unread(); !unknown.empty())
    return InvalidArgument(
        "unknown field; there are: model, route, namespace, tenant, team, user, id, older_than, "
        "prompt_prefix, all, dry_run",
        unknown.front().substr(0, 64));
  if (asked.parts.empty() && !all)
    return InvalidArgument(
        "expected at least one of model, route, namespace, tenant, team, user, id, older_than, "
        "prompt_prefix, or \"all\": true",
        "all");
  if (asked.parts.empty()) asked.parts.emplace_back("all");
  return asked;
}

// Whether the predicate is what an entry meets, dead already or not.
bool Matches(const cache::InvalidationPredicate& predicate, const Hash128& id,
             const cache::EntryOrigin& origin, std::string_view material, int64_t created_unix_ms) {
  return predicate.Matches(
      {.id = id, .origin = origin, .material = material, .created_unix_ms = created_unix_ms});
}

// Of the entries that match and are alive.
int64_t CountInMemory(const AdminContext& c, const cache::InvalidationPredicate& p) {
  int64_t count = 0;
  c.exact.store().ForEach([&](const Hash128& id, const auto& entry) {
    if (Matches(p, id, entry->origin, entry->material, entry->created_unix_ms) &&
        !c.exact.Dead(id, *entry))
      ++count;
  });
  return count;
}

// Those in Redis that match and are alive, or that match and are dead.
Result<std::vector<Hash128>> InRedis(const AdminContext& c, const cache::InvalidationPredicate& p,
                                     bool dead) {
  std::unordered_set<Hash128> found;  // SCAN may tell one twice
  const cache::Invalidations& known = c.invalidations.invalidations();
  const auto look = [&](const Hash128& id, const cache::EntryOrigin& origin,
                        std::string_view material, int64_t created_unix_ms) {
    if (!Matches(p, id, origin, material, created_unix_ms)) return;
    const int64_t floor = known.Floor(
        {.id = id, .origin = origin, .material = material, .created_unix_ms = created_unix_ms});
    if ((origin.position < floor) == dead) found.insert(id);
  };
  if (p.prompt_prefix) {  // which needs the whole entry
    RETURN_IF_ERROR(c.catalogue->ForEachEntry([&](const Hash128& id, const auto& entry) {
      look(id, entry->origin, entry->material, entry->created_unix_ms);
      return true;
    }));
  } else {
    RETURN_IF_ERROR(c.catalogue->ForEach([&](const cache::EntrySummary& entry) {
      look(entry.id, entry.origin, "", entry.created_unix_ms);
    }));
  }
  return std::vector<Hash128>(found.begin(), found.end());
}

}  // namespace

Status Invalidate(const AdminContext& c, const AdminRequest& request, ServerReply& reply) {
  QueryReader query(request.http, {});
  RETURN_IF_ERROR(query.status());
  ASSIGN_OR_RETURN(Asked asked, ReadAsked(request.http.body, c.clock.UnixMs()));
  Json json = {{"dry_run", asked.dry_run},
               {"id", nullptr},
               {"shared", nullptr},
               {"memory", CountInMemory(c, asked.predicate)},
               {"redis", nullptr}};
  if (!asked.dry_run) {
    const auto record = c.invalidations.Issue(asked.predicate);
    json["id"] = record.id;
    if (c.catalogue != nullptr) json["shared"] = record.shared;
  }
  if (c.catalogue != nullptr) {
    const auto in_redis = InRedis(c, asked.predicate, /*dead=*/!asked.dry_run);
    if (!in_redis && asked.dry_run) return std::unexpected(in_redis.error());
    if (in_redis) json["redis"] = in_redis->size();
    // They are dead already; this gives Redis' memory back.
    if (in_redis && !asked.dry_run)
      for (const Hash128& id : *in_redis)
        if (!c.catalogue->Erase(id)) break;
  }
  LogInfo(
      "audit who={} action=invalidate dry_run={} parts={} record={} memory={} redis={} shared={}",
      request.caller.label, asked.dry_run, fmt::join(asked.parts, ","), json["id"].dump(),
      json["memory"].dump(), json["redis"].dump(), json["shared"].dump());
  AnswerJson(reply, json);
  return {};
}

Status ListInvalidations(const AdminContext& c, const AdminRequest& request, ServerReply& reply) {
  QueryReader query(request.http, {});
  RETURN_IF_ERROR(query.status());
  const cache::Invalidations& known = c.invalidations.invalidations();
  auto records = known.List();
  std::ranges::sort(records, std::greater<>(), &cache::InvalidationRecord::position);
  Json list = Json::array();
  for (const cache::InvalidationRecord& record : records) {
    const cache::InvalidationPredicate& p = record.predicate;
    Json parts = Json::object();
    const auto put = [&](const char* name, const auto& part) {
      if (part) parts[name] = *part;
    };
    put("model", p.model);
    put("route", p.route);
    put("namespace", p.name_space);
    put("tenant", p.tenant);
    put("team", p.team);
    put("user", p.user);
    put("created_before_unix_ms", p.created_before_unix_ms);
    if (p.id) parts["id"] = p.id->Hex();
    if (p.prompt_prefix) parts["prompt_prefix"] = true;  // that there is one; it is a question
    if (p.everything()) parts["all"] = true;
    list.push_back({{"id", record.id},
                    {"instant_unix_ms", record.instant_unix_ms},
                    {"shared", c.catalogue != nullptr ? Json(record.shared) : Json()},
                    {"parts", std::move(parts)}});
  }
  const cache::InvalidationStats stats = known.stats();
  AnswerJson(reply, {{"invalidations", std::move(list)},
                     {"refused", stats.refused},
                     {"erased", stats.erased},
                     {"pending", c.invalidations.pending()},
                     {"stale", c.invalidations.Stale()}});
  return {};
}

}  // namespace nextgate::gateway::admin
