// Where a prompt's checkpoints go: the positions at which a state is worth its bytes. A pure function.
//
//   marked   the client said so (cache_control)
//   border   the first message ends there, rounded down to 64: system prompt and tools
//   missed   KV matched deeper than a checkpoint: the second sequence that goes this way
//   end      of the prompt: 64·⌊len / 64⌋, and 64·⌊(len − 1) / 64⌋ for the same prompt again, which needs
//            one token left to compute; of its last two messages; and every kLongSpacing tokens, where the
//            next turn goes on if the blocks behind were given up
//   spaced   in between: ends of other messages, and every kCheckpointSpacing tokens for beginnings that
//            nobody announced. They take only slots that nothing else wants, but for a few of prompts that
//            announced nothing at all
//   answer   the last border a generation passed
//
// All are multiples of 64 (so that a prefill in chunks of 64 has the state at hand) and lie behind
// where computing begins.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace nextgate::engine {

inline constexpr int32_t kCheckpointSpacing = 256;
inline constexpr int32_t kLongSpacing = 8192;  // a multiple of it

enum class CheckpointKind : uint8_t { kSpaced, kAnswer, kEnd, kMissed, kBorder, kMarked };

const char* CheckpointKindName(CheckpointKind kind);

struct PlacedCheckpoint {
  int32_t position = 0;  // tokens
  CheckpointKind kind = CheckpointKind::kSpaced;
  bool operator==(const PlacedCheckpoint&) const = default;
};

struct PlacementInput {
  int32_t tokens = 0;                // to be computed in all
  int32_t resumed = 0;               // of them are there: a multiple of 64
  int32_t matched = 0;               // of them whose KV is there, >= resumed: a multiple of 64
  std::span<const int32_t> borders;  // token offsets
  std::span<const int32_t> marked;
};

// Replaces *placed: ascending, at most one a position (the kind that comes last in the enum).
void PlaceCheckpoints(const PlacementInput& input, std::vector<PlacedCheckpoint>* placed);

}  // namespace nextgate::engine
