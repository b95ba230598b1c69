#include "engine/model/generation_config.h"

#include <fmt/format.h>

#include <filesystem>

#include "engine/model/json_file.h"

namespace nextgate::engine {
namespace {

using nlohmann::json;

std::unexpected<Error> Bad(const char* field, const char* expected) {
  return DataLoss(fmt::format("generation_config.json: {}: expected {}", field, expected));
}

Status ReadNumber(const json& object, const char* field, double low, double high,
                  std::optional<double>& out) {
  const auto at = object.find(field);
  if (at == object.end() || at->is_null()) return {};
  if (!at->is_number() || !(at->get<double>() >= low && at->get<double>() <= high))
    return Bad(field, fmt::format("a number from {} to {}", low, high).c_str());
  out = at->get<double>();
  return {};
}

Status ReadWhole(const json& object, const char* field, int32_t low, std::optional<int32_t>& out) {
  std::optional<double> number;
  RETURN_IF_ERROR(ReadNumber(object, field, low, 1 << 30, number));
  if (number && *number != static_cast<int32_t>(*number)) return Bad(field, "a whole number");
  if (number) out = static_cast<int32_t>(*number);
  return {};
}

Status ReadEos(const json& object, std::vector<int32_t>& out) {
  const auto at = object.find("eos_token_id");
  if (at == object.end() || at->is_null()) return {};
  for (const json& id : at->is_array() ? *at : json::array({*at})) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > (1u << 30))
      return Bad("eos_token_id", "a token id or a list of them");
    out.push_back(id.get<int32_t>());
  }
  return {};
}

}  // namespace

Result<GenerationDefaults> ReadGenerationDefaults(const std::string& dir) {
  const std::string path = dir + "/generation_config.json";
  GenerationDefaults defaults;
  std::error_code error;
  if (!std::filesystem::exists(path, error) && !error) return defaults;
  ASSIGN_OR_RETURN(const json object, ReadJsonFile(path, 1 << 20));
  if (!object.is_object()) return DataLoss(path + ": expected an object");
  RETURN_IF_ERROR(ReadNumber(object, "temperature", 0, 2, defaults.temperature));
  RETURN_IF_ERROR(ReadNumber(object, "top_p", 0, 1, defaults.top_p));
  RETURN_IF_ERROR(ReadNumber(object, "min_p", 0, 1, defaults.min_p));
  RETURN_IF_ERROR(ReadNumber(object, "repetition_penalty", 1e-6, 1e6, defaults.repetition_penalty));
  RETURN_IF_ERROR(ReadWhole(object, "top_k", -1, defaults.top_k));
  RETURN_IF_ERROR(ReadWhole(object, "max_new_tokens", 1, defaults.max_new_tokens));
  RETURN_IF_ERROR(ReadEos(object, defaults.eos_token_ids));
  const auto sample = object.find("do_sample");
  if (sample != object.end() && *sample == false) defaults.temperature = 0;
  return defaults;
}

Result<GenerationDefaults> ReadNamedGenerationDefaults(const std::string& dir) {
  std::error_code error;
  if (!std::filesystem::is_directory(dir, error))
    return NotFound(fmt::format("{}: no such directory", dir));
  if (!std::filesystem::exists(dir + "/generation_config.json", error))
    return NotFound(fmt::format("{}: no generation_config.json in this directory", dir));
  return ReadGenerationDefaults(dir);
}

}  // namespace nextgate::engine
