#include "engine/encoder/encoder_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/model/field_reader.h"
#include "engine/model/json_file.h"

namespace nextgate::engine {
namespace {

using nlohmann::json;

constexpr int64_t kFileBytesMax = 1 << 20;
constexpr int64_t kWidthMax = 1 << 16;
constexpr int64_t kHeadsMax = 1 << 10;
constexpr int64_t kLayersMax = 1 << 10;
constexpr int64_t kVocabMax = 1 << 24;
constexpr int64_t kPositionsMax = 1 << 16;
constexpr int64_t kTokensMin = 8;  // of a text: special tokens and something between

std::unexpected<Error> NotSupported(const std::string& path, std::string_view field,
                                    const json& value, std::string_view supported) {
  return MakeError(ErrorCode::kUnimplemented, fmt::format("{}: {} is {}, supported is {}", path,
                                                          field, Shown(value), supported));
}

Result<json> ReadObject(const std::string& path) {
  ASSIGN_OR_RETURN(json object, ReadJsonFile(path, kFileBytesMax));
  if (!object.is_object()) return DataLoss(path + ": expected an object");
  return object;
}

// Nothing where there is no such file.
Result<std::optional<json>> ReadObjectIfThere(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return std::optional<json>();
  ASSIGN_OR_RETURN(json object, ReadObject(path));
  return std::optional(std::move(object));
}

// A string field that may be missing and has one supported value.
Status ExpectText(FieldReader& read, const std::string& path, const char* name,
                  const std::string& supported) {
  const json* value = read.Find(name);
  if (value == nullptr || *value == supported) return {};
  return NotSupported(path, name, *value, supported);
}

Result<BertConfig> ReadBertConfig(const std::string& path) {
  ASSIGN_OR_RETURN(const json object, ReadObject(path));
  FieldReader read(object, path);
  const std::string type = read.TextOr("model_type", "bert");
  if (type != "bert" && type != "xlm-roberta")
    return NotSupported(path, "model_type", type, "bert or xlm-roberta");
  RETURN_IF_ERROR(ExpectText(read, path, "hidden_act", "gelu"));
  RETURN_IF_ERROR(ExpectText(read, path, "position_embedding_type", "absolute"));
  BertConfig c;
  c.hidden_size = read.Int("hidden_size", 1, kWidthMax);
  c.num_hidden_layers = read.Int("num_hidden_layers", 1, kLayersMax);
  c.num_attention_heads = read.Int("num_attention_heads", 1, kHeadsMax);
  c.intermediate_size = read.Int("intermediate_size", 1, kWidthMax);
  c.vocab_size = read.Int("vocab_size", 1, kVocabMax);
  c.max_position_embeddings = read.Int("max_position_embeddings", kTokensMin, kPositionsMax);
  c.type_vocab_size = read.IntOr("type_vocab_size", 2, 1, kWidthMax);
  c.layer_norm_eps = static_cast<float>(read.NumberOr("layer_norm_eps", 1e-12, 0, 1));
  if (type == "xlm-roberta") {
    c.padding_id = static_cast<int32_t>(read.IntOr("pad_token_id", 1, 0, kPositionsMax));
    c.first_position = c.padding_id + 1;
    if (c.positions() < kTokensMin)
      read.Fail(fmt::format(
          "max_position_embeddings: expected at least {} behind pad_token_id {}, got {}",
          kTokensMin, c.padding_id, c.max_position_embeddings));
  }
  if (c.hidden_size % c.num_attention_heads != 0)
    read.Fail(fmt::format("hidden_size: expected a multiple of num_attention_heads {}, got {}",
                          c.num_attention_heads, c.hidden_size));
  if (!read.status()) return std::unexpected(read.status().error());
  return c;
}

struct Module {
  std::string kind;  // the last word of its type
  std::string dir;
};

// The modules in their order; a path is a plain folder name, or empty for `dir` itself.
Result<std::vector<Module>> ReadModules(const std::string& dir) {
  const std::string path = dir + "/modules.json";
  ASSIGN_OR_RETURN(const json list, ReadJsonFile(path, kFileBytesMax));
  if (!list.is_array()) return DataLoss(path + ": expected a list of modules");
  std::vector<Module> modules;
  for (const json& item : list) {
    if (!item.is_object()) return DataLoss(path + ": expected objects in its list");
    FieldReader read(item, path);
    const std::string type = read.TextOr("type", "");
    const std::string folder = read.TextOr("path", "");
    if (folder.starts_with('.') || folder.find('/') != std::string::npos)
      read.Fail(fmt::format("path: expected the name of a folder, got {}", Shown(folder)));
    if (!read.status()) return std::unexpected(read.status().error());
    modules.push_back({type.substr(type.rfind('.') + 1),
                       folder.empty() ? dir : fmt::format("{}/{}", dir, folder)});
  }
  const auto kind = [&](size_t i) { return i < modules.size() ? modules[i].kind : ""; };
  if (kind(0) == "Transformer" && kind(1) == "Pooling" &&
      (modules.size() == 2 || (modules.size() == 3 && kind(2) == "Normalize")))
    return modules;
  return NotSupported(path, "the list of modules", list, "Transformer, Pooling and Normalize");
}

// `mode` in the form of sentence-transformers before 6 (a flag for each) and since.
Result<Pooling> ReadPooling(const std::string& path, int64_t hidden_size) {
  ASSIGN_OR_RETURN(const json object, ReadObject(path));
  FieldReader read(object, path);
  std::string modes = read.TextOr("pooling_mode", "");
  const bool newer = !modes.empty();
  for (const auto& [name, value] : object.items()) {
    if (newer || !name.starts_with("pooling_mode_") || !read.BoolOr(name.c_str(), false)) continue;
    if (!modes.empty()) modes += " and ";
    modes += name == "pooling_mode_mean_tokens" ? "mean"
             : name == "pooling_mode_cls_token" ? "cls"
                                                : name;
  }
  for (const char* name : {"word_embedding_dimension", "embedding_dimension"})
    read.IntOr(name, hidden_size, hidden_size, hidden_size);
  const bool with_prompt = read.BoolOr("include_prompt", true);
  if (!read.status()) return std::unexpected(read.status().error());
  if (!with_prompt) return NotSupported(path, "include_prompt", false, "true");
  if (modes == "mean") return Pooling::kMean;
  if (modes == "cls") return Pooling::kCls;
  return NotSupported(path, "the pooling", modes, "mean or cls");
}

Result<std::string> ReadPrompt(const std::string& path) {
  ASSIGN_OR_RETURN(const std::optional<json> object, ReadObjectIfThere(path));
  if (!object) return std::string();
  FieldReader read(*object, path);
  const std::string name = read.TextOr("default_prompt_name", "");
  const json* prompts = read.Find("prompts");
  if (!read.status()) return std::unexpected(read.status().error());
  if (name.empty()) return std::string();
  if (prompts == nullptr || !prompts->is_object() || !prompts->contains(name) ||
      !(*prompts)[name].is_string())
    return DataLoss(
        fmt::format("{}: default_prompt_name is \"{}\", which prompts does not have", path, name));
  return (*prompts)[name].get<std::string>();
}

// sentence_bert_config.json's limit; without one the tokenizer's; never more than positions.
Result<int64_t> ReadTokensMax(const std::string& dir, int64_t positions) {
  const std::string path = dir + "/sentence_bert_config.json";
  ASSIGN_OR_RETURN(const std::optional<json> object, ReadObjectIfThere(path));
  if (object) {
    FieldReader read(*object, path);
    const bool lower_case = read.BoolOr("do_lower_case", false);
    const bool given = read.Find("max_seq_length") != nullptr;
    const int64_t tokens = read.IntOr("max_seq_length", positions, kTokensMin, INT32_MAX);
    if (!read.status()) return std::unexpected(read.status().error());
    if (lower_case) return NotSupported(path, "do_lower_case", true, "false");
    if (given) return std::min(tokens, positions);
  }
  ASSIGN_OR_RETURN(const std::optional<json> tokenizer,
                   ReadObjectIfThere(dir + "/tokenizer_config.json"));
  const json limit = tokenizer ? tokenizer->value("model_max_length", json()) : json();
  if (!limit.is_number() || !(limit.get<double>() >= kTokensMin)) return positions;
  return static_cast<int64_t>(std::min(limit.get<double>(), static_cast<double>(positions)));
}

}  // namespace

Result<EncoderConfig> ReadEncoderConfig(const std::string& dir) {
  ASSIGN_OR_RETURN(const std::vector<Module> modules, ReadModules(dir));
  EncoderConfig c{.transformer_dir = modules[0].dir, .normalise = modules.size() == 3};
  ASSIGN_OR_RETURN(c.bert, ReadBertConfig(c.transformer_dir + "/config.json"));
  ASSIGN_OR_RETURN(c.pooling, ReadPooling(modules[1].dir + "/config.json", c.bert.hidden_size));
  ASSIGN_OR_RETURN(c.prompt, ReadPrompt(dir + "/config_sentence_transformers.json"));
  ASSIGN_OR_RETURN(c.tokens_max, ReadTokensMax(c.transformer_dir, c.bert.positions()));
  return c;
}

}  // namespace nextgate::engine
