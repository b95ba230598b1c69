// What the prefix cache gives up first, and what it never gives up for less.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "engine/prefix/prefix_cache.h"
#include "tests/support/fake_model.h"

namespace nextgate::engine {
namespace {

using enum CheckpointKind;
using Positions = std::multiset<int32_t>;

// `count` tokens that begin with nobody else's.
std::vector<int32_t> Tokens(int32_t name, int32_t count) {
  std::vector<int32_t> tokens(static_cast<size_t>(count), 1);
  tokens[0] = 100 + name;
  return tokens;
}

// A prefix cache that prompts go through one after the other.
class PrefixPolicy : public testing::Test {
 protected:
  void Open(int32_t blocks, int32_t slots) {
    kv_ = *KvPool::Open(FakeModel().config(), blocks);
    pool_ = *CheckpointPool::Open(
        CheckpointLayoutOf(FakeModel().config(), kernels::StateFormat::kFp32), slots);
    cache_ = std::make_unique<PrefixCache>(true, kv_.get(), pool_.get(), EvictByReplayCost());
  }
  // Returns the tokens that were resumed.
  int32_t Run(const std::vector<int32_t>& tokens, const std::vector<int32_t>& borders = {}) {
    const auto count = static_cast<int32_t>(tokens.size());
    const PrefixSequence sequence = {.tokens = tokens,
                                     .resume_max = (count - 1) / kBlockTokens * kBlockTokens,
                                     .borders = borders};
    PrefixHold hold;
    std::vector<int32_t> table;
    cache_->Lookup(sequence, &hold);
    cache_->Resume(sequence, &hold, &table, /*counted=*/true);
    const int32_t resumed = hold.match.resume_tokens;
    cache_->TakeBlocks(static_cast<int32_t>(BlocksFor(count)) - resumed / kBlockTokens, &table);
    std::vector<kernels::StateEmit> emits;
    cache_->PlanEmits(sequence, &hold, 0, resumed, count, &emits);
    cache_->Commit(sequence, &hold, count, &table);
    cache_->Close(count, /*maybe_cut=*/false, &hold, &table);
    cache_->check_integrity(0, 0);
    return resumed;
  }
  Positions Kept(CheckpointKind kind) const {
    Positions positions;
    for (const NodeId node : cache_->tree().checkpoints()) {
      const PrefixTree::Checkpoint checkpoint = cache_->tree().checkpoint(node);
      if (checkpoint.kind == kind) positions.insert(checkpoint.tokens);
    }
    return positions;
  }

  std::unique_ptr<KvPool> kv_;
  std::unique_ptr<CheckpointPool> pool_;
  std::unique_ptr<PrefixCache> cache_;
};

TEST_F(PrefixPolicy, BlocksOfWhatWasUsedLongestAgoGoFirstHoweverMuchTheySave) {
  Open(10, 10);
  Run(Tokens(1, 65));
  Run(Tokens(2, 257));  // a longer replay
  Run(Tokens(1, 65));
  Run(Tokens(3, 200));  // four blocks, and five are free
  EXPECT_EQ(Run(Tokens(3, 200)), 192);
  Run(Tokens(4, 130));  // one block too many
  EXPECT_EQ(Run(Tokens(1, 65)), 64);
  EXPECT_EQ(Run(Tokens(2, 257)), 0);
}

TEST_F(PrefixPolicy, OnesInBetweenTakeWhatNobodyWantsAndGoFirst) {
  Open(100, 3);
  Run(Tokens(1, 700));
  EXPECT_EQ(Kept(kSpaced), (Positions{256, 512}));
  EXPECT_EQ(Kept(kEnd), (Positions{640}));
  Run(Tokens(2, 70));
  Run(Tokens(3, 70));
  EXPECT_EQ(Kept(kSpaced), (Positions{}));
  EXPECT_EQ(Kept(kEnd), (Positions{64, 64, 640}));
  Run(Tokens(4, 700));
  EXPECT_EQ(Kept(kSpaced), (Positions{}));
  EXPECT_EQ(Kept(kEnd), (Positions{64, 640, 640}));
}

TEST_F(PrefixPolicy, OneInBetweenCountsFromItsFirstUseOn) {
  Open(100, 10);
  const std::vector<int32_t> tokens = Tokens(1, 700);
  Run(tokens);
  const PrefixTree& tree = cache_->tree();
  const auto at = [&](int32_t position) {
    return tree.checkpoint(*std::ranges::find_if(
        tree.checkpoints(), [&](NodeId node) { return tree.checkpoint(node).tokens == position; }));
  };
  EXPECT_EQ(at(640).replay_tokens, 640);
  EXPECT_EQ(Run({tokens.begin(), tokens.begin() + 300}), 256);
  EXPECT_EQ(at(256).kind, kMissed);
  EXPECT_EQ(at(256).below, 1);
  EXPECT_EQ(at(640).replay_tokens, 640 - 256);
}

TEST_F(PrefixPolicy, OfAConversationTheFirstAndTheLastBordersAreWorthASlot) {
  Open(100, 4);
  Run(Tokens(1, 1000), {130, 300, 400, 600, 800, 1000});
  EXPECT_EQ(Kept(kBorder), (Positions{128}));
  EXPECT_EQ(Kept(kEnd), (Positions{768, 960}));
  EXPECT_EQ(Kept(kSpaced).size(), 1u);
}

}  // namespace
}  // namespace nextgate::engine
