#include "engine/model/json_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace nextgate::engine {

Result<std::string> ReadFile(const std::string& path, int64_t bytes_max) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error) return NotFound(fmt::format("{}: {}", path, error.message()));
  if (size > static_cast<uintmax_t>(bytes_max))
    return DataLoss(fmt::format("{}: {} bytes, at most {} are read", path, size, bytes_max));
  std::string text(size, '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(text.data(), static_cast<std::streamsize>(size)))
    return DataLoss(fmt::format("{}: {}", path, std::strerror(errno)));
  return text;
}

Result<nlohmann::json> ParseJson(std::string_view text, const std::string& name) {
  bool too_deep = false;
  const auto limit = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    too_deep = too_deep || depth > kJsonDepthMax;
    return !too_deep;
  };
  // The parser itself is iterative; the callback refuses depth before anything recursive walks the
  // value.
  nlohmann::json value = nlohmann::json::parse(text, limit, /*allow_exceptions=*/false);
  if (too_deep) return DataLoss(fmt::format("{}: nested deeper than {}", name, kJsonDepthMax));
  if (value.is_discarded()) return DataLoss(fmt::format("{}: not valid JSON", name));
  return value;
}

Result<nlohmann::json> ReadJsonFile(const std::string& path, int64_t bytes_max) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, bytes_max));
  return ParseJson(text, path);
}

}  // namespace nextgate::engine
