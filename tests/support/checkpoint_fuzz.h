// One input for everything that reads a checkpoint's files: the first byte picks the reader, the
// rest is what it reads. Nothing may crash, hang or allocate without bound; errors are fine. Shared
// by the deterministic mutation test and the libFuzzer target.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace nextgate::testing {

enum class FuzzReader : uint8_t {
  kSafetensors,
  kIndex,
  kConfig,
  kOverrides,
  kGenerationConfig,
  kCount
};

// `scratch` is a directory of its own for the files. True if the reader accepted the input.
bool ReadCheckpointFile(FuzzReader reader, std::span<const char> input, const std::string& scratch);

}  // namespace nextgate::testing
