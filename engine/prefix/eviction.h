// Which checkpoint goes when a slot is needed. One small interface, two policies: what a replay would
// cost, and least recently used as the comparison. Those in between (kSpaced), which nobody has used
// yet, go before all others and are not asked about.
//
// Threads: the engine thread.
#pragma once

#include <memory>

#include "engine/prefix/prefix_tree.h"

namespace nextgate::engine {

class EvictionPolicy {
 public:
  virtual ~EvictionPolicy() = default;
  // What a checkpoint is stamped with when it is made and each time it is resumed from.
  virtual double Stamp() = 0;
  // Its worth: the smallest goes first.
  virtual double Value(const PrefixTree::Checkpoint& checkpoint) const = 0;
  // One of this worth went for another.
  virtual void Evicted(double value) = 0;
};

// Worth = age + expected uses · tokens that would be replayed without it; checkpoints are of equal size.
// The age is the worth of what was evicted last when the checkpoint was made or used, so what is not
// used again is overtaken in the end, however much it once saved. GreedyDual-Size-Frequency (Cherkasova,
// HPL-98-69R1) with the replay as the cost.
//
// Expected uses: of a beginning that was announced (kBorder, kMarked) one more than it had; where several
// sequences part, half of that, since an answer generated again parts too. Where a conversation stands,
// one: its next turn. Where it stood, kUsesOfPassed: its next turn begins further down, and only an
// answer that is generated again or a question that is edited comes back here.
inline constexpr double kUsesOfPassed = 1.0 / 8;

std::unique_ptr<EvictionPolicy> EvictByReplayCost();

std::unique_ptr<EvictionPolicy> EvictLeastRecentlyUsed();

}  // namespace nextgate::engine
