// JSON files of a checkpoint: read whole, bounded in size and depth, errors that name the file.
//
// Threads: pure.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/status.h"

namespace nextgate::engine {

inline constexpr int kJsonDepthMax = 64;

// What an object that has the same key twice means: the last one counts, as Python's json has it,
// or it is an error, where two readers that choose differently would see different weights.
enum class RepeatedKeys { kLastCounts, kError };

// Parsed text; `name` is for the error.
Result<nlohmann::json> ParseJson(std::string_view text, const std::string& name,
                                 RepeatedKeys repeated = RepeatedKeys::kLastCounts);

// A regular file only (base/file.h).
Result<nlohmann::json> ReadJsonFile(const std::string& path, int64_t bytes_max = int64_t{64} << 20,
                                    RepeatedKeys repeated = RepeatedKeys::kLastCounts);

}  // namespace nextgate::engine
