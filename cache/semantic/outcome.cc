#include "cache/semantic/outcome.h"

#include <array>

namespace nextgate::cache {

std::string_view SemanticOutcomeCode(SemanticOutcome outcome) {
  constexpr std::array<std::string_view, kNumSemanticOutcomes> kCodes = {
      "served",   "would_serve",  "observed",       "unproven",
      "gated",    "rejected",     "no_candidate",   "gone",
      "not_chat", "not_one_text", "prompt_matters", "unsupported_script",
      "too_long", "empty",        "deadline",       "embedder_error",
      "busy"};
  return kCodes[static_cast<size_t>(outcome)];
}

}  // namespace nextgate::cache
