// One record as the bytes of a file: header, token ids, payload (tier_store.h). Little endian.
//
//   offset  bytes
//        0      8  "ngprefix"
//        8      4  version, 1
//       12      4  kind of the checkpoint
//       16     16  key          32     16  above
//       48      4  from         52      4  to
//       56      8  payload bytes
//       64     16  XXH3-128 of the token ids and, in hex, the XXH3-128 of the payload
//       80     16  XXH3-128 of bytes 0–79
//       96      4 · (to − from)  token ids
//        …                       payload
//
// Threads: pure.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "engine/prefix/tier_index.h"

namespace nextgate::engine {

inline constexpr size_t kTierHeaderBytes = 96;

// Header and token ids, over a payload that is there already.
std::string TierFileHead(const TierRecord& record, std::string_view payload);

struct TierFileInfo {
  TierRecord record;
  size_t payload_offset = 0;
  size_t payload_bytes = 0;
  Hash128 content;  // of token ids and payload
};

// kDataLoss, says what is wrong. `head` holds at least the header and the token ids; `file_bytes` is the
// size of the file.
Result<TierFileInfo> ReadTierFileHead(std::string_view head, size_t file_bytes);

// Whether the whole file is what its head says.
Status CheckTierFile(std::string_view file, const TierFileInfo& info);

}  // namespace nextgate::engine
