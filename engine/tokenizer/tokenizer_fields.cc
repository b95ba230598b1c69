#include "engine/tokenizer/tokenizer_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

namespace nextgate::engine {

using json = nlohmann::json;

std::unexpected<Error> Unsupported(std::string message) {
  return MakeError(ErrorCode::kUnimplemented, std::move(message));
}

std::string Dump(const json& value) {
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() > 200) text = text.substr(0, 200) + "…";
  return text;
}

const json& Field(const json& object, std::string_view name) {
  static const json null;
  if (!object.is_object()) return null;
  const auto at = object.find(name);
  return at == object.end() ? null : *at;
}

Status ExpectOneOf(const json& object, std::string_view path, std::string_view name,
                   const std::vector<json>& wanted) {
  const json& value = Field(object, name);
  if (std::ranges::find(wanted, value) != wanted.end()) return {};
  return Unsupported(fmt::format("{}.{} is {}, supported is {}", path, name, Dump(value),
                                 Dump(wanted.size() == 1 ? wanted[0] : json(wanted))));
}

Result<std::vector<AddedToken>> ReadAddedTokens(const json& list) {
  std::vector<AddedToken> tokens;
  if (list.is_null()) return tokens;
  if (!list.is_array()) return DataLoss("added_tokens is not a list");
  for (size_t i = 0; i < list.size(); ++i) {
    const json& id = Field(list[i], "id");
    const json& content = Field(list[i], "content");
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= Vocabulary::kIdsMax ||
        !content.is_string() || content.get_ref<const std::string&>().empty())
      return DataLoss(
          fmt::format("added_tokens[{}] is {}, expected an id from 0 to {} and a content", i,
                      Dump(list[i]), Vocabulary::kIdsMax - 1));
    const std::string path = fmt::format("added_tokens[{}]", i);
    for (const char* name : {"rstrip", "single_word"})
      RETURN_IF_ERROR(ExpectOneOf(list[i], path, name, {false, nullptr}));
    for (const char* name : {"special", "normalized", "lstrip"})
      if (!Field(list[i], name).is_boolean() && !(*name == 'l' && Field(list[i], name).is_null()))
        return DataLoss(fmt::format("{}.{} is {}, expected true or false", path, name,
                                    Dump(Field(list[i], name))));
    AddedToken token{.id = id.get<int32_t>(),
                     .content = content.get<std::string>(),
                     .special = Field(list[i], "special").get<bool>(),
                     .normalized = Field(list[i], "normalized").get<bool>(),
                     .lstrip = Field(list[i], "lstrip") == json(true)};
    tokens.push_back(std::move(token));
  }
  return tokens;
}

Result<Vocabulary> BuildVocabulary(std::vector<Vocabulary::Entry> entries,
                                   const std::vector<AddedToken>& added) {
  std::vector<const AddedToken*> unknown;
  {
    ASSIGN_OR_RETURN(Vocabulary model, Vocabulary::Build(entries));
    for (const AddedToken& token : added) {
      const std::optional<int32_t> id = model.Find(token.content);
      if (!id)
        unknown.push_back(&token);
      else if (*id != token.id)
        return DataLoss(fmt::format("added token \"{}\" has id {}, but {} in model.vocab",
                                    token.content, token.id, *id));
    }
    if (unknown.empty()) return model;
  }
  for (const AddedToken* token : unknown) entries.push_back({token->content, token->id});
  return Vocabulary::Build(entries);
}

}  // namespace nextgate::engine
