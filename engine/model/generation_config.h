// The sampling defaults and stop tokens of a checkpoint: generation_config.json, as vLLM's
// `--generation-config auto` uses it. Absent fields stay empty: the API's own defaults then hold.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"

namespace nextgate::engine {

struct GenerationDefaults {
  std::optional<double> temperature;  // `do_sample: false` says 0: greedy, as transformers reads it
  std::optional<double> top_p;
  std::optional<int32_t> top_k;
  std::optional<double> min_p;
  std::optional<double> repetition_penalty;
  std::optional<int32_t> max_new_tokens;  // for requests without a limit
  std::vector<int32_t> eos_token_ids;
};

// Reads `dir`/generation_config.json; no file: all empty. Errors name the field.
Result<GenerationDefaults> ReadGenerationDefaults(const std::string& dir);

// The same of a directory that somebody asked for by name: there must be a file (else kNotFound,
// which names the directory).
Result<GenerationDefaults> ReadNamedGenerationDefaults(const std::string& dir);

}  // namespace nextgate::engine
