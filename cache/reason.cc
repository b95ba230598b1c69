#include "cache/reason.h"

namespace nextgate::cache {

std::string_view ReasonCode(Reason reason) {
  switch (reason) {
    case Reason::kNone:
      return "";
    case Reason::kDisabled:
      return "disabled";
    case Reason::kNoStore:
      return "no_store";
    case Reason::kNoCache:
      return "no_cache";
    case Reason::kModeOff:
      return "mode_off";
    case Reason::kUnknownField:
      return "unknown_field";
    case Reason::kTooDeep:
      return "too_deep";
    case Reason::kSampled:
      return "sampled";
    case Reason::kTools:
      return "tools";
    case Reason::kImages:
      return "images";
    case Reason::kPromptTooShort:
      return "prompt_too_short";
    case Reason::kPromptTooLong:
      return "prompt_too_long";
    case Reason::kTimeWords:
      return "time_words";
    case Reason::kStale:
      return "stale";
    case Reason::kKeyRights:
      return "key_rights";
    case Reason::kUnsupportedRoute:
      return "unsupported_route";
    case Reason::kNotComplete:
      return "not_complete";
    case Reason::kFinishReason:
      return "finish_reason";
    case Reason::kLengthNotRequested:
      return "length_not_requested";
    case Reason::kAnswerTooLarge:
      return "answer_too_large";
    case Reason::kZeroTtl:
      return "zero_ttl";
    case Reason::kInvalidated:
      return "invalidated";
    case Reason::kWriterFull:
      return "writer_full";
  }
  return "";
}

}  // namespace nextgate::cache
