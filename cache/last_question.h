// A chat request without its last user text, and that text: the tiers behind the exact one let
// nothing but this text differ. Everything else (system prompt, history, tools, parameters, whose
// request it is, which model) is in `rest`, and must be equal byte for byte.
//
// Only chat requests have one: a prompt is continued, so its end matters, as does that of a message
// that is continued. Nor do requests whose answer shows the prompt itself (prompt_logprobs,
// return_token_ids).
//
// Threads: pure.
#pragma once

#include <expected>
#include <string>
#include <string_view>

namespace nextgate::cache {

enum class NoQuestion {
  kNotChat,        // not_chat: no messages, or none of a user
  kNotOneText,     // not_one_text: the last user message is not one text
  kPromptMatters,  // prompt_matters: the answer continues or shows the prompt
};
inline constexpr size_t kNumNoQuestion = 3;
std::string_view NoQuestionCode(NoQuestion why);

struct LastQuestion {
  std::string rest;  // the material with "" for the text
  std::string text;  // in NFC, as the canonical request has it
};

// `material` is a CacheKey's.
std::expected<LastQuestion, NoQuestion> TakeLastQuestion(std::string_view material);

}  // namespace nextgate::cache
