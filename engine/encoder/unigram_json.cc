#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/encoder/unigram.h"
#include "engine/tokenizer/tokenizer_fields.h"
#include "engine/tokenizer/tokenizer_sax.h"
#include "engine/tokenizer/utf8.h"

namespace nextgate::engine {
namespace {

using json = nlohmann::json;
using Step = UnigramNormalizer::Step;

constexpr size_t kStepsMax = 32;         // of a normalizer
constexpr size_t kPieceBytesMax = 1024;  // a word takes time for its length times this at most
constexpr double kScoreMax = 1e9;        // sums of these stay finite

Result<std::string> Text(const json& value, std::string_view path) {
  if (value.is_string()) return value.get<std::string>();
  return DataLoss(fmt::format("{} is {}, expected a string", path, Dump(value)));
}

Result<bool> Flag(const json& object, std::string_view path, const char* name) {
  const json& value = Field(object, name);
  if (value.is_boolean()) return value.get<bool>();
  return DataLoss(fmt::format("{}.{} is {}, expected true or false", path, name, Dump(value)));
}

Result<Step> ReadReplace(const json& object) {
  ASSIGN_OR_RETURN(std::string by, Text(Field(object, "content"), "normalizer.content"));
  const json& pattern = Field(object, "pattern");
  if (!Field(pattern, "Regex").is_null()) {
    RETURN_IF_ERROR(ExpectOneOf(pattern, "normalizer.pattern", "Regex", {" {2,}"}));
    return UnigramNormalizer::ReplaceSpaces{std::move(by)};
  }
  ASSIGN_OR_RETURN(std::string text, Text(Field(pattern, "String"), "normalizer.pattern.String"));
  if (text.empty()) return DataLoss("normalizer.pattern.String is empty");
  return UnigramNormalizer::ReplaceText{std::move(text), std::move(by)};
}

Result<Step> ReadStep(const json& object) {
  RETURN_IF_ERROR(ExpectOneOf(object, "normalizer", "type",
                              {"Precompiled", "Sequence", "Strip", "Replace", "NFC", "NFD"}));
  const std::string type = Field(object, "type").get<std::string>();
  if (type == "Precompiled") {
    ASSIGN_OR_RETURN(const std::string text, Text(Field(object, "precompiled_charsmap"),
                                                  "normalizer.precompiled_charsmap"));
    const auto bytes = DecodeBase64(text);
    if (!bytes) return DataLoss("normalizer.precompiled_charsmap is not base64");
    auto charsmap = Charsmap::Parse(*bytes);
    if (!charsmap) return DataLoss("normalizer.precompiled_charsmap: " + charsmap.error().message);
    return *std::move(charsmap);
  }
  if (type == "Replace") return ReadReplace(object);
  if (type == "NFC") return UnigramNormalizer::Form::kNfc;
  if (type == "NFD") return UnigramNormalizer::Form::kNfd;
  if (type == "Sequence")
    return Unsupported("normalizer.normalizers has a Sequence, supported are single steps");
  UnigramNormalizer::Strip strip;
  ASSIGN_OR_RETURN(strip.left, Flag(object, "normalizer", "strip_left"));
  ASSIGN_OR_RETURN(strip.right, Flag(object, "normalizer", "strip_right"));
  return strip;
}

Result<UnigramNormalizer> ReadNormalizer(const json& normalizer) {
  std::vector<Step> steps;
  if (normalizer.is_null()) return UnigramNormalizer();
  if (Field(normalizer, "type") != "Sequence") {
    ASSIGN_OR_RETURN(Step step, ReadStep(normalizer));
    steps.push_back(std::move(step));
    return UnigramNormalizer(std::move(steps));
  }
  const json& list = Field(normalizer, "normalizers");
  if (!list.is_array() || list.size() > kStepsMax)
    return DataLoss(fmt::format("normalizer.normalizers is {}, expected a list of at most {}",
                                Dump(list), kStepsMax));
  for (const json& item : list) {
    ASSIGN_OR_RETURN(Step step, ReadStep(item));
    steps.push_back(std::move(step));
  }
  return UnigramNormalizer(std::move(steps));
}

// In the form of `tokenizers` before 0.16 (add_prefix_space) and since (prepend_scheme).
Result<Metaspace> ReadMetaspace(const json& object, bool words) {
  RETURN_IF_ERROR(ExpectOneOf(object, "pre_tokenizer", "type", {"Metaspace"}));
  Metaspace out{.words = words};
  ASSIGN_OR_RETURN(out.replacement,
                   Text(Field(object, "replacement"), "pre_tokenizer.replacement"));
  size_t end = 0;
  if (!out.replacement.empty()) NextScalar(out.replacement, &end);
  if (out.replacement.empty() || end != out.replacement.size() || out.replacement == " ")
    return DataLoss(
        fmt::format("pre_tokenizer.replacement is \"{}\", expected one character that "
                    "is no space",
                    out.replacement));
  RETURN_IF_ERROR(ExpectOneOf(object, "pre_tokenizer", "prepend_scheme",
                              {"always", "first", "never", nullptr}));
  RETURN_IF_ERROR(ExpectOneOf(object, "pre_tokenizer", "add_prefix_space", {true, false, nullptr}));
  RETURN_IF_ERROR(ExpectOneOf(object, "pre_tokenizer", "split", {true, false, nullptr}));
  const json& scheme = Field(object, "prepend_scheme");
  out.prepend = scheme == "first"   ? Metaspace::Prepend::kFirst
                : scheme == "never" ? Metaspace::Prepend::kNever
                                    : Metaspace::Prepend::kAlways;
  if (Field(object, "add_prefix_space") == json(false) && out.prepend != Metaspace::Prepend::kNever)
    return DataLoss("pre_tokenizer.add_prefix_space is false, but prepend_scheme is not \"never\"");
  out.split = Field(object, "split") != json(false);
  return out;
}

Result<Metaspace> ReadPreTokenizer(const json& object) {
  RETURN_IF_ERROR(ExpectOneOf(object, "pre_tokenizer", "type", {"Sequence", "Metaspace"}));
  if (Field(object, "type") == "Metaspace") return ReadMetaspace(object, /*words=*/false);
  const json& list = Field(object, "pretokenizers");
  if (!list.is_array() || list.size() != 2)
    return Unsupported(
        fmt::format("pre_tokenizer.pretokenizers is {}, supported is "
                    "WhitespaceSplit and Metaspace",
                    Dump(list)));
  RETURN_IF_ERROR(
      ExpectOneOf(list[0], "pre_tokenizer.pretokenizers[0]", "type", {"WhitespaceSplit"}));
  return ReadMetaspace(list[1], /*words=*/true);
}

Status ReadModel(const json& model, UnigramParts* parts) {
  const json& unknown = Field(model, "unk_id");
  if (!unknown.is_number_unsigned() || unknown.get<uint64_t>() >= parts->scores.size())
    return DataLoss(fmt::format("model.unk_id is {}, expected one from 0 to {}", Dump(unknown),
                                static_cast<int64_t>(parts->scores.size()) - 1));
  parts->unknown_id = unknown.get<int32_t>();
  RETURN_IF_ERROR(ExpectOneOf(model, "model", "byte_fallback", {true, false, nullptr}));
  parts->byte_fallback = Field(model, "byte_fallback") == json(true);
  for (size_t i = 0; i < parts->scores.size(); ++i) {
    if (!(std::abs(parts->scores[i]) <= kScoreMax))
      return DataLoss(fmt::format("model.vocab[{}] has the score {}, expected at most {}", i,
                                  parts->scores[i], kScoreMax));
    const size_t bytes = parts->vocabulary.Spelling(static_cast<int32_t>(i)).size();
    if (bytes > kPieceBytesMax)
      return DataLoss(fmt::format("model.vocab[{}] has {} bytes, expected at most {}", i, bytes,
                                  kPieceBytesMax));
  }
  return {};
}

}  // namespace

Result<UnigramParts> ReadUnigram(TokenizerSax* sax, std::vector<AddedToken> added) {
  if (!sax->has_pieces) return DataLoss("model.vocab is missing");
  UnigramParts parts;
  parts.scores = std::move(sax->scores);
  ASSIGN_OR_RETURN(parts.vocabulary, Vocabulary::Build(sax->vocab));
  RETURN_IF_ERROR(ReadModel(Field(sax->document, "model"), &parts));
  ASSIGN_OR_RETURN(parts.normalizer, ReadNormalizer(Field(sax->document, "normalizer")));
  ASSIGN_OR_RETURN(parts.metaspace, ReadPreTokenizer(Field(sax->document, "pre_tokenizer")));
  if (parts.metaspace.prepend == Metaspace::Prepend::kFirst &&
      (parts.metaspace.words || parts.normalizer.moves_begin()))
    return Unsupported(
        "pre_tokenizer.prepend_scheme is \"first\", supported is that with Metaspace alone and a "
        "normalizer without Replace of a text or by nothing and Strip on the left");
  for (AddedToken& token : added) {
    token.content = parts.normalizer.Normalize(token.content, /*first=*/true, /*last=*/true);
    if (token.content.empty())
      return Unsupported(
          fmt::format("the added token with the id {} is empty once it is normalised", token.id));
  }
  parts.added = std::move(added);
  return parts;
}

}  // namespace nextgate::engine
