#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "engine/encoder/wordpiece.h"
#include "engine/tokenizer/tokenizer_fields.h"
#include "engine/tokenizer/tokenizer_sax.h"

namespace nextgate::engine {
namespace {

using json = nlohmann::json;

constexpr int64_t kWordCharsMax = 10'000;  // the time of an unknown word grows with its square
constexpr size_t kSpecialMax = 16;         // around a text

Status ReadModel(const json& model, WordPieceParts* parts) {
  RETURN_IF_ERROR(ExpectOneOf(model, "model", "type", {"WordPiece"}));
  const json& continuation = Field(model, "continuing_subword_prefix");
  if (!continuation.is_string())
    return DataLoss(fmt::format("model.continuing_subword_prefix is {}, expected a string",
                                Dump(continuation)));
  parts->continuation = continuation.get<std::string>();
  const json& chars = Field(model, "max_input_chars_per_word");
  if (!chars.is_number_unsigned() || chars.get<uint64_t>() > kWordCharsMax)
    return DataLoss(
        fmt::format("model.max_input_chars_per_word is {}, expected a whole number from 0 to {}",
                    Dump(chars), kWordCharsMax));
  parts->word_chars_max = chars.get<int64_t>();
  return {};
}

Status ReadNormalizer(const json& normalizer, BertNormalizer* out) {
  RETURN_IF_ERROR(ExpectOneOf(normalizer, "normalizer", "type", {"BertNormalizer"}));
  const auto read = [&](const char* name, bool* value) -> Status {
    if (!Field(normalizer, name).is_boolean())
      return DataLoss(fmt::format("normalizer.{} is {}, expected true or false", name,
                                  Dump(Field(normalizer, name))));
    *value = Field(normalizer, name).get<bool>();
    return {};
  };
  RETURN_IF_ERROR(read("clean_text", &out->clean_text));
  RETURN_IF_ERROR(read("handle_chinese_chars", &out->handle_chinese_chars));
  RETURN_IF_ERROR(read("lowercase", &out->lowercase));
  if (!Field(normalizer, "strip_accents").is_null())
    return read("strip_accents", &out->strip_accents);
  out->strip_accents = out->lowercase;  // as BERT's authors had it
  return {};
}

Status CheckId(const json& id, int32_t ids_end, const char* path) {
  if (id.is_number_unsigned() && id.get<uint64_t>() < static_cast<uint64_t>(ids_end)) return {};
  return DataLoss(
      fmt::format("{} has the id {}, expected one from 0 to {}", path, Dump(id), ids_end - 1));
}

// {"SpecialToken": …} and {"Sequence": {"id": "A"}} in their order.
Status ReadTemplate(const json& processor, WordPieceParts* parts) {
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

Status ReadPostProcessor(const json& processor, WordPieceParts* parts) {
  if (processor.is_null()) return {};
  RETURN_IF_ERROR(
      ExpectOneOf(processor, "post_processor", "type", {"TemplateProcessing", "BertProcessing"}));
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

Result<WordPieceParts> Parse(const std::string& text) {
  TokenizerSax sax;
  if (!json::sax_parse(text, &sax)) return DataLoss(sax.error());
  const json& model = Field(sax.document, "model");
  if (!model.is_object() || !sax.has_vocab) return DataLoss("model or model.vocab is missing");
  WordPieceParts parts;
  RETURN_IF_ERROR(ReadModel(model, &parts));
  RETURN_IF_ERROR(ReadNormalizer(Field(sax.document, "normalizer"), &parts.normalizer));
  RETURN_IF_ERROR(ExpectOneOf(Field(sax.document, "pre_tokenizer"), "pre_tokenizer", "type",
                              {"BertPreTokenizer"}));
  ASSIGN_OR_RETURN(parts.added, ReadAddedTokens(Field(sax.document, "added_tokens")));
  for (const AddedToken& token : parts.added)
    if (token.normalized)
      return Unsupported(
          fmt::format("added token \"{}\" is looked for in the normalised text, "
                      "supported is the text as it came",
                      token.content));
  // A word is never made of an added token, so pieces are looked for among the model's own.
  ASSIGN_OR_RETURN(parts.vocabulary, Vocabulary::Build(sax.vocab));
  ASSIGN_OR_RETURN(const Vocabulary all, BuildVocabulary(std::move(sax.vocab), parts.added));
  parts.ids_end = all.size();
  const json& unknown = Field(model, "unk_token");
  const auto id =
      unknown.is_string() ? parts.vocabulary.Find(unknown.get<std::string>()) : std::nullopt;
  if (!id)
    return DataLoss(
        fmt::format("model.unk_token is {}, which model.vocab does not have", Dump(unknown)));
  parts.unknown_id = *id;
  RETURN_IF_ERROR(ReadPostProcessor(Field(sax.document, "post_processor"), &parts));
  return parts;
}

}  // namespace

Result<WordPieceParts> ParseWordPieceJson(const std::string& text, const std::string& origin) {
  auto parts = Parse(text);
  if (!parts) parts.error().message = origin + ": " + parts.error().message;
  return parts;
}

}  // namespace nextgate::engine
