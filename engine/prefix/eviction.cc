#include "engine/prefix/eviction.h"

#include <algorithm>

namespace nextgate::engine {
namespace {

double ExpectedUses(const PrefixTree::Checkpoint& c) {
  if (c.kind >= CheckpointKind::kBorder) return 1.0 + c.hits;
  if (c.branches) return (1.0 + c.hits) / 2;
  return c.below == 0 ? 1 : kUsesOfPassed;
}

class ByReplayCost final : public EvictionPolicy {
 public:
  double Stamp() override { return age_; }
  double Value(const PrefixTree::Checkpoint& c) const override {
    return c.stamp + ExpectedUses(c) * c.replay_tokens;
  }
  void Evicted(double value) override { age_ = std::max(age_, value); }

 private:
  double age_ = 0;
};

class LeastRecentlyUsed final : public EvictionPolicy {
 public:
  double Stamp() override { return ++now_; }
  double Value(const PrefixTree::Checkpoint& c) const override { return c.stamp; }
  void Evicted(double) override {}

 private:
  double now_ = 0;
};

}  // namespace

std::unique_ptr<EvictionPolicy> EvictByReplayCost() { return std::make_unique<ByReplayCost>(); }
std::unique_ptr<EvictionPolicy> EvictLeastRecentlyUsed() {
  return std::make_unique<LeastRecentlyUsed>();
}

}  // namespace nextgate::engine
