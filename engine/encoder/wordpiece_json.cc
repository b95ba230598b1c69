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

Status ReadModel(const json& model, WordPieceParts* parts) {
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

}  // namespace

Result<WordPieceParts> ReadWordPiece(const TokenizerSax& sax) {
  if (!sax.has_vocab) return DataLoss("model.vocab is missing");
  const json& model = Field(sax.document, "model");
  WordPieceParts parts;
  RETURN_IF_ERROR(ReadModel(model, &parts));
  RETURN_IF_ERROR(ReadNormalizer(Field(sax.document, "normalizer"), &parts.normalizer));
  RETURN_IF_ERROR(ExpectOneOf(Field(sax.document, "pre_tokenizer"), "pre_tokenizer", "type",
                              {"BertPreTokenizer"}));
  ASSIGN_OR_RETURN(parts.vocabulary, Vocabulary::Build(sax.vocab));
  const json& unknown = Field(model, "unk_token");
  const auto id =
      unknown.is_string() ? parts.vocabulary.Find(unknown.get<std::string>()) : std::nullopt;
  if (!id)
    return DataLoss(
        fmt::format("model.unk_token is {}, which model.vocab does not have", Dump(unknown)));
  parts.unknown_id = *id;
  return parts;
}

}  // namespace nextgate::engine
