#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/encoder/text_tokenizer.h"
#include "engine/tokenizer/tokenizer_fields.h"
#include "engine/tokenizer/tokenizer_sax.h"

namespace nextgate::engine {
namespace {

using json = nlohmann::json;

constexpr size_t kSpecialMax = 16;  // around a text

Status CheckId(const json& id, int32_t ids_end, const char* path) {
  if (id.is_number_unsigned() && id.get<uint64_t>() < static_cast<uint64_t>(ids_end)) return {};
  return DataLoss(
      fmt::format("{} has the id {}, expected one from 0 to {}", path, Dump(id), ids_end - 1));
}

// {"SpecialToken": …} and {"Sequence": {"id": "A"}} in their order.
Status ReadTemplate(const json& processor, TextTokenizerParts* parts) {
  const json& items = Field(processor, "single");
  if (!items.is_array() || items.size() > kSpecialMax)
    return DataLoss(fmt::format("post_processor.single is {}, expected a list of at most {} items",
                                Dump(items), kSpecialMax));
  int sequences = 0;
  for (const json& item : items) {
    const bool sequence = !Field(item, "Sequence").is_null();
    const json& content = Field(item, sequence ? "Sequence" : "SpecialToken");
    RETURN_IF_ERROR(ExpectOneOf(content, "post_processor.single[]", "type_id", {0}));
    if (sequence) {
      RETURN_IF_ERROR(ExpectOneOf(content, "post_processor.single[].Sequence", "id", {"A"}));
      ++sequences;
      continue;
    }
    const json& name = Field(content, "id");
    const json& ids =
        name.is_string()
            ? Field(Field(Field(processor, "special_tokens"), name.get<std::string>()), "ids")
            : name;
    if (!ids.is_array() || ids.size() > kSpecialMax)
      return DataLoss(
          fmt::format("post_processor.single has {}, which special_tokens does not", Dump(name)));
    for (const json& id : ids) {
      RETURN_IF_ERROR(CheckId(id, parts->ids_end, "a special token of post_processor"));
      (sequences == 0 ? parts->before : parts->behind).push_back(id.get<int32_t>());
    }
  }
  if (sequences == 1) return {};
  return DataLoss("post_processor.single does not hold the text exactly once");
}

Status ReadPostProcessor(const json& processor, TextTokenizerParts* parts) {
  if (processor.is_null()) return {};
  RETURN_IF_ERROR(ExpectOneOf(processor, "post_processor", "type",
                              {"TemplateProcessing", "BertProcessing", "RobertaProcessing"}));
  if (Field(processor, "type") == "TemplateProcessing") return ReadTemplate(processor, parts);
  for (const char* name : {"cls", "sep"}) {
    const json& token = Field(processor, name);
    if (!token.is_array() || token.size() != 2)
      return DataLoss(
          fmt::format("post_processor.{} is {}, expected a token and its id", name, Dump(token)));
    RETURN_IF_ERROR(CheckId(token[1], parts->ids_end, name));
  }
  parts->before = {processor["cls"][1].get<int32_t>()};
  parts->behind = {processor["sep"][1].get<int32_t>()};
  return {};
}

Result<TextTokenizerParts> Parse(const std::string& text) {
  TokenizerSax sax;
  if (!json::sax_parse(text, &sax)) return DataLoss(sax.error());
  const json& model = Field(sax.document, "model");
  if (!model.is_object()) return DataLoss("model is missing");
  RETURN_IF_ERROR(ExpectOneOf(model, "model", "type", {"WordPiece", "Unigram"}));
  const bool unigram = Field(model, "type") == "Unigram";
  TextTokenizerParts parts;
  ASSIGN_OR_RETURN(parts.added, ReadAddedTokens(Field(sax.document, "added_tokens")));
  ASSIGN_OR_RETURN(const Vocabulary all, BuildVocabulary(sax.vocab, parts.added));
  parts.ids_end = all.size();
  const auto normalized = std::ranges::stable_partition(
      parts.added, [](const AddedToken& token) { return !token.normalized; });
  if (!unigram && !normalized.empty())
    return Unsupported(
        fmt::format("added token \"{}\" is looked for in the normalised text, "
                    "supported is the text as it came",
                    normalized.front().content));
  std::vector<AddedToken> later(normalized.begin(), normalized.end());
  parts.added.erase(normalized.begin(), normalized.end());
  if (unigram) {
    ASSIGN_OR_RETURN(parts.model, ReadUnigram(&sax, std::move(later)));
  } else {
    ASSIGN_OR_RETURN(parts.model, ReadWordPiece(sax));
  }
  RETURN_IF_ERROR(ReadPostProcessor(Field(sax.document, "post_processor"), &parts));
  return parts;
}

}  // namespace

Result<TextTokenizerParts> ParseTextTokenizerJson(const std::string& text,
                                                  const std::string& origin) {
  auto parts = Parse(text);
  if (!parts) parts.error().message = origin + ": " + parts.error().message;
  return parts;
}

}  // namespace nextgate::engine
