// May this request use the answer cache, and may its answer be kept? Pure decisions from facts that
// the gateway collects; no clock, no store, no HTTP types. Every "no" has a Reason.
//
// Threads: pure functions; may be called from any thread.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "cache/key.h"
#include "cache/reason.h"
#include "cache/semantic/mode.h"

namespace nextgate::cache {

// What the client said about caching, in the Cache-Control header and the body's `cache` object
// together. Where both speak, the stricter wins (flags are or-ed, max_age is the smaller; ttl is
// the body's).
struct CacheControls {
  bool no_cache = false;           // do not read, refresh
  bool no_store = false;           // neither read, nor stored, nor published
  bool only_if_cached = false;     // 504 on a miss
  bool mode_off = false;           // body mode "off": same effect as no_store
  std::optional<bool> normalised;  // body mode "normalised" or "exact"; else as the server is set
  std::optional<SemanticMode> semantic;  // body mode: kOff with the two above, or "shadow", "serve"
  std::optional<float> threshold;        // body "threshold": a stored question's cosine at least
  std::optional<int64_t> max_age_s;      // only if Age <= this (header max-age; body "s-maxage")
  std::optional<int64_t> ttl_s;          // body "ttl": keep my answer this long
  std::string name_space;                // body "namespace"
};

// `header` is the value of Cache-Control ("" if absent; several header lines joined by ", ");
// unknown directives are ignored, as HTTP says. `body_cache` is the body's `cache` (nullptr or null
// if absent):
// {"ttl": s, "s-maxage": s, "no-cache": bool, "no-store": bool, "namespace": string, "mode":
// "exact"|"normalised"|"shadow"|"serve"|"off", "threshold": cosine}. Errors are kInvalidArgument
// (kUnimplemented for the mode "draft") with a message for the client and the param ("Cache-Control",
// "cache.ttl", …).
Result<CacheControls> ParseControls(std::string_view header, const nlohmann::json* body_cache);

struct PolicySettings {
  bool enabled = true;
  bool cache_sampled = false;     // temperature above 0 without a seed is eligible too
  bool cache_tools = false;       // requests with tools are eligible
  bool cache_normalised = false;  // the normalised tier too, unless a request says otherwise
  bool has_embedder = false;      // else there is no semantic tier, whatever is said below
  SemanticMode semantic =
      SemanticMode::kShadow;  // unless a route, a key or a request says otherwise
  std::vector<std::pair<std::string, SemanticMode>> semantic_by_route;  // instead of `semantic`
  int64_t ttl_default_s = 3600;
  std::vector<std::pair<std::string, int64_t>> ttl_by_route_s;  // instead of ttl_default_s
  int64_t ttl_max_s = 7 * 24 * 3600;  // any ttl, a client's too, is clamped to this
  int64_t short_ttl_s = 60;           // time words are eligible up to this TTL
  int64_t prompt_bytes_min = 1;
  int64_t prompt_bytes_max = 1 << 20;
  // What the requesting key may do at all …
  bool may_read = true;   // else nothing is looked up or followed
  bool may_write = true;  // else its answers are not stored
  // … and what it may override; a control it may not use is an error of
  // kPermissionDenied. no-store is everybody's right.
  bool may_set_ttl = true;
  bool may_set_namespace = true;
  bool may_refresh = true;       // no-cache, max-age
  bool may_set_semantic = true;  // a mode beyond its own; less, and a higher threshold, are free
  std::optional<SemanticMode> semantic_of_key;  // instead of the route's
};

// What the gateway knows about a request. Views need live only during the call.
struct RequestFacts {
  bool cacheable_route = true;  // chat completions and completions are
  std::string_view route;       // "/v1/chat/completions"
  std::optional<double>
      temperature;  // as the client wrote it; nothing if omitted, whatever the default
  bool has_seed = false;
  bool has_tools = false;
  bool has_images = false;          // any content that is not text or token ids
  int64_t prompt_bytes = 0;         // of all messages' text or of the prompt (token ids: 4 each)
  std::string_view last_user_text;  // looked through for time words; "" if the prompt is token ids
};

struct CachePlan {
  bool read = false;              // look it up
  bool write = false;             // store the answer if StoreDecision agrees
  bool only_if_cached = false;    // no answer found (or !read): 504
  Reason reason = Reason::kNone;  // why not read: X-Cache-Reason of a BYPASS. kNone iff read
  std::string detail;             // unknown_field: its name
  std::optional<int64_t> max_age_ms;
  int64_t ttl_ms = 0;
  std::string name_space;       // goes into Scope
  bool normalised = false;      // look in the normalised tier too, and store for it (normalise.h)
  std::vector<Reason> reasons;  // all of them, most important first; empty iff read
  SemanticMode semantic = SemanticMode::kOff;  // the semantic tier (semantic/semantic_cache.h)
  std::optional<float> threshold;              // beside what the verifier wants
};

// `canonical` is Canonicalise's result, whose failure makes the request ineligible. The error is a
// control this key may not use.
Result<CachePlan> MakePlan(const PolicySettings& settings, const RequestFacts& facts,
                           const CacheControls& controls,
                           const std::expected<std::string, Ineligible>& canonical);

// Does `text` depend on the moment it is asked? Whole English words, case-insensitive; Chinese and
// Japanese words anywhere.
bool HasTimeWords(std::string_view text);

// What is known when an answer ends.
struct AnswerFacts {
  bool complete = false;              // status 2xx and every choice reached its end
  bool limit_set_by_request = false;  // the request itself set max_tokens or max_completion_tokens
  std::vector<std::string> finish_reasons;  // one per choice
};

// kNone if the answer may be stored under `plan`, else why not. REQUIRES: plan.write.
Reason StoreDecision(const CachePlan& plan, const AnswerFacts& facts);

}  // namespace nextgate::cache
