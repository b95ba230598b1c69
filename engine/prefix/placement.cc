#include "engine/prefix/placement.h"

#include <algorithm>

#include "engine/model/step.h"

namespace nextgate::engine {

const char* CheckpointKindName(CheckpointKind kind) {
  switch (kind) {
    case CheckpointKind::kSpaced:
      return "spaced";
    case CheckpointKind::kAnswer:
      return "answer";
    case CheckpointKind::kEnd:
      return "end";
    case CheckpointKind::kMissed:
      return "missed";
    case CheckpointKind::kBorder:
      return "border";
    case CheckpointKind::kMarked:
      return "marked";
  }
  return "?";
}

void PlaceCheckpoints(const PlacementInput& input, std::vector<PlacedCheckpoint>* placed) {
  placed->clear();
  const auto add = [&](int32_t tokens, CheckpointKind kind) {
    const int32_t position = tokens / kBlockTokens * kBlockTokens;
    if (position > input.resumed && position <= input.tokens) placed->push_back({position, kind});
  };
  for (const int32_t border : input.marked) add(border, CheckpointKind::kMarked);
  const size_t borders = input.borders.size();
  for (size_t i = 0; i < borders; ++i) {
    // One message alone is nobody else's beginning.
    const bool first = i == 0 && (borders > 1 || input.borders[0] < input.tokens - kBlockTokens);
    const bool last = i + 2 >= borders;
    add(input.borders[i], first  ? CheckpointKind::kBorder
                          : last ? CheckpointKind::kEnd
                                 : CheckpointKind::kSpaced);
  }
  add(input.matched, CheckpointKind::kMissed);
  add(input.tokens, CheckpointKind::kEnd);
  add(input.tokens - 1, CheckpointKind::kEnd);
  for (int32_t at = (input.resumed / kCheckpointSpacing + 1) * kCheckpointSpacing;
       at < input.tokens; at += kCheckpointSpacing)
    add(at, at % kLongSpacing == 0 ? CheckpointKind::kEnd : CheckpointKind::kSpaced);
  std::sort(placed->begin(), placed->end(), [](const auto& a, const auto& b) {
    return a.position != b.position ? a.position < b.position : a.kind > b.kind;
  });
  placed->erase(std::unique(placed->begin(), placed->end(),
                            [](const auto& a, const auto& b) { return a.position == b.position; }),
                placed->end());
}

}  // namespace nextgate::engine
