// The name of a block of 64 tokens within everything before it: block i of a sequence has the hash of
// (the key of block i − 1, its 64 token ids), block 0 of (its scope, its token ids). Two sequences with
// the same key at block i begin, but for collisions, with the same 64·(i + 1) tokens in the same scope;
// whoever acts on it compares the tokens too.
//
// Keys are the same in every process of one machine type, so that names on disk are found again.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "engine/model/step.h"

namespace nextgate::engine {

using BlockKey = Hash128;

// What stands for "the block before block 0". `scope` is the cache_salt: arbitrary bytes.
BlockKey ScopeKey(std::string_view scope);

// REQUIRES: tokens.size() == kBlockTokens.
BlockKey NextBlockKey(const BlockKey& before, std::span<const int32_t> tokens);

// Extends `keys` (keys[0] is ScopeKey, keys[i + 1] block i's) to all full blocks of `tokens`.
void ExtendBlockKeys(std::span<const int32_t> tokens, std::vector<BlockKey>* keys);

}  // namespace nextgate::engine
