// What becomes of a stored answer to a question that only means the same.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace nextgate::cache {

enum class SemanticMode : uint8_t {
  kOff,
  kShadow,  // generated as ever; afterwards it is recorded what would have been served
  kServe,   // what threshold, gates and verifier let pass is the answer
};

constexpr std::string_view SemanticModeName(SemanticMode mode) {
  constexpr std::string_view kNames[] = {"off", "shadow", "serve"};
  return kNames[static_cast<int>(mode)];
}

constexpr std::optional<SemanticMode> FindSemanticMode(std::string_view name) {
  for (const auto mode : {SemanticMode::kOff, SemanticMode::kShadow, SemanticMode::kServe})
    if (SemanticModeName(mode) == name) return mode;
  return std::nullopt;
}

}  // namespace nextgate::cache
