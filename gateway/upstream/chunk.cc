#include "gateway/upstream/chunk.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "gateway/json_limits.h"

namespace nextgate::gateway {
namespace {

using nlohmann::ordered_json;

constexpr size_t kDepthMax = 64;

template <typename Json>
Json Parse(std::string_view text) {
  if (LookOverJson(text, kDepthMax) != JsonFault::kNone) return Json(Json::value_t::discarded);
  Json parsed = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  return parsed.is_object() ? parsed : Json(Json::value_t::discarded);
}

// Where a choice says its text; null: nowhere.
template <typename Json>
Json* TextIn(Json& choice) {
  Json* holder = &choice;
  const char* name = "text";
  for (const char* part : {"delta", "message"})
    if (const auto found = choice.find(part); found != choice.end() && found->is_object()) {
      holder = &*found;
      name = "content";
      break;
    }
  const auto text = holder->find(name);
  return text != holder->end() && text->is_string() ? &*text : nullptr;
}

// The lists that have an element for each of the choice's tokens: vLLM's token_ids, and the logprobs of
// either endpoint.
template <typename Json>
std::vector<Json*> TokenLists(Json& choice) {
  std::vector<Json*> lists;
  const auto add = [&](Json& object, const char* name) {
    const auto found = object.find(name);
    if (found != object.end() && found->is_array()) lists.push_back(&*found);
  };
  add(choice, "token_ids");
  const auto logprobs = choice.find("logprobs");
  if (logprobs == choice.end() || !logprobs->is_object()) return lists;
  for (const char* name : {"content", "tokens", "token_logprobs", "top_logprobs", "text_offset"})
    add(*logprobs, name);
  return lists;
}

// The chunk's only choice; null if there are several or none.
template <typename Json>
Json* OnlyChoice(Json& chunk) {
  if (!chunk.is_object()) return nullptr;
  const auto choices = chunk.find("choices");
  if (choices == chunk.end() || !choices->is_array() || choices->size() != 1) return nullptr;
  return choices->front().is_object() ? &choices->front() : nullptr;
}

// Whether a choice's delta says nothing but its role and its text.
template <typename Json>
bool SaysOnlyText(const Json& choice) {
  const auto delta = choice.find("delta");
  if (delta == choice.end()) return true;
  return delta->is_object() && std::ranges::all_of(delta->items(), [](const auto& member) {
           return member.key() == "content" || member.key() == "role" || member.value().empty();
         });
}

}  // namespace

nlohmann::json ParseObject(std::string_view text) { return Parse<nlohmann::json>(text); }

std::string TextOf(const nlohmann::json& choice) {
  const nlohmann::json* text = choice.is_object() ? TextIn(choice) : nullptr;
  return text != nullptr ? text->get<std::string>() : "";
}

ChunkFacts FactsOf(std::string_view chunk) {
  const auto parsed = Parse<nlohmann::json>(chunk);
  ChunkFacts facts;
  if (!parsed.is_object()) return facts;
  const auto choices = parsed.find("choices");
  facts.is_chunk = choices != parsed.end() && choices->is_array();
  facts.has_choices = facts.is_chunk && !choices->empty();
  const auto* choice = OnlyChoice(parsed);
  facts.only_text = choice != nullptr && SaysOnlyText(*choice);
  if (choice == nullptr) return facts;
  for (const auto* list : TokenLists(*choice)) facts.tokens = std::max(facts.tokens, list->size());
  return facts;
}

std::optional<std::string> WithoutBeginning(std::string_view chunk, size_t text_bytes,
                                            size_t tokens) {
  auto parsed = Parse<ordered_json>(chunk);
  ordered_json* choice = OnlyChoice(parsed);
  if (choice == nullptr || !SaysOnlyText(*choice)) return std::nullopt;
  ordered_json* text = TextIn(*choice);
  if (text == nullptr && text_bytes > 0) return std::nullopt;
  if (text != nullptr) {
    const auto& whole = text->get_ref<const std::string&>();
    if (text_bytes > whole.size()) return std::nullopt;
    *text = whole.substr(text_bytes);
  }
  for (ordered_json* list : TokenLists(*choice))
    list->erase(list->begin(),
                list->begin() + static_cast<ptrdiff_t>(std::min(tokens, list->size())));
  return parsed.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace nextgate::gateway
