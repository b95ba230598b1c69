// A libFuzzer program over the target NEXTGATE_FUZZ_TARGET: cmake --preset fuzz, then
// build/fuzz/tests/fuzz_TARGET CORPUS_DIR (tests/fuzz/README.md).
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  nextgate::testing::NEXTGATE_FUZZ_TARGET({reinterpret_cast<const char*>(data), size});
  return 0;
}
