// Bodies of generating requests, as the engine's endpoints read them and as an upstream is sent them.
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>

#include "base/check.h"
#include "cache/key.h"
#include "engine/tokenizer/tokenizer.h"
#include "gateway/openai/api_request.h"
#include "gateway/openai/error.h"
#include "gateway/upstream/request.h"
#include "tests/fuzz/targets.h"

namespace nextgate::testing {
namespace {

using gateway::openai::ApiRequest;
using gateway::openai::Endpoint;
using nlohmann::json;
using nlohmann::ordered_json;

const gateway::openai::ParseLimits kLimits = {
    .vocab_size = 8192, .model_default = "m", .max_tokens_bound = 1000};

bool Within(double value, double low, double high) { return value >= low && value <= high; }

// An error is one that a client understands.
void CheckError(const Error& error) {
  const int status = gateway::openai::HttpStatus(error.code);
  CHECK(status == 400, "status %d: %s", status, error.message.c_str());
  CHECK(!error.message.empty());
  CHECK(json::accept(gateway::openai::ErrorBody(error)));
}

void CheckSampling(const engine::SamplingParams& s) {
  CHECK(Within(s.temperature, 0, 2) && s.top_p > 0 && s.top_p <= 1 && s.top_k >= 0);
  CHECK(Within(s.min_p, 0, 1) && s.repetition_penalty > 0 && s.repetition_penalty <= 1e6);
  CHECK(Within(s.presence_penalty, -2, 2) && Within(s.frequency_penalty, -2, 2));
  for (const auto& [id, bias] : s.logit_bias)
    CHECK(id >= 0 && id < kLimits.vocab_size && Within(bias, -100, 100));
}

// Markers are known by their message, and nobody else gets to see them.
void CheckMarkers(const ApiRequest& r) {
  int32_t last = -1;
  for (const int32_t message : r.marked_messages) CHECK(message > std::exchange(last, message));
  CHECK(last < static_cast<int32_t>(r.messages->size()));
  for (const auto& message : *r.messages) {
    CHECK(!message.contains("cache_control"));
    const auto content = message.find("content");
    if (content == message.end() || !content->is_array()) continue;
    for (const auto& part : *content) CHECK(!part.contains("cache_control"));
  }
}

void CheckRanges(const ApiRequest& r) {
  CheckSampling(r.sampling);
  CHECK(!r.model.empty() && r.n >= 1 && r.n <= 128 && r.min_tokens >= 0 && r.prompt_bytes >= 0);
  CHECK(!r.max_tokens || (*r.max_tokens <= *kLimits.max_tokens_bound &&
                          *r.max_tokens >= r.min_tokens && *r.max_tokens >= 0));
  CHECK(r.stop.size() <= 16);
  for (const std::string& stop : r.stop) CHECK(!stop.empty());
  for (const int32_t id : r.stop_token_ids) CHECK(id >= 0 && id < kLimits.vocab_size);
  CHECK(r.num_logprobs >= -1 && r.num_logprobs <= kLimits.max_logprobs);
  CHECK(r.num_prompt_logprobs >= -1 && r.num_prompt_logprobs <= kLimits.max_logprobs);
  CHECK(!r.include_usage || r.stream);
  if (r.endpoint == Endpoint::kChat) {
    CHECK(r.messages != nullptr && r.messages->is_array() && !r.messages->empty());
    CHECK(r.prompts.empty() && !r.echo);
    CheckMarkers(r);
  } else {
    CHECK(!r.prompts.empty() && r.prompts.size() <= 1024);
    for (const auto& prompt : r.prompts)
      if (const auto* ids = std::get_if<std::vector<int32_t>>(&prompt))
        for (const int32_t id : *ids) CHECK(id >= 0 && id < kLimits.vocab_size);
  }
}

std::string CanonicalOf(const ApiRequest& r) {
  CHECK(r.canonical_fields != nullptr && r.canonical_fields->is_object());
  const auto canonical = cache::Canonicalise(*r.canonical_fields);
  // Whatever the engine was given is known to the cache, and not nested too deeply for it.
  CHECK(canonical, "%s", canonical.error().detail.c_str());
  return *canonical;
}

Result<ApiRequest> Parse(Endpoint endpoint, std::string_view body) {
  return endpoint == Endpoint::kChat ? gateway::openai::ParseChatRequest(body, kLimits)
                                     : gateway::openai::ParseCompletionRequest(body, kLimits);
}

void ForEngine(Endpoint endpoint, std::string_view body) {
  const auto request = Parse(endpoint, body);
  if (!request) return CheckError(request.error());
  CheckRanges(*request);
  // Space between the members and how strings are escaped change nothing.
  const std::string again = ordered_json::parse(body).dump(1, '\t', /*ensure_ascii=*/true);
  const auto same = Parse(endpoint, again);
  CHECK(same && CanonicalOf(*same) == CanonicalOf(*request));
  CHECK(same->stream == request->stream && same->prompt_bytes == request->prompt_bytes &&
        same->last_user_text == request->last_user_text &&
        same->marked_messages == request->marked_messages &&
        same->has_tools == request->has_tools && same->ignored_fields == request->ignored_fields);
}

// The text as those read it who keep the first of two members of one name.
json FirstOfEach(std::string_view text) {
  std::map<int, std::set<std::string>> names;  // by depth
  const auto keep = [&](int depth, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start) names[depth + 1].clear();
    return event != json::parse_event_t::key ||
           names[depth].insert(value.get<std::string>()).second;
  };
  return json::parse(text, keep);
}

// What the upstream is sent says what the client said, but for what this server answers for itself.
void CheckForwarded(const ApiRequest& r, std::string_view body, const std::string& model) {
  json expected = json::parse(body);
  const json sent = json::parse(*r.forwarded_body, nullptr, /*allow_exceptions=*/false);
  CHECK(sent.is_object() && !sent.contains("cache"));
  if (!model.empty()) CHECK(sent["model"] == model);
  if (r.stream) {
    const auto options = expected.find("stream_options");
    const bool readable = options == expected.end() || options->is_null() || options->is_object();
    CHECK(!readable || sent.at("stream_options").at("include_usage") == true);
  }
  if (r.ambiguous) return;
  CHECK(sent == FirstOfEach(*r.forwarded_body), "two readers read two requests");
  for (const char* edited : {"cache", "model", "stream_options"}) expected.erase(edited);
  json rest = sent;
  rest.erase("stream_options");
  rest.erase("model");
  CHECK(rest == expected);
  CHECK(!model.empty() || sent.contains("model") == json::parse(body).contains("model"));
}

void ForUpstream(Endpoint endpoint, std::string_view body, const std::string& model) {
  const auto request = gateway::ReadForUpstream(endpoint, body, model);
  if (!request) return CheckError(request.error());
  const ApiRequest& r = *request;
  CHECK(r.n >= 1 && r.n <= 1 << 20 && r.prompt_bytes >= 0 && (!r.max_tokens || *r.max_tokens >= 0));
  CHECK(r.forwarded_body != nullptr && r.canonical_fields->is_object());
  const auto canonical = cache::Canonicalise(*r.canonical_fields);
  if (!json::accept(body) || engine::FindInvalidUtf8(body)) {
    CHECK(*r.forwarded_body == body && r.ambiguous && !canonical);
    return;
  }
  CheckForwarded(r, body, model);
  if (!canonical) return;
  // Reading the body that is sent gives the same key, but for what was taken out of it.
  const auto sent = gateway::ReadForUpstream(endpoint, *r.forwarded_body, model);
  CHECK(sent && cache::Canonicalise(*sent->canonical_fields) == *canonical);
  CHECK(*sent->forwarded_body == *r.forwarded_body);
}

}  // namespace

void FuzzRequest(std::string_view input) {
  const size_t choice = TakeChoice(input, 6);
  const Endpoint endpoint = choice % 2 == 0 ? Endpoint::kChat : Endpoint::kCompletion;
  if (choice < 2) return ForEngine(endpoint, input);
  ForUpstream(endpoint, input, choice < 4 ? "" : "another \"model\"");
}

}  // namespace nextgate::testing
