#include "cache/policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "base/ascii.h"
#include "base/check.h"

namespace nextgate::cache {
namespace {

bool IsWordByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || static_cast<unsigned char>(c) >= 0x80;
}

// English, lower case. Whole words: "now" is not in "know".
constexpr std::string_view kEnglish[] = {
    "today",          "today's",         "tonight",
    "tomorrow",       "yesterday",       "now",
    "nowadays",       "currently",       "latest",
    "recent",         "recently",        "newest",
    "at the moment",  "at present",      "these days",
    "this morning",   "this evening",    "this afternoon",
    "this week",      "this month",      "this year",
    "this weekend",   "last night",      "last week",
    "last month",     "last year",       "next week",
    "next month",     "next year",       "current time",
    "current date",   "current day",     "current year",
    "current price",  "current weather", "current version",
    "up to date",     "up-to-date",      "what time is it",
    "what day is it", "minutes ago",     "hours ago",
    "days ago",       "just happened",   "breaking news",
};

// Chinese (both scripts) and Japanese, which do not put spaces between words.
constexpr std::string_view kIdeographic[] = {
    "今天", "今日", "今晚", "今早",   "今晨",   "今夜",   "今年",   "今朝",   "今週",
    "今月", "明天", "明日", "明年",   "明晚",   "昨天",   "昨日",   "昨晚",   "去年",
    "后天", "後天", "前天", "现在",   "現在",   "目前",   "当前",   "當前",   "此刻",
    "眼下", "如今", "刚才", "剛才",   "刚刚",   "剛剛",   "最近",   "最新",   "近日",
    "近期", "近来", "近來", "本周",   "本週",   "这周",   "這週",   "上周",   "上週",
    "下周", "下週", "本月", "上个月", "上個月", "下个月", "下個月", "这个月", "這個月",
    "实时", "實時", "几点", "幾點",   "星期几", "星期幾", "几号",   "幾號",
};

void Bypass(CachePlan& plan, Reason reason) { plan.reasons.push_back(reason); }

// Everything that makes the request ineligible, whatever the client wishes, most important first.
void CollectIneligible(const PolicySettings& settings, const RequestFacts& facts, int64_t ttl_s,
                       const std::expected<std::string, Ineligible>& canonical, CachePlan& plan) {
  if (!facts.cacheable_route) Bypass(plan, Reason::kUnsupportedRoute);
  if (!canonical) {
    Bypass(plan, canonical.error().reason);
    plan.detail = canonical.error().detail;
  }
  const bool sampled = facts.temperature && *facts.temperature != 0 && !facts.has_seed;
  if (sampled && !settings.cache_sampled) Bypass(plan, Reason::kSampled);
  if (facts.has_tools && !settings.cache_tools) Bypass(plan, Reason::kTools);
  if (facts.has_images) Bypass(plan, Reason::kImages);
  if (facts.prompt_bytes < settings.prompt_bytes_min) Bypass(plan, Reason::kPromptTooShort);
  if (facts.prompt_bytes > settings.prompt_bytes_max) Bypass(plan, Reason::kPromptTooLong);
  if (ttl_s > settings.short_ttl_s && HasTimeWords(facts.last_user_text))
    Bypass(plan, Reason::kTimeWords);
}

Status CheckRights(const PolicySettings& settings, const CacheControls& controls) {
  const auto denied = [](const char* what, const char* param) {
    return MakeError(ErrorCode::kPermissionDenied,
                     fmt::format("requests with this API key, or without one, may not {}", what),
                     param);
  };
  if (!settings.may_set_ttl && controls.ttl_s)
    return denied("choose how long their answers are cached", "cache.ttl");
  if (!settings.may_set_namespace && !controls.name_space.empty())
    return denied("choose a cache namespace", "cache.namespace");
  if (!settings.may_refresh && (controls.no_cache || controls.max_age_s))
    return denied("refresh cached answers (no-cache, max-age)", "Cache-Control");
  return {};
}

// A key's mode goes before its route's, that before the server's; a request may ask for less, and with
// the right to it for more.
Result<SemanticMode> ModeOf(const PolicySettings& settings, const RequestFacts& facts,
                            const CacheControls& controls) {
  const auto route = std::ranges::find(settings.semantic_by_route, facts.route,
                                       &std::pair<std::string, SemanticMode>::first);
  SemanticMode mode = settings.semantic_of_key.value_or(
      route == settings.semantic_by_route.end() ? settings.semantic : route->second);
  if (!settings.has_embedder) mode = SemanticMode::kOff;
  const SemanticMode asked = controls.semantic.value_or(mode);
  if (asked <= mode) return asked;
  if (!settings.has_embedder)
    return MakeError(ErrorCode::kUnimplemented,
                     fmt::format("'cache.mode' \"{}\": this server has no semantic tier (it was "
                                 "started without --embedding-model or --embedding-url, or with "
                                 "--cache-semantic off).",
                                 SemanticModeName(asked)),
                     "cache.mode");
  if (!settings.may_set_semantic)
    return MakeError(ErrorCode::kPermissionDenied,
                     fmt::format("requests with this API key, or without one, may not choose the "
                                 "cache mode \"{}\"; theirs is \"{}\"",
                                 SemanticModeName(asked), SemanticModeName(mode)),
                     "cache.mode");
  return asked;
}

}  // namespace

bool HasTimeWords(std::string_view text) {
  const std::string lower = AsciiLower(text);
  const auto has_whole_word = [&](std::string_view word) {
    for (size_t at = lower.find(word); at != std::string::npos; at = lower.find(word, at + 1)) {
      const size_t end = at + word.size();
      const bool begins = at == 0 || !IsWordByte(lower[at - 1]);
      const bool ends = end == lower.size() || !IsWordByte(lower[end]);
      if (begins && ends) return true;
    }
    return false;
  };
  return std::ranges::any_of(kEnglish, has_whole_word) ||
         std::ranges::any_of(kIdeographic, [&](std::string_view word) {
           return lower.find(word) != std::string::npos;
         });
}

Result<CachePlan> MakePlan(const PolicySettings& settings, const RequestFacts& facts,
                           const CacheControls& controls,
                           const std::expected<std::string, Ineligible>& canonical) {
  RETURN_IF_ERROR(CheckRights(settings, controls));
  const auto route = std::ranges::find(settings.ttl_by_route_s, facts.route,
                                       &std::pair<std::string, int64_t>::first);
  const int64_t own =
      route == settings.ttl_by_route_s.end() ? settings.ttl_default_s : route->second;
  const int64_t ttl_s = std::min(controls.ttl_s.value_or(own), settings.ttl_max_s);

  CachePlan plan;
  ASSIGN_OR_RETURN(plan.semantic, ModeOf(settings, facts, controls));
  plan.threshold = controls.threshold;
  if (!settings.enabled) Bypass(plan, Reason::kDisabled);
  if (controls.no_store) Bypass(plan, Reason::kNoStore);
  if (controls.mode_off) Bypass(plan, Reason::kModeOff);
  CollectIneligible(settings, facts, ttl_s, canonical, plan);

  // no-cache alone leaves the request eligible: its answer replaces the stored one.
  plan.write = plan.reasons.empty() && ttl_s > 0 && settings.may_write;
  if (controls.no_cache) Bypass(plan, Reason::kNoCache);
  if (!settings.may_read) Bypass(plan, Reason::kKeyRights);
  plan.read = plan.reasons.empty();
  plan.reason = plan.read ? Reason::kNone : plan.reasons.front();
  plan.only_if_cached = controls.only_if_cached;
  if (controls.max_age_s) plan.max_age_ms = *controls.max_age_s * 1000;
  plan.ttl_ms = ttl_s * 1000;
  plan.name_space = controls.name_space;
  plan.normalised = controls.normalised.value_or(settings.cache_normalised);
  return plan;
}

Reason StoreDecision(const CachePlan& plan, const AnswerFacts& facts) {
  CHECK(plan.write);
  if (!facts.complete || facts.finish_reasons.empty()) return Reason::kNotComplete;
  for (const std::string& finish : facts.finish_reasons) {
    if (finish == "stop" || finish == "tool_calls") continue;
    if (finish != "length") return Reason::kFinishReason;
    if (!facts.limit_set_by_request) return Reason::kLengthNotRequested;
  }
  return Reason::kNone;
}

}  // namespace nextgate::cache
