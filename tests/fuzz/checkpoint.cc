#include "tests/fuzz/targets.h"
#include "tests/support/checkpoint_files.h"
#include "tests/support/checkpoint_fuzz.h"

namespace nextgate::testing {

void FuzzCheckpoint(std::string_view input) {
  static const TempDir scratch;
  const auto reader =
      static_cast<FuzzReader>(TakeChoice(input, static_cast<size_t>(FuzzReader::kCount)));
  ReadCheckpointFile(reader, input, scratch.path());
}

}  // namespace nextgate::testing
