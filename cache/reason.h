// Why a request did not use the answer cache, or why its answer was not kept. The codes are what
// users see in X-Cache-Reason, in `bypass` of GET /admin/cache/stats and in the access line; they
// are stable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace nextgate::cache {

enum class Reason : uint8_t {
  kNone,
  // The request is not looked up (bypass).
  kDisabled,          // disabled: the answer cache is switched off
  kNoStore,           // no_store: the client asked for no-store
  kNoCache,           // no_cache: the client asked for a fresh answer (which is stored)
  kModeOff,           // mode_off: body cache.mode is "off"
  kUnknownField,      // unknown_field: a forwarded field whose effect is not known
  kTooDeep,           // too_deep: JSON nested deeper than kDepthMax
  kSampled,           // sampled: temperature above 0 without a seed
  kTools,             // tools: tool use is not opted in
  kImages,            // images: the request carries something other than text
  kPromptTooShort,    // prompt_too_short
  kPromptTooLong,     // prompt_too_long
  kTimeWords,         // time_words: "today", "now", 今天 … with a long TTL
  kStale,             // stale: Redis was not heard for longer than --cache-max-stale-s
  kKeyRights,         // key_rights: the API key may not read stored answers
  kUnsupportedRoute,  // unsupported_route: this endpoint is not cached
  // The answer is not stored.
  kNotComplete,         // not_complete: an error, a cancelled or broken stream
  kFinishReason,        // finish_reason: other than stop, tool_calls or length
  kLengthNotRequested,  // length_not_requested: cut by a limit the request did not set
  kAnswerTooLarge,      // answer_too_large
  kZeroTtl,             // zero_ttl
  kInvalidated,         // invalidated: while it was generated
  kWriterFull,          // writer_full: the queue behind the writer is full
};
inline constexpr size_t kNumReasons = static_cast<size_t>(Reason::kWriterFull) + 1;

// The code as users see it ("sampled"); "" for kNone.
std::string_view ReasonCode(Reason reason);

}  // namespace nextgate::cache
