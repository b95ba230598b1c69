// The identity of a request: canonical form, keys, what clients say about caching, and the normalised tier.
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/check.h"
#include "cache/invalidation.h"
#include "cache/key.h"
#include "cache/normalise.h"
#include "cache/policy.h"
#include "engine/tokenizer/tokenizer.h"
#include "tests/fuzz/targets.h"

namespace nextgate::testing {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

bool IsAscii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

// The same with the members of every object in the opposite order.
ordered_json Reversed(const ordered_json& value) {
  if (value.is_object()) {
    ordered_json out = ordered_json::object();
    for (auto it = value.rbegin(); it != value.rend(); ++it) out[it.key()] = Reversed(*it);
    return out;
  }
  if (!value.is_array()) return value;
  ordered_json out = ordered_json::array();
  for (const ordered_json& element : value) out.push_back(Reversed(element));
  return out;
}

// Deeper ones never get here (openai::ParseBody).
json ParseShallow(std::string_view text) {
  constexpr int kDepthMax = 200;
  bool too_deep = false;
  const auto limit = [&](int depth, json::parse_event_t, json&) {
    return !(too_deep = too_deep || depth > kDepthMax);
  };
  json parsed = json::parse(text, limit, /*allow_exceptions=*/false);
  return too_deep || !parsed.is_object() ? json() : parsed;
}

// The canonical request; "" if there is none.
std::string CheckCanonical(std::string_view text) {
  const json request = ParseShallow(text);
  if (!request.is_object()) return "";
  const auto canonical = cache::Canonicalise(request);
  if (!canonical) {
    CHECK(canonical.error().reason == cache::Reason::kUnknownField ||
          canonical.error().reason == cache::Reason::kTooDeep);
    CHECK(request.contains(canonical.error().detail));
    return "";
  }
  const json again = json::parse(*canonical);  // throws if it is no JSON
  CHECK(cache::Canonicalise(again) == *canonical, "not a fixed point");
  const std::string reordered = Reversed(ordered_json::parse(text)).dump(3, ' ', true);
  CHECK(cache::Canonicalise(json::parse(reordered)) == *canonical, "depends on how it is written");
  json expected = json::object();
  for (const auto& [name, value] : request.items())
    if (!value.is_null() &&
        std::ranges::find(cache::IrrelevantFields(), name) == cache::IrrelevantFields().end())
      expected[name] = value;
  if (IsAscii(expected.dump())) CHECK(again == expected, "a value was lost");
  return *canonical;
}

// Two scopes have one partition only if they are one, and a key's material comes apart as it was made.
void CheckPartition(std::string_view input) {
  const cache::Partitioner partitioner("a secret of the fuzzer");
  cache::Scope scopes[2];
  for (cache::Scope& scope : scopes)
    for (std::string* part : {&scope.tenant, &scope.team, &scope.user, &scope.name_space})
      *part = TakeUntil(input, '|');
  const std::string fingerprint(TakeUntil(input, '\n'));
  const std::string partition = partitioner.Partition(scopes[0], fingerprint);
  CHECK((partition == partitioner.Partition(scopes[1], fingerprint)) == (scopes[0] == scopes[1]));
  const cache::CacheKey key = cache::MakeKey(partition, input);
  const cache::MaterialParts parts = cache::SplitMaterial(key.material);
  CHECK(parts.fingerprint == fingerprint && parts.canonical == input &&
        partition.starts_with(parts.scope_id) && parts.scope_id.size() == 64);
  const cache::MaterialParts foreign = cache::SplitMaterial(input);  // of anybody's making
  CHECK(foreign.canonical.size() <= input.size());
}

void CheckPlan(const cache::CacheControls& controls, std::string_view text, bool rights) {
  const cache::PolicySettings settings{.cache_normalised = text.size() % 2 == 0,
                                       .may_read = rights,
                                       .may_write = rights || text.size() % 3 == 0,
                                       .may_set_ttl = rights,
                                       .may_set_namespace = rights,
                                       .may_refresh = rights};
  const cache::RequestFacts facts{.route = "/v1/chat/completions",
                                  .temperature = 0,
                                  .prompt_bytes = static_cast<int64_t>(text.size()),
                                  .last_user_text = text};
  const auto plan = cache::MakePlan(settings, facts, controls, std::string("{}"));
  if (!plan) {
    CHECK(plan.error().code == ErrorCode::kPermissionDenied && !rights);
    return;
  }
  CHECK(plan->read == (plan->reason == cache::Reason::kNone));
  CHECK(plan->read == plan->reasons.empty());
  CHECK(plan->ttl_ms >= 0 && plan->ttl_ms <= settings.ttl_max_s * 1000);
  CHECK(!plan->max_age_ms || *plan->max_age_ms >= 0);
  if (controls.no_store || controls.mode_off) CHECK(!plan->read && !plan->write);
  if (controls.no_cache) CHECK(!plan->read);
  if (!rights) CHECK(!plan->read && plan->name_space.empty());
  if (cache::HasTimeWords(text) && plan->write) CHECK(plan->ttl_ms <= settings.short_ttl_s * 1000);
}

void CheckControls(std::string_view input) {
  const std::string header(TakeUntil(input, '\n'));
  const std::string_view body_text = TakeUntil(input, '\n');
  const json body = json::parse(body_text, nullptr, /*allow_exceptions=*/false);
  const bool has_body = !body.is_discarded();
  const auto controls = cache::ParseControls(header, has_body ? &body : nullptr);
  if (!controls) {
    CHECK(!controls.error().message.empty() && !controls.error().param.empty());
    return;
  }
  CHECK(!controls->ttl_s || *controls->ttl_s >= 0);
  CHECK(!controls->max_age_s || *controls->max_age_s >= 0);
  // The stricter of header and body.
  const auto alone = cache::ParseControls(header, nullptr);
  CHECK(alone);
  CHECK(!alone->no_store || controls->no_store);
  CHECK(!alone->no_cache || controls->no_cache);
  CHECK(!alone->max_age_s || (controls->max_age_s && *controls->max_age_s <= *alone->max_age_s));
  for (const bool rights : {true, false}) CheckPlan(*controls, input, rights);
}

void CheckNormalised(std::string_view input) {
  if (engine::FindInvalidUtf8(input)) return;
  const std::string text = cache::CanonicalPrefix(std::string(input));
  CHECK(cache::CanonicalPrefix(text) == text);
  const auto normalised = cache::NormaliseText(text);
  const auto padded = cache::NormaliseText("  " + text + " \t");
  CHECK(normalised == padded, "depends on the space around it");
  if (!normalised) {
    CHECK(!cache::UnnormalisableCode(normalised.error()).empty());
    return;
  }
  CHECK(!normalised->empty() && !engine::FindInvalidUtf8(*normalised));
  const auto again = cache::NormaliseText(*normalised);
  CHECK(again && *again == *normalised, "not a fixed point: '%s', '%s'", normalised->c_str(),
        again ? again->c_str() : "none");
}

void CheckNormalisedMaterial(std::string_view input) {
  const std::string canonical = CheckCanonical(input);
  if (canonical.empty()) return;
  const cache::Partitioner partitioner("a secret of the fuzzer");
  const std::string partition = partitioner.Partition({.tenant = "t"}, "model");
  const cache::CacheKey key = cache::MakeKey(partition, canonical);
  const auto material = cache::NormalisedMaterial(key.material);
  const auto normalised = cache::NormalisedKey(key.material);
  CHECK(material.has_value() == normalised.has_value());
  if (!material) return;
  CHECK(material->starts_with(partition + "\n") && normalised->material == *material);
  CHECK(*material != key.material && normalised->hash != key.hash);
}

}  // namespace

void FuzzCanonical(std::string_view input) {
  switch (TakeChoice(input, 5)) {
    case 0:
      CheckCanonical(input);
      break;
    case 1:
      CheckPartition(input);
      break;
    case 2:
      CheckControls(input);
      break;
    case 3:
      CheckNormalised(input);
      break;
    default:
      CheckNormalisedMaterial(input);
  }
}

}  // namespace nextgate::testing
