#include "gateway/openai/api_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "engine/tokenizer/tokenizer.h"
#include "gateway/json_limits.h"
#include "gateway/openai/field_reader.h"
#include "gateway/openai/markers.h"

namespace nextgate::gateway::openai {
namespace {

constexpr size_t kDepthMax = 64;
constexpr size_t kStopStringsMax = 16;
constexpr int64_t kTokensMax = std::numeric_limits<int32_t>::max() / 2;
constexpr size_t kPromptsMax = 1024;
constexpr int32_t kCompletionDefaultTokens = 16;  // OpenAI's and vLLM's for /v1/completions

// Fields that would change an answer and are not built. `off` tells values that ask for nothing.
struct Unbuilt {
  const char* name;
  bool (*off)(const Json& value);
};
bool IsFalse(const Json& value) { return value == false; }
bool IsNone(const Json& value) { return value == "none" || value == "auto"; }
bool IsEmpty(const Json& value) {
  return value.empty() && !value.is_string() && !value.is_number();
}
bool IsTextFormat(const Json& value) {
  return value.is_object() && value.value("type", Json()) == "text";
}
bool IsOne(const Json& value) { return AsWhole(value) == 1; }
bool IsTextOnly(const Json& value) { return value == Json::array({"text"}); }
bool Never(const Json&) { return false; }
const Unbuilt kUnbuilt[] = {
    {"tools", IsEmpty},
    {"functions", IsEmpty},
    {"tool_choice", IsNone},
    {"function_call", IsNone},
    {"response_format", IsTextFormat},
    {"structured_outputs", Never},
    {"guided_json", Never},
    {"guided_regex", Never},
    {"guided_choice", Never},
    {"guided_grammar", Never},
    {"use_beam_search", IsFalse},
    {"best_of", IsOne},
    {"suffix", [](const Json& v) { return v == Json(""); }},
    {"audio", Never},
    {"modalities", IsTextOnly},
    {"prediction", Never},
    {"bad_words", IsEmpty},
    {"allowed_token_ids", IsEmpty},
    {"logits_processors", IsEmpty},
    {"prompt_embeds", Never},
    {"truncate_prompt_tokens", Never},
    {"chat_template", Never},
    {"documents", IsEmpty},
    {"length_penalty", [](const Json& v) { return v == 1.0; }},
    {"thinking_token_budget", Never},
    {"kv_transfer_params", Never},
    {"echo_chat", Never},
    {"web_search_options", Never},
    {"repetition_detection", Never},
    {"logprob_token_ids", IsEmpty},
    {"return_prompt_text", IsFalse},
    {"watermarking", IsFalse},
    {"vllm_xargs", IsEmpty},
    {"ec_transfer_params", IsEmpty},
};
// Known and without effect on the answer; their types are checked all the same.
constexpr std::pair<const char*, Json::value_t> kHarmless[] = {
    {"user", Json::value_t::string},
    {"metadata", Json::value_t::object},
    {"store", Json::value_t::boolean},
    {"service_tier", Json::value_t::string},
    {"request_id", Json::value_t::string},
    {"parallel_tool_calls", Json::value_t::boolean},
    {"reasoning_effort", Json::value_t::string},
    {"include_reasoning", Json::value_t::boolean},
    {"spaces_between_special_tokens", Json::value_t::boolean},
    {"add_special_tokens", Json::value_t::boolean},
    {"safety_identifier", Json::value_t::string},
    {"prompt_cache_key", Json::value_t::string},
    {"verbosity", Json::value_t::string},
    {"early_stopping", Json::value_t::boolean},
    {"detokenize", Json::value_t::boolean}};

void RefuseUnbuilt(FieldReader& read) {
  for (const Unbuilt& field : kUnbuilt) {
    const Json* value = read.Find(field.name);
    if (value != nullptr && !field.off(*value))
      read.Fail(fmt::format("{}: not supported yet", field.name), field.name,
                ErrorCode::kUnimplemented);
  }
  for (const auto& [name, type] : kHarmless) {
    const Json* value = read.Find(name);
    if (value != nullptr && value->type() != type)
      read.Fail(
          fmt::format("{}: expected {}, got {}", name, Json(type).type_name(), Described(*value)),
          name);
  }
}

void ReadSampling(FieldReader& read, const ParseLimits& limits, ApiRequest& r) {
  const engine::GenerationDefaults& d = limits.defaults;
  r.temperature_given = read.Number("temperature", 0, 2);
  r.sampling.temperature = r.temperature_given.value_or(d.temperature.value_or(1.0));
  r.sampling.top_p = read.Number("top_p", 0, 1, /*open_low=*/true).value_or(d.top_p.value_or(1.0));
  r.sampling.top_k = static_cast<int32_t>(std::max<int64_t>(
      0,
      read.Whole("top_k", -1, std::numeric_limits<int32_t>::max()).value_or(d.top_k.value_or(0))));
  r.sampling.min_p = read.Number("min_p", 0, 1).value_or(d.min_p.value_or(0.0));
  r.sampling.repetition_penalty = read.Number("repetition_penalty", 0, 1e6, /*open_low=*/true)
                                      .value_or(d.repetition_penalty.value_or(1.0));
  r.sampling.presence_penalty = read.Number("presence_penalty", -2, 2).value_or(0);
  r.sampling.frequency_penalty = read.Number("frequency_penalty", -2, 2).value_or(0);
  r.sampling.logit_bias = read.LogitBias("logit_bias", limits.vocab_size);
  if (const auto seed = read.Whole("seed", std::numeric_limits<int64_t>::min(),
                                   std::numeric_limits<int64_t>::max()))
    r.sampling.seed = static_cast<uint64_t>(*seed);
  r.n = static_cast<int32_t>(read.Whole("n", 1, 128).value_or(1));
}

void ReadStops(FieldReader& read, const ParseLimits& limits, ApiRequest& r) {
  r.stop = read.Texts("stop", kStopStringsMax);
  r.stop_token_ids = read.TokenIds("stop_token_ids", limits.vocab_size);
  r.include_stop_str_in_output = read.Bool("include_stop_str_in_output", false);
  r.ignore_eos = read.Bool("ignore_eos", false);
  r.skip_special_tokens = read.Bool("skip_special_tokens", true);
  r.min_tokens = static_cast<int32_t>(read.Whole("min_tokens", 0, kTokensMax).value_or(0));
}

void ReadDelivery(FieldReader& read, const ParseLimits& limits, ApiRequest& r) {
  r.model = read.Text("model").value_or("");
  if (r.model.empty()) r.model = limits.model_default;
  r.stream = read.Bool("stream", false);
  if (const Json* options = read.Find("stream_options")) {
    if (!r.stream || !options->is_object()) {
      read.Fail(r.stream
                    ? fmt::format("stream_options: expected an object, got {}", Described(*options))
                    : "stream_options: only allowed with stream: true",
                "stream_options");
    } else {
      FieldReader inner(*options);
      r.include_usage = inner.Bool("include_usage", false);
      if (inner.Bool("continuous_usage_stats", false))
        inner.Fail("continuous_usage_stats: not supported yet", "stream_options",
                   ErrorCode::kUnimplemented);
      if (!inner.status())
        read.Fail("stream_options." + inner.status().error().message, "stream_options");
    }
  }
  if (const auto count = read.Whole("prompt_logprobs", 0, limits.max_logprobs))
    r.num_prompt_logprobs = static_cast<int32_t>(*count);
  if (r.stream && r.num_prompt_logprobs >= 0)
    read.Fail("prompt_logprobs: not available in a stream", "prompt_logprobs");
  r.return_token_ids = read.Bool("return_token_ids", false);
  r.return_tokens_as_token_ids = read.Bool("return_tokens_as_token_ids", false);
  r.priority = static_cast<int32_t>(read.Whole("priority", std::numeric_limits<int32_t>::min(),
                                               std::numeric_limits<int32_t>::max())
                                        .value_or(0));
  const auto salt = read.Text("cache_salt");
  if (salt && salt->empty())
    read.Fail("cache_salt: expected a string that is not empty", "cache_salt");
  r.cache_salt = salt.value_or("");
  if (const Json* cache = read.Find("cache"))
    r.cache_controls = std::make_shared<const nlohmann::json>(*cache);
}

// What a server-wide bound leaves of the limits, as vLLM bounds them: without a word.
void BoundTokens(const ParseLimits& limits, ApiRequest& r) {
  for (std::optional<int32_t>* tokens : {&r.max_tokens, &r.max_tokens_default})
    if (limits.max_tokens_bound && *tokens) *tokens = std::min(**tokens, *limits.max_tokens_bound);
}

void CheckTogether(FieldReader& read, const ApiRequest& r) {
  if (r.max_tokens && r.min_tokens > *r.max_tokens)
    read.Fail(fmt::format("min_tokens: {} is more than max_tokens {}", r.min_tokens, *r.max_tokens),
              "min_tokens");
}

// What both endpoints share, into the form that the answer cache compares.
nlohmann::json SharedFields(const ApiRequest& r) {
  const std::optional<int32_t> tokens = r.max_tokens ? r.max_tokens : r.max_tokens_default;
  nlohmann::json biases = nlohmann::json::object();
  for (const auto& [id, bias] : r.sampling.logit_bias) biases[std::to_string(id)] = bias;
  return {{"model", r.model},
          {"n", r.n},
          {"temperature", r.sampling.temperature},
          {"top_p", r.sampling.top_p},
          {"top_k", r.sampling.top_k},
          {"min_p", r.sampling.min_p},
          {"repetition_penalty", r.sampling.repetition_penalty},
          {"presence_penalty", r.sampling.presence_penalty},
          {"frequency_penalty", r.sampling.frequency_penalty},
          {"logit_bias", biases},
          {"seed", r.sampling.seed ? nlohmann::json(*r.sampling.seed) : nlohmann::json()},
          {"max_tokens", tokens ? nlohmann::json(*tokens) : nlohmann::json()},
          {"min_tokens", r.min_tokens},
          {"ignore_eos", r.ignore_eos},
          {"stop", r.stop},
          {"stop_token_ids", r.stop_token_ids},
          {"include_stop_str_in_output", r.include_stop_str_in_output},
          {"skip_special_tokens", r.skip_special_tokens},
          {"logprobs", r.num_logprobs},
          {"prompt_logprobs", r.num_prompt_logprobs},
          {"return_token_ids", r.return_token_ids},
          {"return_tokens_as_token_ids", r.return_tokens_as_token_ids},
          {"cache_salt", r.cache_salt}};
}

// A marker of what is worth keeping, as Anthropic's API has it: where `object` is marked, says so. A
// `ttl` is taken and means nothing, nor do other members.
Status CheckMarker(const Json& object, const std::string& where, bool& marked) {
  const auto found = object.find("cache_control");
  if (found == object.end() || found->is_null()) return {};
  const std::string field = where + ".cache_control";
  if (!found->is_object())
    return InvalidArgument(
        fmt::format("{}: expected {{\"type\": \"ephemeral\"}}, got {}", field, Described(*found)),
        "messages");
  const auto type = found->find("type");
  if (type == found->end() || *type != "ephemeral")
    return InvalidArgument(
        fmt::format("{}.type: expected 'ephemeral', got {}", field,
                    type == found->end() ? "nothing"
                    : type->is_string()
                        ? fmt::format("'{}'", type->get_ref<const std::string&>().substr(0, 32))
                        : Described(*type)),
        "messages");
  const auto ttl = found->find("ttl");
  if (ttl != found->end() && !ttl->is_null() && !ttl->is_string())
    return InvalidArgument(fmt::format("{}.ttl: expected a string, got {}", field, Described(*ttl)),
                           "messages");
  marked = true;
  return {};
}

// The text of a message's content: a string, or text parts.
Status CheckContent(const Json& content, const std::string& where, std::string& text,
                    bool& marked) {
  if (content.is_string()) {
    text = content.get<std::string>();
    return {};
  }
  if (!content.is_array())
    return InvalidArgument(
        fmt::format("{}: expected a string or a list of parts, got {}", where, Described(content)),
        "messages");
  for (size_t i = 0; i < content.size(); ++i) {
    const Json& part = content[i];
    const std::string type = part.is_object() && part.contains("type") && part["type"].is_string()
                                 ? part["type"].get<std::string>()
                                 : "";
    if (type != "text" || !part.contains("text") || !part["text"].is_string())
      return InvalidArgument(
          fmt::format(
              "{}: only parts of type text with a string are supported, got {}", where,
              type.empty() || type == "text" ? Described(part) : "type " + type.substr(0, 40)),
          "messages");
    text += part["text"].get<std::string>();
    RETURN_IF_ERROR(CheckMarker(part, fmt::format("{}[{}]", where, i), marked));
  }
  return {};
}

Status CheckMessage(const Json& message, size_t index, ApiRequest& r) {
  const std::string where = fmt::format("messages[{}]", index);
  if (!message.is_object())
    return InvalidArgument(fmt::format("{}: expected an object, got {}", where, Described(message)),
                           "messages");
  const auto role = message.find("role");
  static constexpr std::string_view kRoles[] = {"system",    "developer", "user",
                                                "assistant", "tool",      "function"};
  if (role == message.end() || !role->is_string() ||
      std::ranges::find(kRoles, role->get_ref<const std::string&>()) == std::end(kRoles))
    return InvalidArgument(
        fmt::format("{}.role: expected one of {}, got {}", where, fmt::join(kRoles, ", "),
                    role == message.end() ? "nothing"
                    : role->is_string()
                        ? fmt::format("'{}'", role->get_ref<const std::string&>().substr(0, 32))
                        : Described(*role)),
        "messages");
  const auto content = message.find("content");
  const bool missing = content == message.end() || content->is_null();
  if (missing && (*role != "assistant" || !message.contains("tool_calls")))
    return InvalidArgument(fmt::format("{}.content: missing", where), "messages");
  std::string text;
  bool marked = false;
  if (!missing) RETURN_IF_ERROR(CheckContent(*content, where + ".content", text, marked));
  RETURN_IF_ERROR(CheckMarker(message, where, marked));
  if (marked) r.marked_messages.push_back(static_cast<int32_t>(index));
  r.prompt_bytes += static_cast<int64_t>(text.size());
  if (*role == "user") r.last_user_text = std::move(text);
  if (*role == "tool" || *role == "function" || message.contains("tool_calls") ||
      message.contains("function_call"))
    r.has_tools = true;
  return {};
}

Status ReadMessages(FieldReader& read, const ParseLimits& limits, ApiRequest& r) {
  const Json* messages = read.Find("messages");
  if (messages == nullptr || !messages->is_array() || messages->empty())
    return InvalidArgument(fmt::format("messages: expected a list of at least one message, got {}",
                                       messages == nullptr ? "nothing" : Described(*messages)),
                           "messages");
  if (messages->size() > static_cast<size_t>(limits.max_messages))
    return InvalidArgument(fmt::format("messages: at most {} are allowed, got {}",
                                       limits.max_messages, messages->size()),
                           "messages");
  for (size_t i = 0; i < messages->size(); ++i) RETURN_IF_ERROR(CheckMessage((*messages)[i], i, r));
  Json unmarked = *messages;
  EraseMarkers(unmarked);
  r.messages = std::make_shared<const Json>(std::move(unmarked));
  return {};
}

Result<CompletionPrompt> ReadPrompt(const Json& value, const ParseLimits& limits, ApiRequest& r) {
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    r.prompt_bytes += static_cast<int64_t>(text.size());
    r.last_user_text += (r.last_user_text.empty() ? "" : "\n") + text;
    return text;
  }
  if (!value.is_array() || value.empty())
    return InvalidArgument(
        fmt::format("prompt: expected text or a list of token ids, got {}", Described(value)),
        "prompt");
  std::vector<int32_t> ids;
  for (const Json& item : value) {
    const auto id = AsWhole(item);
    if (!id || *id < 0 || *id >= limits.vocab_size)
      return InvalidArgument(fmt::format("prompt: expected token ids from 0 to {}, got {}",
                                         limits.vocab_size - 1, Described(item)),
                             "prompt");
    ids.push_back(static_cast<int32_t>(*id));
  }
  r.prompt_bytes += static_cast<int64_t>(4 * ids.size());
  return ids;
}

Status ReadPrompts(FieldReader& read, const ParseLimits& limits, ApiRequest& r) {
  const Json* prompt = read.Find("prompt");
  if (prompt == nullptr) return InvalidArgument("prompt: missing", "prompt");
  const bool many = prompt->is_array() && !prompt->empty() && !prompt->front().is_number();
  if (many && prompt->size() > kPromptsMax)
    return InvalidArgument(
        fmt::format("prompt: at most {} prompts, got {}", kPromptsMax, prompt->size()), "prompt");
  for (const Json& one : many ? *prompt : Json::array({*prompt})) {
    ASSIGN_OR_RETURN(CompletionPrompt parsed, ReadPrompt(one, limits, r));
    r.prompts.push_back(std::move(parsed));
  }
  return {};
}

}  // namespace

Result<std::shared_ptr<const Json>> ParseBody(std::string_view body) {
  if (const auto offset = engine::FindInvalidUtf8(body))
    return InvalidArgument(fmt::format("the body is not valid UTF-8 at byte {}", *offset));
  switch (LookOverJson(body, kDepthMax)) {
    case JsonFault::kNone:
      break;
    case JsonFault::kNotJson:
      return InvalidArgument("the body is not valid JSON");
    case JsonFault::kTooDeep:
      return InvalidArgument(fmt::format("the body is nested deeper than {}", kDepthMax));
    case JsonFault::kTooWide:
      return InvalidArgument(
          fmt::format("an object of the body has more than {} members, or too many objects have "
                      "nearly as many",
                      kJsonMembersMax));
  }
  Json parsed = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object())
    return InvalidArgument(
        fmt::format("the body: expected a JSON object, got {}", Described(parsed)));
  return std::make_shared<const Json>(std::move(parsed));
}

Result<ApiRequest> ParseChatRequest(std::string_view body, const ParseLimits& limits) {
  ASSIGN_OR_RETURN(const auto object, ParseBody(body));
  FieldReader read(*object);
  ApiRequest r{.endpoint = Endpoint::kChat};
  ReadDelivery(read, limits, r);
  ReadSampling(read, limits, r);
  ReadStops(read, limits, r);
  RefuseUnbuilt(read);
  const auto max_tokens = read.Whole("max_tokens", 1, kTokensMax);
  const auto max_completion_tokens = read.Whole("max_completion_tokens", 1, kTokensMax);
  if (const auto limit = max_completion_tokens ? max_completion_tokens : max_tokens)
    r.max_tokens = static_cast<int32_t>(*limit);
  r.max_tokens_default = limits.defaults.max_new_tokens;
  BoundTokens(limits, r);
  const bool logprobs = read.Bool("logprobs", false);
  const auto top = read.Whole("top_logprobs", 0, limits.max_logprobs);
  if (top && *top > 0 && !logprobs) read.Fail("top_logprobs: needs logprobs: true", "top_logprobs");
  if (logprobs) r.num_logprobs = static_cast<int32_t>(top.value_or(0));
  r.add_generation_prompt = read.Bool("add_generation_prompt", true);
  r.continue_final_message = read.Bool("continue_final_message", false);
  if (read.Bool("echo", false))
    read.Fail("echo: not supported for chat yet; use /v1/completions", "echo",
              ErrorCode::kUnimplemented);
  if (const Json* kwargs = read.Find("chat_template_kwargs")) {
    if (!kwargs->is_object())
      read.Fail(fmt::format("chat_template_kwargs: expected an object, got {}", Described(*kwargs)),
                "chat_template_kwargs");
    r.chat_template_kwargs = std::make_shared<const Json>(*kwargs);
  }
  CheckTogether(read, r);
  RETURN_IF_ERROR(read.status());
  RETURN_IF_ERROR(ReadMessages(read, limits, r));
  nlohmann::json fields = SharedFields(r);
  fields["endpoint"] = "chat.completions";
  fields["messages"] = *r.messages;
  fields["add_generation_prompt"] = r.add_generation_prompt;
  fields["continue_final_message"] = r.continue_final_message;
  if (r.chat_template_kwargs) fields["chat_template_kwargs"] = *r.chat_template_kwargs;
  r.canonical_fields = std::make_shared<const nlohmann::json>(std::move(fields));
  r.ignored_fields = read.Unread();
  return r;
}

Result<ApiRequest> ParseCompletionRequest(std::string_view body, const ParseLimits& limits) {
  ASSIGN_OR_RETURN(const auto object, ParseBody(body));
  FieldReader read(*object);
  ApiRequest r{.endpoint = Endpoint::kCompletion};
  ReadDelivery(read, limits, r);
  ReadSampling(read, limits, r);
  ReadStops(read, limits, r);
  RefuseUnbuilt(read);
  if (const auto limit = read.Whole("max_tokens", 0, kTokensMax))
    r.max_tokens = static_cast<int32_t>(*limit);
  r.max_tokens_default = kCompletionDefaultTokens;
  BoundTokens(limits, r);
  if (const auto top = read.Whole("logprobs", 0, limits.max_logprobs))
    r.num_logprobs = static_cast<int32_t>(*top);
  r.echo = read.Bool("echo", false);
  if (r.max_tokens == 0 && !r.echo && r.num_prompt_logprobs < 0)
    read.Fail("max_tokens: 0 is allowed with echo or prompt_logprobs only", "max_tokens");
  CheckTogether(read, r);
  RETURN_IF_ERROR(read.status());
  RETURN_IF_ERROR(ReadPrompts(read, limits, r));
  nlohmann::json fields = SharedFields(r);
  fields["endpoint"] = "completions";
  fields["prompt"] = *read.Find("prompt");
  fields["echo"] = r.echo;
  r.canonical_fields = std::make_shared<const nlohmann::json>(std::move(fields));
  r.ignored_fields = read.Unread();
  return r;
}

}  // namespace nextgate::gateway::openai
