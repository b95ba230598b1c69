#include "gateway/upstream/request.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "gateway/json_limits.h"
#include "gateway/openai/field_reader.h"
#include "gateway/openai/markers.h"
#include "gateway/upstream/json_members.h"

namespace nextgate::gateway {
namespace {

using openai::ApiRequest;
using openai::Endpoint;
using openai::Json;

// A field's value, null if it is not given.
const Json& Field(const Json& object, const char* name) {
  static const Json kNull;
  const auto found = object.find(name);
  return found == object.end() ? kNull : *found;
}

// A name that no list knows, so that the request is not cached.
constexpr const char* kNotUnderstood = "(not understood)";

std::optional<int32_t> Limit(const Json& value) {
  const auto whole = openai::AsWhole(value);
  if (!whole || *whole < 0 || *whole > std::numeric_limits<int32_t>::max()) return std::nullopt;
  return static_cast<int32_t>(*whole);
}

bool IsGiven(const Json& value) { return !value.is_null() && !(value.is_array() && value.empty()); }

void ReadContent(const Json& content, ApiRequest& r, std::string& text) {
  if (content.is_string()) text = content.get<std::string>();
  if (!content.is_array()) return;
  for (const Json& part : content) {
    if (part.is_object() && Field(part, "type") == "text" && Field(part, "text").is_string()) {
      text += part["text"].get_ref<const std::string&>();
    } else {
      r.has_images = true;
    }
  }
}

void ReadMessages(const Json& messages, ApiRequest& r) {
  if (!messages.is_array()) return;
  for (const Json& message : messages) {
    if (!message.is_object()) continue;
    std::string text;
    ReadContent(Field(message, "content"), r, text);
    if (Field(message, "role") == "tool" || IsGiven(Field(message, "tool_calls")))
      r.has_tools = true;
    r.prompt_bytes += static_cast<int64_t>(text.size());
    if (Field(message, "role") == "user") r.last_user_text = std::move(text);
  }
}

// Text, token ids, or a list of either: how many prompts, how many bytes, and the text.
void ReadPrompt(const Json& prompt, ApiRequest& r, int32_t& num_prompts) {
  const auto read = [&](const Json& one) {
    if (one.is_string()) {
      const auto& text = one.get_ref<const std::string&>();
      r.prompt_bytes += static_cast<int64_t>(text.size());
      r.last_user_text += (r.last_user_text.empty() ? "" : "\n") + text;
    } else {
      r.prompt_bytes += 4 * static_cast<int64_t>(std::max<size_t>(1, one.size()));
    }
  };
  if (prompt.is_string()) read(prompt);
  if (!prompt.is_array()) return;
  if (!prompt.empty() && !prompt.front().is_number())
    num_prompts = static_cast<int32_t>(prompt.size());
  for (const Json& one : prompt) read(one);
}

void ReadFacts(const Json& object, ApiRequest& r) {
  r.stream = Field(object, "stream") == true;
  const Json& options = Field(object, "stream_options");
  r.include_usage = r.stream && options.is_object() && Field(options, "include_usage") == true;
  const Json& temperature = Field(object, "temperature");
  if (temperature.is_number()) r.temperature_given = temperature.get<double>();
  if (IsGiven(Field(object, "seed"))) r.sampling.seed = 0;  // that it has one is all that counts
  r.has_tools =
      r.has_tools || IsGiven(Field(object, "tools")) || IsGiven(Field(object, "functions"));
  r.n = std::clamp(Limit(Field(object, "n")).value_or(1), 1, 4096);
  r.max_tokens = Limit(Field(object, "max_completion_tokens"));
  if (!r.max_tokens) r.max_tokens = Limit(Field(object, "max_tokens"));
  int32_t num_prompts = 1;
  if (r.endpoint == Endpoint::kChat) {
    ReadMessages(Field(object, "messages"), r);
  } else {
    ReadPrompt(Field(object, "prompt"), r, num_prompts);
  }
  r.n = static_cast<int32_t>(std::min<int64_t>(int64_t{r.n} * num_prompts, 1 << 20));
  if (IsGiven(Field(object, "cache")))
    r.cache_controls = std::make_shared<const nlohmann::json>(object["cache"]);
}

// Every field that the upstream gets, as it gets it, but for markers; no defaults, which are the upstream's own.
nlohmann::json CanonicalFields(const Json& object, const ApiRequest& r, const std::string& model) {
  nlohmann::json fields = object;
  fields.erase("cache");
  if (const auto messages = fields.find("messages");
      r.endpoint == Endpoint::kChat && messages != fields.end())
    openai::EraseMarkers(*messages);
  if (!model.empty()) fields["model"] = model;
  fields["endpoint"] = r.endpoint == Endpoint::kChat ? "chat.completions" : "completions";
  const Json& options = Field(object, "stream_options");
  const bool usage_only = options.is_null() || (options.is_object() && options.size() == 1 &&
                                                Field(options, "include_usage").is_boolean());
  // What else stream_options may say changes chunks, and a `stream` that is no boolean is an error.
  const Json& stream = Field(object, "stream");
  const Json& temperature = Field(object, "temperature");
  if (!usage_only || !(stream.is_null() || stream.is_boolean()) ||
      !(temperature.is_null() || temperature.is_number()) || object.contains("endpoint"))
    fields[kNotUnderstood] = true;
  return fields;
}

// Some readers take names in any case.
bool HasModelInOtherCase(const Json& object) {
  return std::ranges::any_of(object.items(), [](const auto& member) {
    const std::string& name = member.key();
    return name != "model" &&
           std::ranges::equal(name, std::string_view("model"),
                              [](char a, char b) { return a == b || a == b - 32; });
  });
}

size_t MembersWithin(const Json& value) {
  size_t members = value.is_object() ? value.size() : 0;
  if (value.is_structured())
    for (const Json& part : value) members += MembersWithin(part);
  return members;
}

// A name twice in one object, at any depth: some readers take the first value, some the last.
bool RepeatsNames(std::string_view body, const Json& object) {
  size_t names = 0;
  LookOverJson(body, std::numeric_limits<size_t>::max(), &names);
  return names != MembersWithin(object);
}

std::string ForwardedBody(std::string_view body, const Json& object, const ApiRequest& r,
                          const std::string& model) {
  std::vector<MemberEdit> edits;
  if (!model.empty()) edits.push_back({.name = "model", .value = nlohmann::json(model).dump()});
  if (object.contains("cache")) edits.push_back({.name = "cache"});
  const Json& options = Field(object, "stream_options");
  if (r.stream && !r.include_usage && (options.is_null() || options.is_object())) {
    Json asked = options.is_object() ? options : Json::object();
    asked.erase("continuous_usage_stats");  // without include_usage it asked for nothing
    asked["include_usage"] = true;
    edits.push_back({.name = "stream_options", .value = asked.dump()});
  }
  return edits.empty() ? std::string(body) : WithMembers(body, edits);
}

}  // namespace

Result<ApiRequest> ReadForUpstream(Endpoint endpoint, std::string_view body,
                                   const std::string& model) {
  ApiRequest r{.endpoint = endpoint, .model = model};
  const auto object = openai::ParseBody(body);
  if (!object) {
    if (Json::accept(body)) return std::unexpected(object.error());
    r.canonical_fields =
        std::make_shared<const nlohmann::json>(nlohmann::json{{kNotUnderstood, true}});
    r.forwarded_body = std::make_shared<const std::string>(body);
    r.ambiguous = true;
    return r;
  }
  if (model.empty() && Field(**object, "model").is_string())
    r.model = (*object)->at("model").get<std::string>();
  ReadFacts(**object, r);
  nlohmann::json fields = CanonicalFields(**object, r, model);
  const bool repeats = RepeatsNames(body, **object);
  r.ambiguous = repeats || HasModelInOtherCase(**object);
  if (repeats) fields[kNotUnderstood] = true;
  r.canonical_fields = std::make_shared<const nlohmann::json>(std::move(fields));
  r.forwarded_body = std::make_shared<const std::string>(ForwardedBody(body, **object, r, model));
  return r;
}

}  // namespace nextgate::gateway
