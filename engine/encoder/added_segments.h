// A text between its added tokens.
//
// Threads: one thread. The finder and the text outlive it.
#pragma once

#include <cstddef>
#include <string_view>

#include "engine/tokenizer/added_tokens.h"

namespace nextgate::engine {

struct AddedSegment {
  std::string_view text;              // what stands before the token; may be empty
  size_t at = 0;                      // where that begins
  const AddedToken* token = nullptr;  // null: behind the last one
};

class AddedSegments {
 public:
  // REQUIRES: valid UTF-8.
  AddedSegments(const AddedTokenFinder& finder, std::string_view text)
      : finder_(finder), text_(text) {}

  // False: there is no further one.
  bool Next(AddedSegment* segment);

 private:
  const AddedTokenFinder& finder_;
  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace nextgate::engine
