// How a semantic lookup ended. The codes are what users see in X-Cache-Reason, in `semantic` of GET
// /admin/cache/stats and in explain; they are stable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace nextgate::cache {

enum class SemanticOutcome : uint8_t {
  kServed,      // served: the stored answer was the answer
  kWouldServe,  // would_serve: in shadow, it would have been
  kObserved,    // observed: it would have been, and was generated to be compared
  // There is a nearest question, and its answer is not served.
  kUnproven,  // unproven: below the threshold, or the verifier has too little evidence
  kGated,     // gated: a gate refused
  kRejected,  // rejected: feedback said that these two are not the same
  // There is none.
  kNoCandidate,  // no_candidate: nothing near enough to be looked at
  kGone,         // gone: what was near is not stored any more, or could not be read in time
  // There is no question to be compared.
  kNotChat,            // not_chat, not_one_text, prompt_matters: cache/last_question.h
  kNotOneText,         //
  kPromptMatters,      //
  kUnsupportedScript,  // unsupported_script, too_long, empty: cache/semantic/eligibility.h
  kTooLong,            //
  kEmpty,              //
  // The embedder's failures.
  kDeadline,       // deadline: it did not answer in time
  kEmbedderError,  // embedder_error: it is away, or what it said was no vector
  kBusy,           // busy: too many lookups wait
};
inline constexpr size_t kNumSemanticOutcomes = static_cast<size_t>(SemanticOutcome::kBusy) + 1;

std::string_view SemanticOutcomeCode(SemanticOutcome outcome);

}  // namespace nextgate::cache
