#include "tests/support/checkpoint_fuzz.h"

#include <cstddef>

#include "base/check.h"
#include "engine/model/activations.h"
#include "engine/model/config.h"
#include "engine/model/generation_config.h"
#include "engine/model/json_file.h"
#include "engine/model/safetensors.h"
#include "tests/support/checkpoint_files.h"

namespace nextgate::testing {
namespace {

using namespace nextgate::engine;

constexpr const char* kSmallestConfig =
    R"({"hidden_size":8,"vocab_size":8,"num_hidden_layers":1,"num_attention_heads":2,
        "num_key_value_heads":1,"head_dim":8,"linear_num_key_heads":1,"linear_num_value_heads":1,
        "linear_key_head_dim":4,"linear_value_head_dim":4})";

// Every byte a tensor claims is readable, and there are as many as its shape says.
void TouchTensors(const SafetensorsFile& file) {
  unsigned sum = 0;
  for (const auto& [name, tensor] : file.tensors()) {
    for (const std::byte b : tensor.data) sum += std::to_integer<unsigned>(b);
    CHECK(tensor.data.empty() ||
          (tensor.data.data() >= file.bytes().data() &&
           tensor.data.data() + tensor.data.size() <= file.bytes().data() + file.bytes().size()));
  }
  volatile unsigned keep = sum;
  static_cast<void>(keep);
}

// Sizes derived from an accepted configuration do not overflow.
bool CheckConfig(const Result<ModelConfig>& config) {
  if (!config) return false;
  const auto layers = static_cast<size_t>(config->num_hidden_layers);
  CHECK(config->layer_types.size() == layers && config->sparse_layers.size() == layers);
  CHECK(config->rotary_dim % 2 == 0 && config->rotary_dim <= config->head_dim);
  CHECK(config->conv_channels() > 0);
  CHECK(Activations::Bytes(
            *config,
            {.tokens_max = 8192, .logit_rows_max = 1024, .positions_max = 262144, .threads = 64}) >
        0);
  return true;
}

}  // namespace

bool ReadCheckpointFile(FuzzReader reader, std::span<const char> input,
                        const std::string& scratch) {
  const std::string text(input.begin(), input.end());
  switch (reader) {
    case FuzzReader::kSafetensors: {
      WriteText(scratch + "/fuzzed.safetensors", text);
      const auto file = SafetensorsFile::Open(scratch + "/fuzzed.safetensors");
      if (file) TouchTensors(**file);
      return file.has_value();
    }
    case FuzzReader::kIndex: {
      WriteText(scratch + "/model.safetensors.index.json", text);
      const auto checkpoint = Checkpoint::Open(scratch);
      return checkpoint.has_value();
    }
    case FuzzReader::kConfig: {
      const auto object = ParseJson(text, "config.json");
      return object && CheckConfig(ParseModelConfig(*object));
    }
    case FuzzReader::kOverrides: {
      WriteText(scratch + "/config.json", kSmallestConfig);
      return CheckConfig(ReadModelConfig(scratch, text));
    }
    case FuzzReader::kGenerationConfig: {
      WriteText(scratch + "/generation_config.json", text);
      return ReadGenerationDefaults(scratch).has_value();
    }
    case FuzzReader::kCount:
      break;
  }
  return false;
}

}  // namespace nextgate::testing
