// Replays the kept corpora of the fuzz targets, and mutations of them.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/targets.h"

namespace nextgate::testing {
namespace {

constexpr int kMutations = 2000;

std::vector<std::string> CorpusOf(const FuzzTarget& target) {
  std::vector<std::string> corpus;
  for (const auto& entry : std::filesystem::directory_iterator(
           std::string(NEXTGATE_SOURCE_DIR "/tests/fuzz/corpus/") + target.name)) {
    std::ifstream file(entry.path(), std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return corpus;
}

std::string Mutated(std::string input, std::mt19937& random) {
  for (unsigned n = 1 + random() % 4; n > 0 && !input.empty(); --n) {
    const size_t at = random() % input.size();
    if (random() % 3 == 0) {
      input.erase(at, 1 + random() % 8);
    } else if (random() % 2 == 0) {
      input[at] = static_cast<char>(random());
    } else {
      input.insert(at, input.substr(random() % input.size(), random() % 16));
    }
  }
  return input;
}

class FuzzCorpus : public ::testing::TestWithParam<FuzzTarget> {};

TEST_P(FuzzCorpus, ItAndItsMutationsFindNothing) {
  const std::vector<std::string> corpus = CorpusOf(GetParam());
  ASSERT_GE(corpus.size(), 8u);
  for (const std::string& input : corpus) GetParam().run(input);
  // The same in every run, so that what a change breaks is told from what a new seed finds.
  const char* chosen = std::getenv("NEXTGATE_FUZZ_SEED");
  const auto seed =
      static_cast<unsigned>(chosen != nullptr ? std::strtoul(chosen, nullptr, 10) : 1);
  SCOPED_TRACE(seed);
  std::printf("seed %u\n", seed);  // an abort shows no trace
  std::mt19937 random(seed);
  for (int i = 0; i < kMutations; ++i)
    GetParam().run(Mutated(corpus[random() % corpus.size()], random));
}

INSTANTIATE_TEST_SUITE_P(Targets, FuzzCorpus, ::testing::ValuesIn(kFuzzTargets),
                         [](const auto& target) { return target.param.name; });

}  // namespace
}  // namespace nextgate::testing
