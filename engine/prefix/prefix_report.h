// What the prefix cache says of itself to people: what it would do for a prompt and why, and a picture of
// what it holds. It looks at the tree and changes nothing: no stamp, no hit, no counter. Positions and
// numbers only, never token ids, texts or scopes.
//
// Threads: the functions run on the engine thread; what they return is a copy.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/prefix/placement.h"

namespace nextgate::engine {

class PrefixTree;
struct PrefixSequence;

struct PrefixCheckpoint {
  int32_t tokens = 0;  // its position
  CheckpointKind kind = CheckpointKind::kSpaced;
  uint32_t hits = 0;  // times that it was resumed from
  bool operator==(const PrefixCheckpoint&) const = default;
};

// Of a prompt's tokens the first `resumed_tokens` would not be computed.
struct PrefixExplanation {
  int32_t prompt_tokens = 0;
  // More is never resumed: a token is left to compute, and what prompt_logprobs want.
  int32_t resume_max = 0;
  bool limited = false;                       // by the latter
  int32_t known_tokens = 0;                   // whose KV is there, also beyond resume_max
  int32_t matched_tokens = 0;                 // of them those up to resume_max
  int32_t resumed_tokens = 0;                 // up to the deepest checkpoint among them
  std::vector<PrefixCheckpoint> checkpoints;  // on the way to known_tokens, ascending
  std::vector<PlacedCheckpoint> leaves;       // that computing the rest would add, slots permitting
};

// A run of blocks one after the other, without a branch, up to the next checkpoint; all have the same
// users.
struct PrefixNode {
  // Index of the run it goes on from, always a smaller one; −1: it begins a prompt.
  int32_t parent = -1;
  int32_t begin = 0;  // tokens before it
  int32_t tokens = 0;
  int32_t users = 0;                           // sequences that read it now
  int32_t blocks_below = 0;                    // that hang on it, shown or not
  std::optional<PrefixCheckpoint> checkpoint;  // at its end
};

PrefixExplanation ExplainPrefix(const PrefixTree& tree, const PrefixSequence& sequence);

// The runs on which the most hangs, at most `nodes_max`; a parent comes before its children. Linear in the
// tree.
std::vector<PrefixNode> MapPrefixes(const PrefixTree& tree, int32_t nodes_max);

}  // namespace nextgate::engine
