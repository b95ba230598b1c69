// Replays the kept corpus of tests/fuzz/upstream_fuzz.cc, and mutations of it.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "tests/gateway/upstream/upstream_fuzz.h"

namespace nextgate::gateway {
namespace {

TEST(UpstreamFuzz, TheCorpusAndItsMutationsFindNothing) {
  std::vector<std::string> corpus;
  for (const auto& entry :
       std::filesystem::directory_iterator(NEXTGATE_SOURCE_DIR "/tests/fuzz/corpus/upstream")) {
    std::ifstream file(entry.path(), std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    FuzzUpstreamBytes(corpus.back());
  }
  ASSERT_GE(corpus.size(), 8u);
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 5000; ++round) {
    std::string input = corpus[random() % corpus.size()];
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
    FuzzUpstreamBytes(input);
  }
}

}  // namespace
}  // namespace nextgate::gateway
