// Finds added tokens in text: leftmost, then longest, without overlaps, as `tokenizers` does.
//
// Threads: immutable after construction.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nextgate::engine {

struct AddedToken {
  int32_t id = 0;
  std::string content;      // never empty
  bool special = false;     // recognised only where the caller allows it
  bool normalized = false;  // looked for in the normalised text instead of the raw one
  bool lstrip = false;      // white space before it goes with it
};

class AddedTokenFinder {
 public:
  explicit AddedTokenFinder(std::vector<AddedToken> tokens);

  struct Match {
    size_t at = 0;
    const AddedToken* token = nullptr;  // null: there is none
  };
  // The first match at or behind `from`.
  Match Find(std::string_view text, size_t from) const;

 private:
  std::vector<AddedToken> tokens_;     // by first byte, longest first
  std::array<uint32_t, 257> begin_{};  // tokens_ with first byte b: [begin_[b], begin_[b + 1])
  std::array<bool, 256> starts_token_{};
  int single_start_ = -1;  // the first byte of all tokens, if they share one
};

}  // namespace nextgate::engine
