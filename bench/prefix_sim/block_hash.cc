#include "bench/prefix_sim/block_hash.h"

#include <array>
#include <string_view>

namespace nextgate::prefix_sim {

std::vector<Hash128> BlockHashes(const Request& request, int64_t block_tokens) {
  std::vector<int32_t> tokens = request.prompt;
  tokens.insert(tokens.end(), request.answer.begin(), request.answer.end());
  const int64_t blocks = ComputedTokens(request) / block_tokens;
  std::vector<Hash128> hashes;
  hashes.reserve(blocks);
  Hash128 before;
  for (int64_t b = 0; b < blocks; ++b) {
    const auto* block = reinterpret_cast<const char*>(tokens.data() + b * block_tokens);
    const Hash128 own = HashBytes({block, block_tokens * sizeof(int32_t)});
    const std::array<uint64_t, 4> link = {before.high, before.low, own.high, own.low};
    before = HashBytes({reinterpret_cast<const char*>(link.data()), sizeof(link)});
    hashes.push_back(before);
  }
  return hashes;
}

}  // namespace nextgate::prefix_sim
