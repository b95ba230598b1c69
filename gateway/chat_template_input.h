// A request's JSON → the engine's values, marked with where they come from, after the same
// preparation that vLLM and transformers give messages. The first place that looks at a stranger's
// messages: all limits on their shape are here.
//
// Threads: pure functions.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/status.h"
#include "gateway/chat_template.h"
#include "jinja/value.h"

namespace nextgate::gateway {

// What transformers appends to a final message that is to be continued, and finds again after
// rendering.
inline constexpr char kContinueTag[] = "CONTINUE_FINAL_MESSAGE_TAG ";

struct TemplateInput {
  jinja::value messages;
  jinja::value tools;      // none: null value of the engine
  std::string final_text;  // continue_final_message: the text the prompt has to end with
};

// What a template knows of; `lists` (of parts) or `strings` is true.
struct TemplateReads {
  bool lists = false;
  bool strings = true;
  bool developers = false;  // messages of the role developer
};

// kInvalidArgument names the message and field at fault.
Result<TemplateInput> PrepareInput(const ChatInput& input, const TemplateReads& reads);

// Any JSON, every string and key in it under `mark`. Depth was checked.
jinja::value FromJson(const nlohmann::ordered_json& json, int mark);

// Error if `json` nests deeper than kMaxChatDepth or has an object with more than 4,096 members.
Status CheckShape(const nlohmann::ordered_json& json, const std::string& param);

}  // namespace nextgate::gateway
