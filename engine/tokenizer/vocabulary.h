// Token ids, their spellings and their bytes. Strings lie in two arenas, so 150,000 tokens take a
// few megabytes and no allocation each.
//
// Threads: immutable after Build; const methods may be called from any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace nextgate::engine {

class Vocabulary {
 public:
  static constexpr int64_t kIdsMax = int64_t{1} << 22;

  struct Entry {
    std::string spelling;
    int64_t id = 0;
  };

  // Errors name the token: an id below 0 or at or above kIdsMax, an id or a spelling that comes
  // twice.
  static Result<Vocabulary> Build(const std::vector<Entry>& entries);

  std::optional<int32_t> Find(std::string_view spelling) const;
  // Both are empty for ids that have no string; the views live as long as the vocabulary.
  std::string_view Spelling(int32_t id) const { return At(spellings_, spelling_ends_, id); }
  std::string_view Bytes(int32_t id) const { return At(bytes_, bytes_ends_, id); }
  int32_t size() const { return static_cast<int32_t>(spelling_ends_.size()); }  // highest id + 1

 private:
  static std::string_view At(const std::string& arena, const std::vector<uint32_t>& ends,
                             int32_t id);

  std::string spellings_, bytes_;
  std::vector<uint32_t> spelling_ends_, bytes_ends_;  // by id
  std::vector<int32_t> slots_;  // ids by hash of the spelling, open addressing; -1: empty
};

}  // namespace nextgate::engine
