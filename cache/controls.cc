// ParseControls: what clients write about caching, in the header and in the body.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/ascii.h"
#include "cache/policy.h"

namespace nextgate::cache {
namespace {

using nlohmann::json;

// Larger values mean "for ever"; HTTP prescribes saturation for delta-seconds.
constexpr int64_t kSecondsMax = int64_t{1} << 31;
constexpr size_t kNamespaceBytesMax = 256;

std::string_view Trim(std::string_view text) {
  const auto from = text.find_first_not_of(" \t");
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(" \t") - from + 1);
}

// Splits at commas outside quotes.
std::vector<std::string_view> SplitDirectives(std::string_view header) {
  std::vector<std::string_view> parts;
  bool quoted = false;
  size_t begin = 0;
  for (size_t i = 0; i <= header.size(); ++i) {
    if (i < header.size() && header[i] == '"') quoted = !quoted;
    if (i == header.size() || (header[i] == ',' && !quoted)) {
      parts.push_back(Trim(header.substr(begin, i - begin)));
      begin = i + 1;
    }
  }
  return parts;
}

Result<int64_t> ParseMaxAge(std::string_view value) {
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
    value = value.substr(1, value.size() - 2);
  const bool digits =
      !value.empty() && std::ranges::all_of(value, [](char c) { return c >= '0' && c <= '9'; });
  if (!digits)
    return InvalidArgument(
        "Cache-Control: max-age needs a whole number of seconds, as in "
        "\"max-age=60\".",
        "Cache-Control");
  int64_t seconds = 0;
  for (const char c : value) seconds = std::min(seconds * 10 + (c - '0'), kSecondsMax);
  return seconds;
}

void KeepSmaller(std::optional<int64_t>& target, int64_t value) {
  target = target ? std::min(*target, value) : value;
}

Status ParseHeader(std::string_view header, CacheControls& controls) {
  for (const std::string_view directive : SplitDirectives(header)) {
    const size_t equals = directive.find('=');
    const std::string name = AsciiLower(Trim(directive.substr(0, equals)));
    if (name == "no-cache") controls.no_cache = true;
    if (name == "no-store") controls.no_store = true;
    if (name == "only-if-cached") controls.only_if_cached = true;
    if (name == "max-age") {
      const std::string_view value =
          equals == std::string_view::npos ? "" : Trim(directive.substr(equals + 1));
      ASSIGN_OR_RETURN(const int64_t seconds, ParseMaxAge(value));
      KeepSmaller(controls.max_age_s, seconds);
    }
  }
  return {};
}

Result<bool> ReadBool(const json& value, const std::string& param) {
  if (!value.is_boolean())
    return InvalidArgument(
        fmt::format("'{}' must be true or false, got {}.", param, value.type_name()), param);
  return value.get<bool>();
}

Result<int64_t> ReadSeconds(const json& value, const std::string& param) {
  const auto wrong = [&](std::string_view came) {
    return InvalidArgument(
        fmt::format("'{}' must be a whole number of seconds, 0 or more; got {}.", param, came),
        param);
  };
  if (!value.is_number()) return wrong(value.type_name());
  const double number = value.get<double>();
  if (!(number >= 0) || number != std::trunc(number)) return wrong(value.dump());
  return static_cast<int64_t>(std::min(number, static_cast<double>(kSecondsMax)));
}

Status ReadNamespace(const json& value, CacheControls& controls) {
  if (!value.is_string())
    return InvalidArgument(
        fmt::format("'cache.namespace' must be a string, got {}.", value.type_name()),
        "cache.namespace");
  controls.name_space = value.get<std::string>();
  if (controls.name_space.size() > kNamespaceBytesMax)
    return InvalidArgument(fmt::format("'cache.namespace' may have {} bytes, got {}.",
                                       kNamespaceBytesMax, controls.name_space.size()),
                           "cache.namespace");
  return {};
}

Status ReadThreshold(const json& value, CacheControls& controls) {
  const double threshold = value.is_number() ? value.get<double>() : -1;
  if (!(threshold >= 0 && threshold <= 1))
    return InvalidArgument(fmt::format("'cache.threshold' must be a number from 0 to 1, got {}.",
                                       value.is_number() ? value.dump() : value.type_name()),
                           "cache.threshold");
  controls.threshold = static_cast<float>(threshold);
  return {};
}

Status ReadMode(const json& value, CacheControls& controls) {
  const std::string mode = value.is_string() ? value.get<std::string>() : "";
  if (mode == "draft")
    return MakeError(
        ErrorCode::kUnimplemented,
        "'cache.mode' \"draft\" is not supported yet: the engine cannot verify drafts; "
        "use \"shadow\" or \"serve\".",
        "cache.mode");
  controls.mode_off = mode == "off";
  if (mode == "off") return {};
  controls.semantic = mode == "serve"    ? SemanticMode::kServe
                      : mode == "shadow" ? SemanticMode::kShadow
                                         : SemanticMode::kOff;
  if (controls.semantic != SemanticMode::kOff) return {};
  controls.normalised = mode == "normalised";
  if (mode == "exact" || mode == "normalised") return {};
  return InvalidArgument(
      fmt::format(
          "'cache.mode' must be \"exact\", \"normalised\", \"shadow\", \"serve\" or "
          "\"off\"; got {}.",
          value.is_string() ? fmt::format("\"{}\"", mode.substr(0, 64)) : value.type_name()),
      "cache.mode");
}

Status ReadMember(const std::string& name, const json& value, CacheControls& controls) {
  const std::string param = "cache." + name;
  if (name == "ttl") {
    ASSIGN_OR_RETURN(controls.ttl_s, ReadSeconds(value, param));
  } else if (name == "s-maxage") {
    ASSIGN_OR_RETURN(const int64_t seconds, ReadSeconds(value, param));
    KeepSmaller(controls.max_age_s, seconds);
  } else if (name == "no-cache") {
    ASSIGN_OR_RETURN(const bool no_cache, ReadBool(value, param));
    controls.no_cache |= no_cache;
  } else if (name == "no-store") {
    ASSIGN_OR_RETURN(const bool no_store, ReadBool(value, param));
    controls.no_store |= no_store;
  } else if (name == "namespace") {
    return ReadNamespace(value, controls);
  } else if (name == "mode") {
    return ReadMode(value, controls);
  } else if (name == "threshold") {
    return ReadThreshold(value, controls);
  } else {
    return InvalidArgument(
        fmt::format("'cache' has an unknown member \"{}\"; it takes ttl, "
                    "s-maxage, no-cache, no-store, namespace, mode and threshold.",
                    name.substr(0, 64)),
        "cache");
  }
  return {};
}

}  // namespace

Result<CacheControls> ParseControls(std::string_view header, const json* body_cache) {
  CacheControls controls;
  RETURN_IF_ERROR(ParseHeader(header, controls));
  if (body_cache == nullptr || body_cache->is_null()) return controls;
  if (!body_cache->is_object())
    return InvalidArgument(
        fmt::format("'cache' must be an object, got {}.", body_cache->type_name()), "cache");
  for (const auto& [name, value] : body_cache->items()) {
    if (value.is_null()) continue;  // null is "not given"
    RETURN_IF_ERROR(ReadMember(name, value, controls));
  }
  return controls;
}

}  // namespace nextgate::cache
