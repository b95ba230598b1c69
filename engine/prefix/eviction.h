// Which checkpoint goes when room is needed. One small interface, two policies: what a replay would
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
  // Its worth, the smallest goes first. `weight`: the bytes that come free with it, in any unit.
  virtual double Value(const PrefixTree::Checkpoint& checkpoint, double weight) const = 0;

  // What happens to them: a request was admitted, and this one was there and might have been resumed
  // from, or (also) was.
  virtual void Admitted() = 0;
  virtual void Passed(const PrefixTree::Checkpoint& checkpoint) = 0;
  virtual void Used(const PrefixTree::Checkpoint& checkpoint) = 0;
};

// Worth = how often it is used, per request · tokens that would be replayed without it / weight.
//
// How often is learned from what happened to those like it, and is asked of all alike: a request ago, or
// a hundred, when it was last used; whether it is the beginning that many share (kBorder, kMarked),
// where several part, where a conversation stands, or where it stood; whether it was used before. For
// each of these a number of uses over a number of requests that passed. So a conversation that has ended
// is known by nothing but its age, and at which age it has ended is for the traffic to say.
std::unique_ptr<EvictionPolicy> EvictByReplayCost();

std::unique_ptr<EvictionPolicy> EvictLeastRecentlyUsed();

}  // namespace nextgate::engine
