#include "gateway/openai/response.h"

#include <nlohmann/json.hpp>

namespace nextgate::gateway::openai {
namespace {

using Json = nlohmann::ordered_json;

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}
std::string Event(const Json& json) { return "data: " + Dump(json) + "\n\n"; }

Json ParsedOrNull(const std::string& text) { return text.empty() ? Json() : Json::parse(text); }

Json UsageJson(const cache::AnswerUsage& usage) {
  Json json;
  json["prompt_tokens"] = usage.prompt_tokens;
  json["completion_tokens"] = usage.completion_tokens;
  json["total_tokens"] = usage.prompt_tokens + usage.completion_tokens;
  json["prompt_tokens_details"]["cached_tokens"] = usage.cached_tokens;
  return json;
}

int64_t Characters(std::string_view text) {
  int64_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  return count;
}

// The stored form (chat's) to that of completions: four parallel lists.
Json CompletionLogprobs(std::string_view stored, int64_t& text_offset) {
  Json json;
  json["text_offset"] = Json::array();
  json["token_logprobs"] = Json::array();
  json["tokens"] = Json::array();
  json["top_logprobs"] = Json::array();
  for (const Json& position : Json::parse("[" + std::string(stored) + "]")) {
    const auto& token = position["token"].get_ref<const std::string&>();
    json["text_offset"].push_back(text_offset);
    text_offset += Characters(token);
    json["token_logprobs"].push_back(position["logprob"]);
    json["tokens"].push_back(token);
    Json top;
    for (const Json& candidate : position["top_logprobs"])
      top[candidate["token"].get<std::string>()] = candidate["logprob"];
    if (!position["logprob"].is_null()) top[token] = position["logprob"];
    json["top_logprobs"].push_back(std::move(top));
  }
  return json;
}

Json LogprobsOf(const ApiRequest& request, std::string_view stored, int64_t& text_offset) {
  if (request.num_logprobs < 0) return nullptr;
  if (request.endpoint == Endpoint::kCompletion) return CompletionLogprobs(stored, text_offset);
  Json json;
  json["content"] = Json::parse("[" + std::string(stored) + "]");
  return json;
}

Json Envelope(const ApiRequest& request, const std::string& id, int64_t created_s, bool chunk) {
  Json json;
  json["id"] = id;
  json["object"] = request.endpoint == Endpoint::kCompletion
                       ? "text_completion"
                       : (chunk ? "chat.completion.chunk" : "chat.completion");
  json["created"] = created_s;
  json["model"] = request.model;
  json["choices"] = Json::array();
  return json;
}

void AddMembers(Json& to, std::string_view object) {
  if (object.empty()) return;
  const Json members = Json::parse(object);
  for (const auto& [name, value] : members.items()) to[name] = value;
}

// All deltas of one choice together.
struct Whole {
  std::string text;
  std::string logprobs;
  std::vector<int32_t> token_ids;
};

Whole Collect(const cache::Answer& answer, int32_t choice) {
  Whole whole;
  for (size_t i = 0; i < answer.num_deltas(); ++i) {
    const cache::AnswerDelta delta = answer.delta(i);
    if (delta.choice != choice) continue;
    whole.text += delta.text;
    if (!delta.logprobs.empty())
      whole.logprobs += (whole.logprobs.empty() ? "" : ",") + std::string(delta.logprobs);
    whole.token_ids.insert(whole.token_ids.end(), delta.token_ids.begin(), delta.token_ids.end());
  }
  return whole;
}

}  // namespace

ResponseWriter::ResponseWriter(const ApiRequest& request, std::string id, int64_t created_s,
                               int32_t num_choices)
    : request_(request),
      id_(std::move(id)),
      created_s_(created_s),
      text_offsets_(static_cast<size_t>(num_choices), 0) {}

std::string ResponseWriter::Begin() const {
  if (request_.endpoint == Endpoint::kCompletion) return "";
  std::string events;
  for (size_t i = 0; i < text_offsets_.size(); ++i) {
    Json chunk = Envelope(request_, id_, created_s_, true);
    Json choice;
    choice["index"] = i;
    choice["delta"]["role"] = "assistant";
    choice["delta"]["content"] = "";
    choice["logprobs"] = nullptr;
    choice["finish_reason"] = nullptr;
    chunk["choices"].push_back(std::move(choice));
    events += Event(chunk);
  }
  return events;
}

std::string ResponseWriter::Delta(const cache::AnswerDelta& delta) {
  Json chunk = Envelope(request_, id_, created_s_, true);
  Json choice;
  choice["index"] = delta.choice;
  if (request_.endpoint == Endpoint::kChat) {
    choice["delta"]["content"] = delta.text;
  } else {
    choice["text"] = delta.text;
  }
  choice["logprobs"] =
      LogprobsOf(request_, delta.logprobs, text_offsets_[static_cast<size_t>(delta.choice)]);
  choice["finish_reason"] = nullptr;
  if (request_.return_token_ids)
    choice["token_ids"] = std::vector<int32_t>(delta.token_ids.begin(), delta.token_ids.end());
  // Where vLLM has the prompt's token ids: beside a choice of completions, beside the choices of a chat.
  AddMembers(request_.endpoint == Endpoint::kChat ? chunk : choice, delta.extras);
  chunk["choices"].push_back(std::move(choice));
  return Event(chunk);
}

std::string ResponseWriter::Finish(int32_t index, const cache::AnswerChoice& answer) const {
  Json chunk = Envelope(request_, id_, created_s_, true);
  Json choice;
  choice["index"] = index;
  if (request_.endpoint == Endpoint::kChat) {
    choice["delta"] = Json::object();
  } else {
    choice["text"] = "";
  }
  choice["logprobs"] = nullptr;
  choice["finish_reason"] = answer.finish_reason;
  choice["stop_reason"] = ParsedOrNull(answer.stop_reason);
  chunk["choices"].push_back(std::move(choice));
  return Event(chunk);
}

std::string ResponseWriter::Usage(const cache::AnswerUsage& usage) const {
  Json chunk = Envelope(request_, id_, created_s_, true);
  chunk["usage"] = UsageJson(usage);
  return Event(chunk);
}

std::string ResponseWriter::Body(const cache::Answer& answer) {
  Json body = Envelope(request_, id_, created_s_, false);
  for (size_t i = 0; i < answer.choices().size(); ++i) {
    const Whole whole = Collect(answer, static_cast<int32_t>(i));
    Json choice;
    choice["index"] = i;
    if (request_.endpoint == Endpoint::kChat) {
      choice["message"]["role"] = "assistant";
      choice["message"]["content"] = whole.text;
    } else {
      choice["text"] = whole.text;
    }
    int64_t offset = 0;
    choice["logprobs"] = LogprobsOf(request_, whole.logprobs, offset);
    choice["finish_reason"] = answer.choices()[i].finish_reason;
    choice["stop_reason"] = ParsedOrNull(answer.choices()[i].stop_reason);
    if (request_.return_token_ids) choice["token_ids"] = whole.token_ids;
    AddMembers(choice, answer.choices()[i].extras);
    body["choices"].push_back(std::move(choice));
  }
  body["usage"] = UsageJson(answer.usage());
  AddMembers(body, answer.extras());
  return Dump(body);
}

}  // namespace nextgate::gateway::openai
