// 20,000 mutations of the files of a checkpoint, the same ones every time: nothing crashes, reads
// beyond a file or overflows (the sanitizer build runs this too).
#include <gtest/gtest.h>

#include <array>
#include <random>

#include "tests/support/checkpoint_files.h"
#include "tests/support/checkpoint_fuzz.h"

namespace nextgate::testing {
namespace {

using nlohmann::json;

constexpr int kMutations = 4000;  // of each of five readers' files

// What parsers get wrong: borders of integers, quotes, brackets, lengths.
const std::array<std::string, 24> kMorsels = {"0",
                                              "-1",
                                              "1e308",
                                              "9223372036854775807",
                                              "9223372036854775808",
                                              "18446744073709551615",
                                              "[]",
                                              "{}",
                                              "null",
                                              "true",
                                              "\"\"",
                                              "[[[[[[[[",
                                              "}",
                                              "]",
                                              "\"",
                                              ",",
                                              ":",
                                              "\\u0000",
                                              "-0",
                                              ".5",
                                              "\xff",
                                              "1048576",
                                              "4294967296",
                                              "0.1"};

std::string Mutated(std::string text, std::mt19937& random, size_t span) {
  const int changes = 1 + static_cast<int>(random() % 4);
  for (int i = 0; i < changes && !text.empty(); ++i) {
    const size_t at = random() % std::min(text.size(), span);
    const std::string& morsel = kMorsels[random() % kMorsels.size()];
    switch (random() % 7) {
      case 0:
        text[at] = static_cast<char>(random());
        break;
      case 1:
        text[at] = static_cast<char>(text[at] ^ (1 << (random() % 8)));
        break;
      case 2:
        text.erase(at, 1 + random() % 16);
        break;
      case 3:
        text.insert(at, morsel);
        break;
      case 4: {  // a number or word replaced whole
        const size_t begin = text.find_first_of("0123456789", at);
        if (begin == std::string::npos) break;
        const size_t end = text.find_first_not_of("0123456789.", begin);
        text.replace(begin, end - begin, morsel);
        break;
      }
      case 5:
        text.insert(at, text.substr(random() % text.size(), random() % 40));
        break;
      default:
        text.resize(at);
    }
  }
  return text;
}

// A small safetensors file whose header is most of it.
std::string SmallFile() {
  TensorMap tensors;
  tensors["a"] = Zeros("BF16", {2, 3});
  tensors["b"] = Zeros("F32", {4});
  tensors["c.weight"] = Zeros("F8_E4M3", {2, 2});
  tensors["c.weight_scale_inv"] = Zeros("F32", {1, 1});
  tensors["d"] = Zeros("F16", {0, 5});
  return PartsOf(tensors).File();
}

class CheckpointFuzz : public ::testing::TestWithParam<FuzzReader> {
 protected:
  static std::string Seed(FuzzReader reader) {
    switch (reader) {
      case FuzzReader::kSafetensors:
        return SmallFile();
      case FuzzReader::kIndex:
        return R"({"metadata": {"total_size": 50}, "weight_map": {"a": "1.safetensors",)"
               R"( "b": "1.safetensors", "c.weight": "1.safetensors",)"
               R"( "c.weight_scale_inv": "1.safetensors", "d": "1.safetensors"}})";
      case FuzzReader::kConfig:
        return CheckpointFiles::Golden("fp8_blocks").config.dump();
      case FuzzReader::kOverrides:
        return R"({"num_hidden_layers": 3, "rope_parameters": {"rope_theta": 50, "rope_type":)"
               R"( "default"}, "layer_types": null, "eos_token_id": [1, 2], "head_dim": 16})";
      default:
        return R"({"eos_token_id": [1, 2], "temperature": 0.7, "top_k": 20, "top_p": 0.8,)"
               R"( "do_sample": true, "repetition_penalty": 1.05, "max_new_tokens": 100})";
    }
  }
};

TEST_P(CheckpointFuzz, NothingCrashesAndMostIsRefused) {
  const TempDir scratch;
  WriteText(scratch / "1.safetensors", SmallFile());
  const std::string seed = Seed(GetParam());
  ASSERT_TRUE(ReadCheckpointFile(GetParam(), seed, scratch.path())) << "the seed itself";
  std::mt19937 random(static_cast<uint32_t>(GetParam()) + 1);
  int accepted = 0;
  for (int i = 0; i < kMutations; ++i)
    accepted += ReadCheckpointFile(GetParam(), Mutated(seed, random, seed.size()), scratch.path());
  // Both ends show that the mutations reach past the JSON parser.
  EXPECT_GT(accepted, 0);
  EXPECT_LT(accepted, kMutations / 2);
  std::printf("%d of %d accepted\n", accepted, kMutations);
}

INSTANTIATE_TEST_SUITE_P(Readers, CheckpointFuzz,
                         ::testing::Values(FuzzReader::kSafetensors, FuzzReader::kIndex,
                                           FuzzReader::kConfig, FuzzReader::kOverrides,
                                           FuzzReader::kGenerationConfig));

}  // namespace
}  // namespace nextgate::testing
