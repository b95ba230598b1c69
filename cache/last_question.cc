#include "cache/last_question.h"

#include <nlohmann/json.hpp>

#include "cache/key.h"

namespace nextgate::cache {
namespace {

using nlohmann::json;

bool Is(const json& request, const char* name, bool value) {
  const auto found = request.find(name);
  return found != request.end() && found->is_boolean() && found->get<bool>() == value;
}

// Answers that go on with the prompt, or show it.
bool PromptMatters(const json& request) {
  const auto logprobs = request.find("prompt_logprobs");  // -1: none
  if (logprobs != request.end() && !(logprobs->is_number() && logprobs->get<double>() < 0))
    return true;
  return Is(request, "continue_final_message", true) ||
         Is(request, "add_generation_prompt", false) || Is(request, "echo", true) ||
         Is(request, "return_token_ids", true);
}

// The last user message's text, in place; null: there is not one text.
json* TextOf(json& content) {
  if (content.is_string()) return &content;
  if (!content.is_array() || content.size() != 1 || !content[0].is_object()) return nullptr;
  const auto text = content[0].find("text");
  return text != content[0].end() && text->is_string() ? &*text : nullptr;
}

}  // namespace

std::string_view NoQuestionCode(NoQuestion why) {
  constexpr std::string_view kCodes[] = {"not_chat", "not_one_text", "prompt_matters"};
  return kCodes[static_cast<size_t>(why)];
}

std::expected<LastQuestion, NoQuestion> TakeLastQuestion(std::string_view material) {
  const std::string_view canonical = SplitMaterial(material).canonical;
  json request = json::parse(canonical, nullptr, /*allow_exceptions=*/false);
  if (!request.is_object() || !request.contains("messages") || !request["messages"].is_array())
    return std::unexpected(NoQuestion::kNotChat);
  if (PromptMatters(request)) return std::unexpected(NoQuestion::kPromptMatters);
  json* last = nullptr;
  for (json& message : request["messages"])
    if (message.is_object() && message.value("role", json()) == "user") last = &message;
  if (last == nullptr) return std::unexpected(NoQuestion::kNotChat);
  json* text = last->contains("content") ? TextOf((*last)["content"]) : nullptr;
  if (text == nullptr) return std::unexpected(NoQuestion::kNotOneText);
  LastQuestion question;
  question.text = std::move(text->get_ref<std::string&>());
  *text = "";
  question.rest = material.substr(0, material.size() - canonical.size());
  question.rest += request.dump();
  return question;
}

}  // namespace nextgate::cache
