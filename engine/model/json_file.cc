#include "engine/model/json_file.h"

#include <fmt/format.h>

#include <set>
#include <vector>

#include "base/file.h"

namespace nextgate::engine {

Result<nlohmann::json> ParseJson(std::string_view text, const std::string& name,
                                 RepeatedKeys repeated) {
  using Event = nlohmann::json::parse_event_t;
  std::string problem;
  std::vector<std::set<std::string>> open;  // the keys seen of each open object
  const auto check = [&](int depth, Event event, nlohmann::json& value) {
    if (!problem.empty()) return false;
    if (depth > kJsonDepthMax) problem = fmt::format("nested deeper than {}", kJsonDepthMax);
    if (repeated == RepeatedKeys::kLastCounts) return problem.empty();
    if (event == Event::object_start) open.emplace_back();
    if (event == Event::object_end) open.pop_back();
    if (event == Event::key && !open.back().insert(value.get<std::string>()).second)
      problem = fmt::format("{} stands there twice", value.get<std::string>());
    return problem.empty();
  };
  // The parser itself is iterative; the callback refuses depth before anything recursive walks the
  // value.
  nlohmann::json value = nlohmann::json::parse(text, check, /*allow_exceptions=*/false);
  if (!problem.empty()) return DataLoss(fmt::format("{}: {}", name, problem));
  if (value.is_discarded()) return DataLoss(fmt::format("{}: not valid JSON", name));
  return value;
}

Result<nlohmann::json> ReadJsonFile(const std::string& path, int64_t bytes_max,
                                    RepeatedKeys repeated) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, bytes_max));
  return ParseJson(text, path, repeated);
}

}  // namespace nextgate::engine
