#include "engine/tokenizer/tokenizer_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

#include "engine/tokenizer/pre_tokenizer.h"
#include "engine/tokenizer/tokenizer_fields.h"
#include "engine/tokenizer/tokenizer_sax.h"
#include "engine/tokenizer/utf8.h"

namespace nextgate::engine {
namespace {

using json = nlohmann::json;

Status CheckModel(const json& model) {
  RETURN_IF_ERROR(ExpectOneOf(model, "model", "type", {"BPE", nullptr}));
  RETURN_IF_ERROR(ExpectOneOf(model, "model", "dropout", {nullptr, 0.0}));
  RETURN_IF_ERROR(ExpectOneOf(model, "model", "unk_token", {nullptr}));
  RETURN_IF_ERROR(ExpectOneOf(model, "model", "continuing_subword_prefix", {nullptr, ""}));
  RETURN_IF_ERROR(ExpectOneOf(model, "model", "end_of_word_suffix", {nullptr, ""}));
  for (const char* name : {"fuse_unk", "byte_fallback", "ignore_merges"})
    RETURN_IF_ERROR(ExpectOneOf(model, "model", name, {false, nullptr}));
  return {};
}

Status CheckPreTokenizer(const json& pre) {
  RETURN_IF_ERROR(ExpectOneOf(pre, "pre_tokenizer", "type", {"Sequence"}));
  const json& steps = Field(pre, "pretokenizers");
  if (!steps.is_array() || steps.size() != 2)
    return Unsupported(fmt::format(
        "pre_tokenizer.pretokenizers is {}, supported is [Split, ByteLevel]", Dump(steps)));
  const std::string_view split = "pre_tokenizer.pretokenizers[0]";
  RETURN_IF_ERROR(ExpectOneOf(steps[0], split, "type", {"Split"}));
  RETURN_IF_ERROR(ExpectOneOf(steps[0], split, "behavior", {"Isolated"}));
  RETURN_IF_ERROR(ExpectOneOf(steps[0], split, "invert", {false}));
  RETURN_IF_ERROR(
      ExpectOneOf(steps[0], split, "pattern", {{{"Regex", std::string(kQwenPattern)}}}));
  const std::string_view bytes = "pre_tokenizer.pretokenizers[1]";
  RETURN_IF_ERROR(ExpectOneOf(steps[1], bytes, "type", {"ByteLevel"}));
  RETURN_IF_ERROR(ExpectOneOf(steps[1], bytes, "add_prefix_space", {false}));
  return ExpectOneOf(steps[1], bytes, "use_regex", {false});
}

Status CheckPipeline(const json& document) {
  if (!Field(document, "normalizer").is_null())
    RETURN_IF_ERROR(ExpectOneOf(Field(document, "normalizer"), "normalizer", "type", {"NFC"}));
  RETURN_IF_ERROR(CheckPreTokenizer(Field(document, "pre_tokenizer")));
  if (!Field(document, "post_processor").is_null())  // ByteLevel's changes offsets only
    RETURN_IF_ERROR(
        ExpectOneOf(Field(document, "post_processor"), "post_processor", "type", {"ByteLevel"}));
  return ExpectOneOf(Field(document, "decoder"), "decoder", "type", {"ByteLevel"});
}

Result<BpeModel> BuildBpe(const Vocabulary& vocabulary, const MergeTexts& texts) {
  std::array<int32_t, 256> id_of_byte;
  id_of_byte.fill(-1);
  for (uint32_t scalar = 0x21; scalar < 0x144; ++scalar) {
    std::string spelling;
    AppendUtf8(scalar, &spelling);
    bool in_alphabet = false;
    const std::string bytes = BytesOfSpelling(spelling, &in_alphabet);
    const std::optional<int32_t> id = vocabulary.Find(spelling);
    if (in_alphabet && id) id_of_byte[static_cast<uint8_t>(bytes[0])] = *id;
  }
  for (size_t byte = 0; byte < 256; ++byte)
    if (id_of_byte[byte] < 0)
      return Unsupported(fmt::format("model.vocab has no token for byte 0x{:02X}", byte));

  std::vector<BpeModel::Merge> merges;
  std::vector<int32_t> results;
  merges.reserve(texts.num_parts() / 2);
  results.reserve(texts.num_parts() / 2);
  for (size_t i = 0; i + 1 < texts.num_parts(); i += 2) {
    const std::string whole = std::string(texts.Part(i)) += texts.Part(i + 1);
    const auto left = vocabulary.Find(texts.Part(i)), right = vocabulary.Find(texts.Part(i + 1));
    const auto result = vocabulary.Find(whole);
    if (!left || !right || !result)
      return DataLoss(fmt::format(
          "model.merges[{}] joins \"{}\" and \"{}\", but \"{}\" is not in model.vocab", i / 2,
          texts.Part(i), texts.Part(i + 1),
          !left ? texts.Part(i) : (!right ? texts.Part(i + 1) : std::string_view(whole))));
    merges.emplace_back(*left, *right);
    results.push_back(*result);
  }
  return BpeModel::Build(id_of_byte, merges, results);
}

Status CheckAdded(const std::vector<AddedToken>& added) {
  for (size_t i = 0; i < added.size(); ++i) {
    if (added[i].lstrip)
      return Unsupported(fmt::format("added_tokens[{}].lstrip is true, supported is false", i));
    if (added[i].special && added[i].normalized)
      return Unsupported(fmt::format(
          "added_tokens[{}].normalized is true, supported is false for a special token", i));
  }
  return {};
}

Result<TokenizerParts> Parse(const std::string& text) {
  TokenizerSax sax;
  if (!json::sax_parse(text, &sax)) return DataLoss(sax.error());
  if (!sax.document.is_object()) return DataLoss("not a JSON object");
  if (!Field(sax.document, "model").is_object()) return DataLoss("model is missing");
  RETURN_IF_ERROR(CheckModel(Field(sax.document, "model")));
  if (!sax.has_vocab) return DataLoss("model.vocab is missing");
  if (!sax.has_merges) return DataLoss("model.merges is missing");
  RETURN_IF_ERROR(CheckPipeline(sax.document));
  ASSIGN_OR_RETURN(auto added, ReadAddedTokens(Field(sax.document, "added_tokens")));
  RETURN_IF_ERROR(CheckAdded(added));
  ASSIGN_OR_RETURN(auto vocabulary, BuildVocabulary(std::move(sax.vocab), added));
  ASSIGN_OR_RETURN(auto bpe, BuildBpe(vocabulary, sax.merges));
  return TokenizerParts{.vocabulary = std::move(vocabulary),
                        .bpe = std::move(bpe),
                        .added = std::move(added),
                        .nfc = !Field(sax.document, "normalizer").is_null()};
}

}  // namespace

Result<TokenizerParts> ParseTokenizerJson(const std::string& text, const std::string& origin) {
  auto parts = Parse(text);
  if (!parts) parts.error().message = origin + ": " + parts.error().message;
  return parts;
}

}  // namespace nextgate::engine
