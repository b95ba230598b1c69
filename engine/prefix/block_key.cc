#include "engine/prefix/block_key.h"

#include <array>
#include <cstring>
#include <string>

#include "base/check.h"

namespace nextgate::engine {

BlockKey ScopeKey(std::string_view scope) {
  // One byte before it: no scope looks like a block.
  return HashBytes("s" + std::string(scope));
}

BlockKey NextBlockKey(const BlockKey& before, std::span<const int32_t> tokens) {
  CHECK(tokens.size() == kBlockTokens);
  std::array<char, sizeof(BlockKey) + kBlockTokens * sizeof(int32_t)> bytes;
  std::memcpy(bytes.data(), &before, sizeof before);
  std::memcpy(bytes.data() + sizeof before, tokens.data(), tokens.size_bytes());
  return HashBytes({bytes.data(), bytes.size()});
}

void ExtendBlockKeys(std::span<const int32_t> tokens, std::vector<BlockKey>* keys) {
  CHECK(!keys->empty(), "keys begin with the scope's");
  for (size_t block = keys->size() - 1; (block + 1) * kBlockTokens <= tokens.size(); ++block)
    keys->push_back(NextBlockKey(keys->back(), tokens.subspan(block * kBlockTokens, kBlockTokens)));
}

}  // namespace nextgate::engine
