#include "gateway/upstream/convert.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace nextgate::gateway {
namespace {

using Json = nlohmann::ordered_json;
using openai::Endpoint;

// What models write piece by piece; other strings (role, id, type) come whole.
bool IsWritten(const std::string& name) {
  static constexpr std::string_view kWritten[] = {"content",   "text",    "reasoning_content",
                                                  "reasoning", "refusal", "arguments"};
  return std::ranges::find(kWritten, name) != std::end(kWritten);
}

void Merge(Json& to, const Json& from);

// Elements with an index are merged with that of the same index (tool calls), others appended.
void MergeList(Json& to, const Json& from) {
  for (const Json& element : from) {
    const bool indexed = element.is_object() && element.contains("index");
    const auto same = std::find_if(to.begin(), to.end(), [&](const Json& old) {
      return indexed && old.is_object() && old.contains("index") &&
             old["index"] == element["index"];
    });
    if (same == to.end()) {
      to.push_back(element);
    } else {
      Merge(*same, element);
    }
  }
}

void MergeMember(Json& to, const std::string& name, const Json& value) {
  const auto old = to.find(name);
  if (old == to.end() || old->is_null()) {
    to[name] = value;
  } else if (value.is_null()) {
    // keeps what it has
  } else if (old->is_string() && value.is_string() && IsWritten(name)) {
    old->get_ref<std::string&>() += value.get_ref<const std::string&>();
  } else if (old->is_object() && value.is_object()) {
    Merge(*old, value);
  } else if (old->is_array() && value.is_array()) {
    MergeList(*old, value);
  } else {
    *old = value;
  }
}

void Merge(Json& to, const Json& from) {
  for (const auto& [name, value] : from.items()) MergeMember(to, name, value);
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// A choice of a body, of all that chunks said of it.
Json BodyChoice(Endpoint endpoint, const Json& merged) {
  Json choice = Json::object();
  for (const auto& [name, value] : merged.items()) {
    if (endpoint == Endpoint::kCompletion || name != "delta") {
      choice[name] = value;
      continue;
    }
    Json message = value.is_object() ? value : Json::object();
    if (message.contains("tool_calls") && message["tool_calls"].is_array())
      for (Json& call : message["tool_calls"])
        if (call.is_object()) call.erase("index");
    if (!message.contains("content")) message["content"] = nullptr;
    choice["message"] = std::move(message);
  }
  return choice;
}

bool IsChoice(const Json& json) {
  return json.is_object() && json.contains("index") && json["index"].is_number_integer();
}

Json Event(const Json& envelope, Json choice) {
  Json event = envelope;
  event["choices"] = Json::array({std::move(choice)});
  return event;
}

// What a stream says of one choice of a body.
void TellChoice(Endpoint endpoint, const Json& envelope, const Json& choice,
                std::vector<std::string>& chunks) {
  Json written = Json::object();  // all but the end
  Json end = Json::object();
  for (const auto& [name, value] : choice.items()) {
    const bool of_end = name == "finish_reason" || name == "stop_reason";
    if (name == "index" || of_end) end[name] = value;
    if (name != "message" && name != "stop_reason") written[name] = of_end ? Json() : value;
    if (name == "message" && value.is_object()) {
      Json begin = {{"index", choice["index"]}};
      begin["delta"]["role"] = value.value("role", Json("assistant"));
      begin["delta"]["content"] = value.value("content", Json()).is_null() ? Json() : Json("");
      for (const auto& [member, content] : value.items())
        if (content.is_null()) begin["delta"][member] = nullptr;
      begin["logprobs"] = nullptr;
      begin["finish_reason"] = nullptr;
      chunks.push_back(Dump(Event(envelope, std::move(begin))));
      Json delta = Json::object();
      for (const auto& [member, content] : value.items())
        if (member != "role" && !content.is_null()) delta[member] = content;
      if (delta.contains("tool_calls") && delta["tool_calls"].is_array())
        for (size_t i = 0; i < delta["tool_calls"].size(); ++i)
          if (delta["tool_calls"][i].is_object()) delta["tool_calls"][i]["index"] = i;
      written["delta"] = std::move(delta);
      end["delta"] = Json::object();
    }
    if (name == "text") end["text"] = "";
    if (name == "logprobs") end["logprobs"] = nullptr;
  }
  if (endpoint == Endpoint::kChat && !written.contains("delta")) return;
  chunks.push_back(Dump(Event(envelope, std::move(written))));
  chunks.push_back(Dump(Event(envelope, std::move(end))));
}

}  // namespace

std::string BodyOfChunks(Endpoint endpoint, std::span<const std::string> chunks) {
  if (chunks.empty()) return "";
  Json body = Json::object();
  Json merged = Json::array();  // choices
  Json usage;
  for (const std::string& text : chunks) {
    const Json chunk = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!chunk.is_object()) continue;
    for (const auto& [name, value] : chunk.items()) {
      if (name == "choices" && value.is_array()) {
        body.emplace("choices", Json::array());  // keeps its place
        for (const Json& choice : value)
          if (IsChoice(choice)) MergeList(merged, Json::array({choice}));
      } else if (name == "usage") {
        if (!value.is_null()) usage = value;
      } else if (name == "object") {
        body["object"] = endpoint == Endpoint::kChat ? "chat.completion" : "text_completion";
      } else if (name != "choices") {
        MergeMember(body, name, value);
      }
    }
  }
  std::vector<Json> ordered(merged.begin(), merged.end());
  std::ranges::stable_sort(ordered, {}, [](const Json& c) { return c["index"].get<int64_t>(); });
  body["choices"] = Json::array();
  for (const Json& choice : ordered) body["choices"].push_back(BodyChoice(endpoint, choice));
  if (!usage.is_null()) body["usage"] = usage;
  return Dump(body);
}

std::vector<std::string> ChunksOfBody(Endpoint endpoint, std::string_view body,
                                      bool include_usage) {
  std::vector<std::string> chunks;
  const Json whole = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!whole.is_object()) return chunks;
  Json envelope = Json::object();
  for (const auto& [name, value] : whole.items()) {
    if (name == "usage") continue;
    envelope[name] = name == "choices" ? Json::array() : value;
    if (name == "object" && endpoint == Endpoint::kChat) envelope[name] = "chat.completion.chunk";
  }
  const auto choices = whole.find("choices");
  if (choices != whole.end() && choices->is_array())
    for (const Json& choice : *choices)
      if (IsChoice(choice)) TellChoice(endpoint, envelope, choice, chunks);
  const auto usage = whole.find("usage");
  if (include_usage && usage != whole.end() && !usage->is_null()) {
    envelope["usage"] = *usage;
    chunks.push_back(Dump(envelope));
  }
  return chunks;
}

}  // namespace nextgate::gateway
