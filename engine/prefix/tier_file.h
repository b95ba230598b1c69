// One record as the bytes of a file: header, token ids, blocks, state (tier_store.h). Little endian.
//
//   offset  bytes
//        0      8  "ngprefix"
//        8      4  version, 2
//       12      4  kind of the checkpoint
//       16     16  key          32     16  above
//       48      4  from         52      4  to
//       56      8  bytes of the blocks
//       64      8  bytes of the state
//       72     32  SHA-256 of the scope
//      104     16  XXH3-128 of the token ids and, in hex, the XXH3-128 of the blocks
//      120     16  XXH3-128 of the state
//      136     16  XXH3-128 of bytes 0–135
//      152      8  0
//      160     4 · (to − from)  token ids
//        …                      blocks, then the state: whoever needs no state reads none
//
// Threads: pure.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "engine/prefix/tier_index.h"

namespace nextgate::engine {

inline constexpr size_t kTierHeaderBytes = 160;

// Hashing goes in pieces; whoever does it shows that it goes on.
using TierFileBeat = std::function<void()>;

// Header and token ids, over blocks and a state that are there already.
std::string TierFileHead(const TierRecord& record, std::string_view blocks, std::string_view state,
                         const TierFileBeat& beat);

struct TierFileInfo {
  TierRecord record;
  size_t blocks_offset = 0;
  size_t blocks_bytes = 0;
  size_t state_bytes = 0;
  Hash128 content;  // of token ids and blocks
  Hash128 state;

  size_t state_offset() const { return blocks_offset + blocks_bytes; }
};

// kDataLoss, says what is wrong. `head` holds at least the header and the token ids; `file_bytes` is the
// size of the file.
Result<TierFileInfo> ReadTierFileHead(std::string_view head, size_t file_bytes);

// kDataLoss: it is not what its head says. `file` is the file, or its beginning up to the state: then the
// state is left out.
Status CheckTierFile(std::string_view file, const TierFileInfo& info, const TierFileBeat& beat);

}  // namespace nextgate::engine
