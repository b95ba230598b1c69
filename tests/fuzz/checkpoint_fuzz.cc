// libFuzzer target over everything that reads a checkpoint: cmake -DNEXTGATE_FUZZ=ON with clang 19,
// then build/<preset>/tests/fuzz_checkpoint CORPUS_DIR.
#include <cstddef>
#include <cstdint>

#include "tests/support/checkpoint_files.h"
#include "tests/support/checkpoint_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace nextgate::testing;
  static const TempDir scratch;
  if (size == 0) return 0;
  const auto reader = static_cast<FuzzReader>(data[0] % static_cast<uint8_t>(FuzzReader::kCount));
  ReadCheckpointFile(reader, {reinterpret_cast<const char*>(data) + 1, size - 1}, scratch.path());
  return 0;
}
