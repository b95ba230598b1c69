// What operators give: parameters and bodies of the admin API, files of keys, flags and --config FILE.
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/check.h"
#include "cache/redis/endpoint.h"
#include "engine/tokenizer/tokenizer.h"
#include "gateway/admin/entries.h"
#include "gateway/admin/explain.h"
#include "gateway/admin/invalidate.h"
#include "gateway/admin/query.h"
#include "gateway/admin/requests.h"
#include "gateway/admin/stats.h"
#include "gateway/admin/transfer.h"
#include "gateway/api_keys.h"
#include "gateway/flag_args.h"
#include "gateway/flags.h"
#include "gateway/upstream/peer.h"
#include "tests/fuzz/admin_world.h"
#include "tests/fuzz/targets.h"
#include "tests/support/checkpoint_files.h"

namespace nextgate::testing {
namespace {

using namespace nextgate::gateway;
using nlohmann::json;

constexpr size_t kArgsMax = 64;

std::vector<std::pair<std::string, std::string>> Query(std::string_view& input) {
  std::vector<std::pair<std::string, std::string>> query;
  std::string_view line = TakeUntil(input, '\n');
  while (!line.empty() && query.size() < 16) {
    std::string_view pair = TakeUntil(line, '&');
    const std::string_view name = TakeUntil(pair, '=');
    query.emplace_back(name, pair);
  }
  return query;
}

void CheckQuery(std::string_view input) {
  ServerRequest http{.query = Query(input)};
  admin::QueryReader reader(http, {"scope", "limit", "text"});
  const auto whole = reader.Whole("limit", -5, 1000);
  CHECK(!whole || (*whole >= -5 && *whole <= 1000));
  const std::string choice = reader.Choice("scope", {"instance", "cluster"}, "instance");
  const auto text = reader.Text("text");
  CHECK(!text || (!text->empty() && text->size() <= 4 * 256 && !engine::FindInvalidUtf8(*text)));
  if (reader.status()) {
    CHECK(choice == "instance" || choice == "cluster");
  } else {
    CheckError(reader.status().error());
  }
  // Hundreds of steps over time cost a thousand other inputs.
  if (!std::ranges::any_of(http.query, [](const auto& pair) { return pair.second == "time"; }))
    Call(admin::ShowStats, http);
  Call(admin::ListRequests, http);
  const json listed = Call(admin::ListEntries, http);
  if (!listed.is_null()) CHECK(listed["entries"].is_array() && listed.contains("next_cursor"));
  http.parameter = TakeUntil(input, '\n');
  Call(admin::ShowEntry, http);
}

void CheckInvalidate(std::string_view input) {
  const json body = Call(admin::Invalidate, {.body = std::string(input)});
  const auto records = TheWorld().invalidations().List();
  if (!body.is_null()) {
    const bool dry = body["dry_run"].get<bool>();
    CHECK(records.size() == (dry ? 0u : 1u));
    // Nobody says "everything" without the word.
    if (!dry && records[0].predicate.everything()) CHECK(json::parse(input)["all"] == true);
    const auto again = cache::InvalidationRecord::Unpack(dry ? "" : records[0].Pack());
    if (!dry) CHECK(again.predicate == records[0].predicate);
  } else {
    CHECK(records.empty());
  }
  Call(admin::ListInvalidations, {});
  TheWorld().invalidations().Forget(std::numeric_limits<int64_t>::max());
  CHECK(TheWorld().invalidations().List().empty());
}

void CheckExplain(std::string_view input) {
  const json body = Call(admin::Explain, {.body = std::string(input)});
  if (body.is_null()) return;
  CHECK(body.contains("rules") && body.contains("tiers"));
}

void CheckImport(std::string_view input) {
  const json report = Call(admin::Import, {.body = std::string(input)});
  if (report.is_null()) return;
  const auto stats = TheWorld().store().stats();
  CHECK(stats.entries <= report["imported"].get<int64_t>());
  if (stats.entries > 0) {
    std::vector<std::string> ids;
    TheWorld().store().ForEach([&](const Hash128& id, const auto&) { ids.push_back(id.Hex()); });
    for (const std::string& id : ids) CHECK(!Call(admin::ShowEntry, {.parameter = id}).is_null());
    CHECK(Call(admin::ListEntries, {})["entries"].size() == std::min<size_t>(ids.size(), 50));
    // What was imported is exported, and is the same entries when it is imported again.
    const std::string exported = Call(admin::Export, {}).get<std::string>();
    TheWorld().store().Clear();
    const json again = Call(admin::Import, {.body = exported});
    CHECK(again["imported"] == ids.size() && again["rejected"] == 0, "%s", again.dump().c_str());
    CHECK(again["end_of_export"] == "complete");
  }
  TheWorld().store().Clear();
}

void CheckAdminKeys(std::string_view input) {
  std::string authorization(TakeUntil(input, '\n'));
  const auto keys = admin::AdminKeys::Parse(input);
  if (!keys) return CheckError(keys.error());
  for (const auto& key : keys->keys()) CHECK(key.digest.size() == 32 && !key.caller.label.empty());
  ServerRequest http{.remote_address = "127.0.0.1", .header = [&](const std::string& name) {
                       return name == "Authorization" ? authorization : std::string();
                     }};
  const auto caller = keys->Identify(http);
  if (!caller) CheckError(caller.error());
}

void CheckApiKeys(std::string_view input) {
  const auto keys = ApiKeys::Parse(input);
  if (!keys) {
    CheckError(keys.error());
    // Only the names that we know and the number of the line.
    CHECK(keys.error().message.size() < 300 && !keys.error().message.contains("deadbeef"));
  } else {
    CHECK(keys->size() >= 1);
  }
  const auto instant = ParseInstant(input);
  CHECK(!instant || (*instant >= -62'167'219'200 && *instant < 253'402'300'800));
}

void CheckOptions(const ServeOptions& o) {
  const auto port = [](int32_t value) { return value >= 0 && value <= 65535; };
  CHECK(port(o.port) && (!o.admin_port || port(*o.admin_port)));
  CHECK(o.max_model_len >= 0 && o.max_num_seqs >= 1 && o.max_num_batched_tokens >= 64);
  CHECK(o.gpu_memory_utilization > 0 && o.gpu_memory_utilization <= 1);
  CHECK(o.max_logprobs >= 0 && o.max_body_bytes >= 1024 && o.max_messages >= 1);
  CHECK(o.cache_ttl_s >= 1 && o.cache_ttl_s <= o.cache_ttl_max_s && o.cache_memory_bytes >= 0);
  for (const auto& [route, ttl_s] : o.cache_route_ttl_s)
    CHECK(ttl_s >= 0 && ttl_s <= o.cache_ttl_max_s);
  CHECK(o.cache_prompt_bytes_min <= o.cache_prompt_bytes_max);
  CHECK(o.model.empty() != o.upstreams.empty());
  for (const std::string& url : o.upstreams) CHECK(ParseUpstreamUrl(url));
}

// Files that a fuzzer names are none of its business.
bool ReadsFiles(const std::vector<std::string>& args) {
  const auto line = ReadCommandLine(args);
  if (!line) {
    CheckError(line.error());
    return true;
  }
  return !line->config_file.empty() || std::ranges::any_of(line->given, [](const auto& flag) {
    return flag.first.ends_with("-file");
  });
}

void CheckServe(const std::vector<std::string>& args) {
  const auto parsed = ParseServeFlags(args);
  if (!parsed) return CheckError(parsed.error());
  if (!parsed->help) CheckOptions(parsed->options);
}

void CheckFlags(std::string_view input) {
  std::vector<std::string> args;
  while (!input.empty() && args.size() < kArgsMax) args.emplace_back(TakeUntil(input, '\n'));
  if (!ReadsFiles(args)) CheckServe(args);
}

void CheckToml(std::string_view input) {
  static const TempDir scratch;
  if (input.contains("file")) return;
  WriteText(scratch / "nextgate.toml", std::string(input));
  CheckServe({"--config", (scratch / "nextgate.toml").string()});
}

void CheckValues(std::string_view input) {
  const auto number = ParseHumanInt(input);
  CHECK(!number || std::abs(*number) <= 9'000'000'000'000'000, "%ld", static_cast<long>(*number));
  if (const auto endpoint = cache::ParseRedisUrl(input); endpoint) {
    CHECK(endpoint->port > 0 && endpoint->port <= 65535 && endpoint->database >= 0);
    CHECK(!endpoint->host.empty() || !endpoint->known.empty());
  } else {
    CheckError(endpoint.error());
  }
  if (const auto url = ParseUpstreamUrl(input); !url) CheckError(url.error());
}

}  // namespace

void FuzzAdmin(std::string_view input) {
  switch (TakeChoice(input, 9)) {
    case 0:
      return CheckQuery(input);
    case 1:
      return CheckInvalidate(input);
    case 2:
      return CheckExplain(input);
    case 3:
      return CheckImport(input);
    case 4:
      return CheckAdminKeys(input);
    case 5:
      return CheckApiKeys(input);
    case 6:
      return CheckFlags(input);
    case 7:
      return CheckToml(input);
    default:
      return CheckValues(input);
  }
}

}  // namespace nextgate::testing
