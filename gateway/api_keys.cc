#include "gateway/api_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <nlohmann/json.hpp>

#include "base/sha256.h"
#include "cache/hmac.h"
#include "gateway/key_text.h"
#include "gateway/openai/field_reader.h"

namespace nextgate::gateway {
namespace {

using openai::FieldReader;
using openai::Json;

constexpr size_t kNameBytesMax = 128;  // of a tenant, a team, a user
constexpr size_t kModelsMax = 256;
constexpr int64_t kLimitMax = 1'000'000'000'000;
constexpr size_t kIdDigits = 32;

struct Right {
  std::string_view name;
  bool CacheRights::*member;
};
constexpr std::array kRights = {
    Right{"read", &CacheRights::read},       Right{"write", &CacheRights::write},
    Right{"ttl", &CacheRights::ttl},         Right{"namespace", &CacheRights::name_space},
    Right{"refresh", &CacheRights::refresh}, Right{"semantic", &CacheRights::semantic}};

std::string ReadName(FieldReader& read, const char* name) {
  const std::string text = read.Text(name).value_or("");
  if (text.size() > kNameBytesMax)
    read.Fail(fmt::format("{}: at most {} bytes, got {}", name, kNameBytesMax, text.size()), name);
  return text;
}

std::optional<int64_t> ReadExpiry(FieldReader& read) {
  const Json* value = read.Find("expires");
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) return read.Whole("expires", 0, kLimitMax);
  const auto instant = ParseInstant(value->get_ref<const std::string&>());
  if (!instant) {
    read.Fail("expires: " + instant.error().message, "expires");
    return std::nullopt;
  }
  return *instant;
}

struct Record {
  std::string digest;
  Principal principal;
};

Result<Record> ParseRecord(std::string_view line, size_t number) {
  // Names given twice are the file's error: which of two limits is meant is not for us to guess.
  std::set<std::string> names;
  bool twice = false;
  const auto look = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::key && depth == 1)
      twice = twice || !names.insert(parsed.get<std::string>()).second;
    return true;
  };
  const Json object = Json::parse(line, look, /*allow_exceptions=*/false);
  if (!object.is_object()) return InvalidArgument("expected a JSON object");
  if (twice) return InvalidArgument("a member is given twice");
  FieldReader read(object);
  Record record;
  Principal& p = record.principal;
  const auto digest = DigestFromHex(read.Text("key_sha256").value_or(""));
  if (!digest) read.Fail("key_sha256: needs 64 lower-case hex digits", "key_sha256");
  const auto label = read.Text("label");
  p.label = label.value_or(fmt::format("line-{}", number));
  if (p.label.empty() || !IsPlainLabel(p.label))
    read.Fail(fmt::format("label: {}", kPlainLabel), "label");
  p.scope.tenant = ReadName(read, "tenant");
  p.scope.team = ReadName(read, "team");
  p.scope.user = ReadName(read, "user");
  if (const Json* models = read.Find("models"); models != nullptr) {
    p.models = read.Texts("models", kModelsMax);
    if (models->empty()) read.Fail("models: an empty list; leave it out to allow all", "models");
  }
  if (read.Find("cache") != nullptr) {
    const auto rights = ParseCacheRights(read.Texts("cache", kRights.size()));
    if (rights) p.cache = *rights;
    if (!rights) read.Fail("cache: " + rights.error().message, "cache");
  }
  if (const auto mode = read.Text("semantic")) {
    p.semantic = cache::FindSemanticMode(*mode);
    if (!p.semantic) read.Fail("semantic: expected off, shadow or serve", "semantic");
  }
  p.limits = {.rpm = read.Whole("rpm", 1, kLimitMax).value_or(0),
              .tpm = read.Whole("tpm", 1, kLimitMax).value_or(0),
              .concurrency = read.Whole("concurrency", 1, kLimitMax).value_or(0)};
  p.expires_unix_s = ReadExpiry(read);
  RETURN_IF_ERROR(read.status());
  if (const auto unknown = read.Unread(); !unknown.empty())
    return InvalidArgument(
        "unknown member; there are: key_sha256, label, tenant, team, user, models, cache, "
        "semantic, rpm, "
        "tpm, concurrency, expires");
  record.digest = *digest;
  p.id = cache::Hex(*digest).substr(0, kIdDigits);
  return record;
}

// A number of exactly so many digits in front of `text`, which loses them.
std::optional<int> TakeDigits(std::string_view& text, size_t count) {
  int value = 0;
  if (text.size() < count) return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + count, value);
  if (error != std::errc() || end != text.data() + count || text.front() == '-')
    return std::nullopt;
  text.remove_prefix(count);
  return value;
}

bool Take(std::string_view& text, char expected) {
  if (text.empty() || text.front() != expected) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

const PrincipalPtr& Everybody() {
  static const auto& everybody = *new PrincipalPtr(std::make_shared<const Principal>());
  return everybody;
}

Result<CacheRights> ParseCacheRights(const std::vector<std::string>& names) {
  CacheRights rights;
  for (const Right& right : kRights) rights.*right.member = false;
  for (const std::string& name : names) {
    const auto found = std::ranges::find(kRights, name, &Right::name);
    if (found == kRights.end())
      return InvalidArgument("expected some of: read, write, ttl, namespace, refresh, semantic");
    rights.*found->member = true;
  }
  return rights;
}

Result<int64_t> ParseInstant(std::string_view text) {
  using namespace std::chrono;
  const auto wrong = [] {
    return InvalidArgument("expected YYYY-MM-DD, YYYY-MM-DDTHH:MM:SSZ or Unix seconds");
  };
  const auto year_number = TakeDigits(text, 4);
  if (!year_number || !Take(text, '-')) return wrong();
  const auto month_number = TakeDigits(text, 2);
  if (!month_number || !Take(text, '-')) return wrong();
  const auto day_number = TakeDigits(text, 2);
  if (!day_number) return wrong();
  const year_month_day date(year(*year_number), month(static_cast<unsigned>(*month_number)),
                            day(static_cast<unsigned>(*day_number)));
  if (!date.ok()) return wrong();
  const int64_t midnight = sys_days(date).time_since_epoch() / seconds(1);
  if (text.empty()) return midnight;
  if (!Take(text, 'T')) return wrong();
  const auto h = TakeDigits(text, 2);
  if (!h || !Take(text, ':')) return wrong();
  const auto m = TakeDigits(text, 2);
  if (!m || !Take(text, ':')) return wrong();
  const auto s = TakeDigits(text, 2);
  if (!s || !Take(text, 'Z') || !text.empty() || *h > 23 || *m > 59 || *s > 59) return wrong();
  return midnight + *h * 3600 + *m * 60 + *s;
}

Result<ApiKeys> ApiKeys::Parse(std::string_view text) {
  ApiKeys keys;
  RETURN_IF_ERROR(ForEachKeyLine(text, [&](std::string_view line, size_t number) -> Status {
    ASSIGN_OR_RETURN(Record record, ParseRecord(line, number));
    const bool fresh = keys.by_digest_
                           .emplace(std::move(record.digest),
                                    std::make_shared<const Principal>(std::move(record.principal)))
                           .second;
    if (!fresh) return InvalidArgument("this key was given before");
    return {};
  }));
  if (keys.by_digest_.empty())
    return InvalidArgument("no key in it; make one with: nextgate admin keys new-api");
  return keys;
}

PrincipalPtr ApiKeys::Find(const std::string& digest) const {
  const auto found = by_digest_.find(digest);
  return found == by_digest_.end() ? nullptr : found->second;
}

NewApiKey MakeApiKey(const Principal& of, std::string_view expires) {
  NewApiKey made{.key = RandomKey("ngk_"), .line = {}};
  Json line = {{"key_sha256", cache::Hex(Sha256(made.key))}};
  const auto add = [&](const char* name, const std::string& text) {
    if (!text.empty()) line[name] = text;
  };
  const auto limit = [&](const char* name, int64_t value) {
    if (value > 0) line[name] = value;
  };
  add("label", of.label);
  add("tenant", of.scope.tenant);
  add("team", of.scope.team);
  add("user", of.scope.user);
  if (!of.models.empty()) line["models"] = of.models;
  if (of.cache != CacheRights()) {
    line["cache"] = Json::array();
    for (const Right& right : kRights)
      if (of.cache.*right.member) line["cache"].push_back(right.name);
  }
  if (of.semantic) line["semantic"] = cache::SemanticModeName(*of.semantic);
  limit("rpm", of.limits.rpm);
  limit("tpm", of.limits.tpm);
  limit("concurrency", of.limits.concurrency);
  add("expires", std::string(expires));
  made.line = line.dump(-1, ' ', false, Json::error_handler_t::replace);
  return made;
}

}  // namespace nextgate::gateway
