#include "engine/prefix/eviction.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace nextgate::engine {
namespace {

// Ages, in requests: buckets of half a doubling.
constexpr int32_t kAgesPerDoubling = 2;
constexpr int32_t kAges = 20 * kAgesPerDoubling;

constexpr int32_t kRoles = 4;
constexpr int32_t kUsesApart = 2;  // never and ever

// Before anything is known: of age t, used once in t requests. What is seen has to outweigh this many uses.
constexpr double kPriorUses = 5;

// What is known counts half after so many requests: traffic changes.
constexpr uint64_t kHalfLife = 2048;

class ByReplayCost final : public EvictionPolicy {
 public:
  double Stamp() override { return static_cast<double>(requests_); }
  double Value(const PrefixTree::Checkpoint& c, double weight) const override {
    return UseRate(KindOf(c), AgeOf(c)) * c.replay_tokens / weight;
  }
  void Admitted() override {
    if (++requests_ % kHalfLife != 0) return;
    for (auto& ages : seen_)
      for (Seen& seen : ages) seen = {seen.uses / 2, seen.requests / 2};
  }
  void Passed(const PrefixTree::Checkpoint& c) override { ++seen_[KindOf(c)][AgeOf(c)].requests; }
  void Used(const PrefixTree::Checkpoint& c) override { ++seen_[KindOf(c)][AgeOf(c)].uses; }

 private:
  struct Seen {
    double uses = 0;
    double requests = 0;
  };

  static size_t KindOf(const PrefixTree::Checkpoint& c) {
    const int32_t role = c.kind >= CheckpointKind::kBorder ? 0
                         : c.branches                      ? 1
                         : c.below == 0                    ? 2
                                                           : 3;
    return static_cast<size_t>(role * kUsesApart) + std::min<uint32_t>(c.hits, kUsesApart - 1);
  }
  size_t AgeOf(const PrefixTree::Checkpoint& c) const {
    const double doublings = std::log2(std::max(static_cast<double>(requests_) - c.stamp, 1.0));
    return std::min<size_t>(static_cast<size_t>(doublings * kAgesPerDoubling), kAges - 1);
  }
  // Neighbouring ages are alike: together they say more.
  double UseRate(size_t kind, size_t age) const {
    double uses = kPriorUses;
    double requests = kPriorUses * std::exp2((static_cast<double>(age) + 0.5) / kAgesPerDoubling);
    for (size_t near = age == 0 ? 0 : age - 1; near <= std::min<size_t>(age + 1, kAges - 1);
         ++near) {
      uses += seen_[kind][near].uses;
      requests += seen_[kind][near].requests;
    }
    return uses / requests;
  }

  uint64_t requests_ = 0;
  std::array<std::array<Seen, kAges>, kRoles * kUsesApart> seen_;
};

class LeastRecentlyUsed final : public EvictionPolicy {
 public:
  double Stamp() override { return ++now_; }
  double Value(const PrefixTree::Checkpoint& c, double) const override { return c.stamp; }
  void Admitted() override {}
  void Passed(const PrefixTree::Checkpoint&) override {}
  void Used(const PrefixTree::Checkpoint&) override {}

 private:
  double now_ = 0;
};

}  // namespace

std::unique_ptr<EvictionPolicy> EvictByReplayCost() { return std::make_unique<ByReplayCost>(); }
std::unique_ptr<EvictionPolicy> EvictLeastRecentlyUsed() {
  return std::make_unique<LeastRecentlyUsed>();
}

}  // namespace nextgate::engine
