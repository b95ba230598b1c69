// A generating request of either endpoint, parsed and checked: every default filled, every value in
// range. The two endpoints differ in the prompt and in how the answer is written; all else is
// shared.
//
// Threads: values.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"
#include "engine/model/generation_config.h"
#include "engine/request.h"

namespace nextgate::gateway::openai {

enum class Endpoint { kChat, kCompletion };

// Text, or token ids.
using CompletionPrompt = std::variant<std::string, std::vector<int32_t>>;

struct ApiRequest {
  Endpoint endpoint = Endpoint::kChat;
  std::string model;
  bool stream = false;
  bool include_usage = false;

  // What is generated
  int32_t n = 1;
  engine::SamplingParams sampling;
  std::optional<int32_t> max_tokens;  // as the client asked, at most ParseLimits::max_tokens_bound
  std::optional<int32_t> max_tokens_default;  // without it; absent: as many as fit
  int32_t min_tokens = 0;
  bool ignore_eos = false;
  std::vector<std::string> stop;
  std::vector<int32_t> stop_token_ids;
  bool include_stop_str_in_output = false;
  bool skip_special_tokens = true;
  int32_t num_logprobs = -1;         // -1: none
  int32_t num_prompt_logprobs = -1;  // -1: none
  int32_t priority = 0;
  std::string cache_salt;    // as the client wrote it
  std::string prefix_scope;  // with who asks (prefix_scope.h): set when that is known

  // How it is written
  bool echo = false;
  bool return_token_ids = false;
  bool return_tokens_as_token_ids = false;

  // kChat
  std::shared_ptr<const nlohmann::ordered_json> messages;
  std::shared_ptr<const nlohmann::ordered_json> chat_template_kwargs;  // may be null
  bool add_generation_prompt = true;
  bool continue_final_message = false;
  // Of `messages`, from which the markers were taken out, those with a `cache_control`; ascending.
  std::vector<int32_t> marked_messages;
  // kCompletion
  std::vector<CompletionPrompt> prompts;

  // For the answer cache
  std::shared_ptr<const nlohmann::json>
      canonical_fields;  // every field that decides the answer, after defaults
  std::shared_ptr<const nlohmann::json> cache_controls;  // the body's `cache`, may be null
  std::optional<double> temperature_given;               // as the client wrote it
  std::string last_user_text;                            // of a completion: its prompts' text
  bool has_tools = false;                                // offered, or used in the history
  bool has_images = false;                               // or anything else that is not text
  int64_t prompt_bytes = 0;

  // For an upstream: what it is sent
  std::shared_ptr<const std::string> forwarded_body;
  std::string forwarded_cache_control;
  std::string forwarded_via;
  bool ambiguous = false;  // readers may differ in what it says: repeated names, no JSON object

  std::vector<std::string> ignored_fields;  // names of fields nobody knows, for one log line
};

struct ParseLimits {
  int32_t vocab_size = 0;
  int32_t max_logprobs = 20;
  int32_t max_messages = 4096;
  std::string model_default;                // that of a request which names none
  engine::GenerationDefaults defaults;      // empty with --generation-config vllm
  std::optional<int32_t> max_tokens_bound;  // no answer is longer, whatever a request asks
};

// Errors are kInvalidArgument (or kUnimplemented for what exists elsewhere and not here yet) and
// name the field, what was expected and what came.
Result<ApiRequest> ParseChatRequest(std::string_view body, const ParseLimits& limits);
Result<ApiRequest> ParseCompletionRequest(std::string_view body, const ParseLimits& limits);

// A body of any endpoint as JSON: an object, valid UTF-8, nested at most 64 deep.
Result<std::shared_ptr<const nlohmann::ordered_json>> ParseBody(std::string_view body);

}  // namespace nextgate::gateway::openai
