// libFuzzer target over what an upstream's bytes go through: cmake -DNEXTGATE_FUZZ=ON with clang 19,
// then build/<preset>/tests/fuzz_upstream CORPUS_DIR. The first byte picks the reader and where the rest
// is split; the corpus that is kept is replayed by test_gateway (tests/gateway/upstream/fuzz_corpus_test.cc).
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tests/gateway/upstream/upstream_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  nextgate::gateway::FuzzUpstreamBytes({reinterpret_cast<const char*>(data), size});
  return 0;
}
