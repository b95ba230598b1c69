// PrefixCache: one rule each.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "engine/prefix/prefix_cache.h"
#include "tests/support/fake_model.h"

namespace nextgate::engine {
namespace {

std::vector<int32_t> Tokens(uint32_t seed, size_t count) {
  std::mt19937 random(seed);
  std::vector<int32_t> tokens(count);
  for (int32_t& token : tokens) token = static_cast<int32_t>(random() % kFakeVocab);
  return tokens;
}

struct Sequence {
  std::vector<int32_t> tokens;
  std::vector<int32_t> borders;
  std::string scope;
  PrefixHold hold;
  std::vector<int32_t> table;
  int32_t computed = 0;

  int32_t total() const { return static_cast<int32_t>(tokens.size()); }
  PrefixSequence view() const {
    return {.scope = scope,
            .tokens = tokens,
            .resume_max = (total() - 1) / kBlockTokens * kBlockTokens,
            .borders = borders};
  }
};

// A prefix cache and what an engine does with it.
class Rig {
 public:
  Rig(int32_t blocks, int32_t checkpoints, bool enabled = true, bool lru = false)
      : kv(*KvPool::Open(FakeModel().config(), blocks)),
        pool(*CheckpointPool::Open(
            CheckpointLayoutOf(FakeModel().config(), kernels::StateFormat::kFp32), checkpoints)),
        cache(enabled, kv.get(), pool.get(), lru ? EvictLeastRecentlyUsed() : EvictByReplayCost()) {
  }

  // Returns the tokens that it resumes.
  int32_t Admit(Sequence* s) {
    cache.Lookup(s->view(), &s->hold);
    const int32_t slot = cache.Resume(s->view(), &s->hold, &s->table, /*counted=*/true);
    s->computed = slot == kNoCheckpoint ? 0 : s->hold.match.resume_tokens;
    return s->computed;
  }
  // One step. Returns where states are kept.
  std::vector<int32_t> Advance(Sequence* s, int32_t end) {
    cache.TakeBlocks(
        static_cast<int32_t>(BlocksFor(s->total())) - static_cast<int32_t>(s->table.size()),
        &s->table);
    std::vector<kernels::StateEmit> emits;
    cache.PlanEmits(s->view(), &s->hold, 0, s->computed, end, &emits);
    s->computed = end;
    cache.Commit(s->view(), &s->hold, end, &s->table);
    std::vector<int32_t> positions;
    for (const auto& emit : emits) positions.push_back(emit.position);
    return positions;
  }
  void Generate(Sequence* s, int32_t total) {
    while (s->computed < total) {
      if (s->computed == s->total()) s->tokens.push_back(s->computed % kFakeVocab);
      Advance(s, s->total());
    }
  }
  void Close(Sequence* s) { cache.Close(s->computed, false, &s->hold, &s->table); }
  // Admitted, computed, closed. Returns the tokens that it resumed.
  int32_t Run(Sequence s) {
    const int32_t resumed = Admit(&s);
    Advance(&s, s.total());
    Close(&s);
    return resumed;
  }
  int32_t Run(const std::vector<int32_t>& tokens) { return Run(Sequence{.tokens = tokens}); }
  // Of all checkpoints of the tree.
  std::multiset<int32_t> Positions() const {
    std::multiset<int32_t> positions;
    for (const NodeId node : cache.tree().checkpoints())
      positions.insert(cache.tree().checkpoint(node).tokens);
    return positions;
  }

  const std::unique_ptr<KvPool> kv;
  const std::unique_ptr<CheckpointPool> pool;
  PrefixCache cache;
};

using Positions = std::multiset<int32_t>;

TEST(PrefixCache, GenerationsThatRunLeaveHalfOfTheSlotsToOthers) {
  Rig rig(100, 8);
  std::vector<Sequence> running(10);
  for (size_t i = 0; i < running.size(); ++i) {
    running[i].tokens = Tokens(static_cast<uint32_t>(i), 30);
    rig.Admit(&running[i]);
    rig.Advance(&running[i], 30);
    rig.Generate(&running[i], 200);  // past three borders
  }
  EXPECT_EQ(rig.pool->slots_used(), 4);
  for (uint32_t i = 0; i < 4; ++i)
    rig.Run(Sequence{.tokens = Tokens(100 + i, 150), .borders = {128}});
  EXPECT_EQ(rig.Positions(), (Positions{128, 128, 128, 128}));
  for (Sequence& s : running) rig.Close(&s);
}

TEST(PrefixCache, TwoThatComputeTheSameEndWithOneCopy) {
  Rig rig(10, 10);
  Sequence a{.tokens = Tokens(1, 150)};
  Sequence b = a;
  rig.Admit(&a);
  rig.Admit(&b);
  rig.Advance(&a, 150);
  EXPECT_EQ(rig.Advance(&b, 100), (std::vector<int32_t>{})) << "no state is kept twice";
  EXPECT_EQ(rig.Advance(&b, 150), (std::vector<int32_t>{}));
  EXPECT_EQ(a.table[0], b.table[0]);
  EXPECT_EQ(a.table[1], b.table[1]);
  EXPECT_NE(a.table[2], b.table[2]);
  EXPECT_EQ(rig.cache.blocks_in_use(), 4);
  rig.cache.check_integrity(2, 0);
  rig.Close(&a);
  EXPECT_EQ(rig.cache.blocks_in_use(), 3) << "b goes on";
  rig.Close(&b);
  EXPECT_EQ(rig.cache.blocks_in_use(), 0);
  EXPECT_EQ(rig.kv->blocks_free(), 8);
  EXPECT_EQ(rig.Positions(), (Positions{128}));
}

TEST(PrefixCache, OfAStepThatTwoSequencesShareTheFirstStateStays) {
  Rig rig(10, 10);
  Sequence a{.tokens = Tokens(1, 100)};
  Sequence b = a;
  for (Sequence* s : {&a, &b}) {
    rig.Admit(s);
    rig.cache.TakeBlocks(2, &s->table);
  }
  std::vector<kernels::StateEmit> emits;
  rig.cache.PlanEmits(a.view(), &a.hold, 0, 0, 100, &emits);
  rig.cache.PlanEmits(b.view(), &b.hold, 1, 0, 100, &emits);
  ASSERT_EQ(emits.size(), 2u);
  EXPECT_NE(emits[0].checkpoint, emits[1].checkpoint);
  rig.cache.check_integrity(4, 2);
  rig.cache.Commit(a.view(), &a.hold, 100, &a.table);
  rig.cache.Commit(b.view(), &b.hold, 100, &b.table);
  rig.cache.check_integrity(2, 0);
  EXPECT_EQ(rig.pool->slots_free(), 9);
  const PrefixTree& tree = rig.cache.tree();
  EXPECT_EQ(tree.checkpoint(tree.checkpoints()[0]).slot, emits[0].checkpoint);
  a.computed = b.computed = 100;
  rig.Close(&a);
  rig.Close(&b);
}

TEST(PrefixCache, AnAnswerLeavesItsLastBorderWithinWhatCounts) {
  struct Case {
    int32_t kept;
    bool maybe_cut;
    Positions expected;
  };
  for (const Case& c :
       {Case{200, false, {192}}, Case{200, true, {128, 192}}, Case{192, false, {192}},
        Case{191, false, {128}}, Case{191, true, {128}}, Case{128, true, {128}},
        Case{127, false, {}}, Case{127, true, {}}, Case{0, true, {}}}) {
    Rig rig(10, 10);
    Sequence s{.tokens = Tokens(1, 10)};
    rig.Admit(&s);
    rig.Generate(&s, 200);
    EXPECT_EQ(rig.pool->slots_free(), 8) << "the last two borders' states";
    EXPECT_EQ(rig.Positions(), (Positions{})) << "published before its end is known";
    rig.cache.Close(c.kept, c.maybe_cut, &s.hold, &s.table);
    EXPECT_EQ(rig.Positions(), c.expected) << c.kept << " " << c.maybe_cut;
    rig.cache.check_integrity(0, 0);
  }
}

TEST(PrefixCache, APreemptedGenerationGoesOnAtItsLastBorder) {
  Rig rig(10, 10);
  Sequence s{.tokens = Tokens(1, 10)};
  rig.Admit(&s);
  rig.Generate(&s, 150);
  rig.Close(&s);
  s.computed = 0;
  EXPECT_EQ(rig.Admit(&s), 128);
  rig.Generate(&s, 200);
  rig.Close(&s);
  EXPECT_EQ(rig.Positions(), (Positions{128, 192}));
}

TEST(PrefixCache, OneThatIsPreemptedBeforeItsFirstBlockLeavesItsStatesLater) {
  Rig rig(10, 10);
  Sequence s{.tokens = Tokens(1, 200)};
  for (const bool preempted : {true, false}) {
    EXPECT_EQ(rig.Admit(&s), 0);
    EXPECT_EQ(rig.Advance(&s, 30), (std::vector<int32_t>{}));
    if (preempted) rig.Close(&s);
  }
  EXPECT_EQ(rig.Advance(&s, 200), (std::vector<int32_t>{192}));
  rig.Close(&s);
}

TEST(PrefixCache, AnAnswerGoesOnWithTheOneSlotThatItHas) {
  Rig rig(10, 1);
  Sequence s{.tokens = Tokens(1, 10)};
  rig.Admit(&s);
  rig.Generate(&s, 300);
  rig.cache.check_integrity(1, 1);
  rig.Close(&s);
  EXPECT_EQ(rig.Positions(), (Positions{256}));
}

TEST(PrefixCache, FewSlotsGoToTheStrongestKinds) {
  Rig rig(20, 3);
  Sequence s{.tokens = Tokens(1, 1100), .borders = {700, 900}};
  rig.Admit(&s);
  EXPECT_EQ(rig.Advance(&s, 1100), (std::vector<int32_t>{640, 896, 1088}));
  rig.Close(&s);
  rig.cache.check_integrity(0, 0);
}

TEST(PrefixCache, ASpacedStateDrivesOutNoOther) {
  Rig rig(40, 2);
  Sequence s{.tokens = Tokens(1, 200), .borders = {128}};
  rig.Run(s);  // 128 (saves 128), 192 (saves 64)
  ASSERT_EQ(rig.Positions(), (Positions{128, 192}));
  Sequence t{.tokens = Tokens(2, 900)};
  rig.Admit(&t);
  EXPECT_EQ(rig.Advance(&t, 300), (std::vector<int32_t>{})) << "though it would save 256";
  EXPECT_EQ(rig.Advance(&t, 800), (std::vector<int32_t>{}));
  EXPECT_EQ(rig.cache.stats().checkpoints_refused, 3u);
  EXPECT_EQ(rig.Positions(), (Positions{128, 192}));
  EXPECT_EQ(rig.Advance(&t, 900), (std::vector<int32_t>{896})) << "in the place of the 192";
  EXPECT_EQ(rig.Positions(), (Positions{128, 896}));
  rig.Close(&t);
}

TEST(PrefixCache, ASpacedStateIsRefusedWhereEverythingSavesAsMuch) {
  Rig rig(40, 1);
  Sequence s{.tokens = Tokens(1, 300)};
  rig.Run(s);                  // 256
  EXPECT_EQ(rig.Run(s), 256);  // which makes it worth twice that
  Sequence t{.tokens = Tokens(2, 700)};
  rig.Admit(&t);
  EXPECT_EQ(rig.Advance(&t, 600), (std::vector<int32_t>{}));
  EXPECT_EQ(rig.cache.stats().checkpoints_refused, 2u);
  EXPECT_EQ(rig.Positions(), (Positions{256}));
  EXPECT_EQ(rig.Advance(&t, 700), (std::vector<int32_t>{640})) << "an end is not";
  rig.Close(&t);
}

TEST(PrefixCache, BlocksThatNoCheckpointNeedsGoFirst) {
  Rig rig(6, 4);
  rig.Run(Tokens(1, 128));  // states at 64 and 128
  rig.pool->Refuse(0, 9);
  rig.Run(Tokens(2, 128));  // none, and it was used later
  rig.pool->Refuse(0, 0);
  std::vector<int32_t> table;
  rig.cache.TakeBlocks(4, &table);  // two are free
  EXPECT_EQ(rig.cache.stats().checkpoints_evicted, 0u);
  EXPECT_EQ(rig.cache.tree().size(), 2);
  EXPECT_EQ(rig.Positions(), (Positions{64, 128}));
  rig.cache.TakeBlocks(1, &table);
  EXPECT_EQ(rig.Positions(), (Positions{64})) << "the leaf first";
  rig.cache.TakeBlocks(1, &table);
  EXPECT_EQ(rig.cache.tree().size(), 0);
  EXPECT_EQ(rig.cache.stats().blocks_evicted, 4u);
  rig.kv->GiveBack(&table);
  rig.cache.check_integrity(0, 0);
}

TEST(PrefixCache, OfTheLeavesWithStatesTheOneLeftAloneLongestGoesWhole) {
  Rig rig(6, 9);
  rig.Run(Tokens(1, 65));
  rig.Run(Tokens(2, 130));
  rig.Run(Tokens(3, 65));
  rig.Run(Tokens(1, 65));  // resumed from once
  std::vector<int32_t> table;
  for (const Positions& left : {Positions{64, 64}, Positions{64, 64}, Positions{64}, Positions{}}) {
    const int32_t leaf = rig.kv->blocks_free() + 1;
    rig.cache.TakeBlocks(leaf, &table);
    EXPECT_EQ(rig.Positions(), left);
    rig.cache.check_integrity(static_cast<int32_t>(table.size()), 0);
  }
  rig.kv->GiveBack(&table);
}

TEST(PrefixCache, ResetLeavesWhatIsInUse) {
  Rig rig(12, 12);
  rig.Run(Tokens(1, 300));
  rig.Run(Tokens(2, 200));
  Sequence s{.tokens = Tokens(1, 300)};
  ASSERT_EQ(rig.Admit(&s), 256);
  rig.cache.Reset();
  EXPECT_EQ(rig.Positions(), (Positions{256})) << "it is about to be loaded";
  EXPECT_EQ(rig.cache.tree().size(), 4);
  rig.cache.check_integrity(0, 0);
  rig.Advance(&s, 300);
  rig.Generate(&s, 330);
  rig.cache.Reset();
  EXPECT_EQ(rig.Positions(), (Positions{}));
  rig.cache.check_integrity(1, 1);
  rig.Close(&s);
  EXPECT_EQ(rig.Positions(), (Positions{320})) << "computed since";
  rig.cache.Reset();
  EXPECT_EQ(rig.kv->blocks_free() + rig.pool->slots_free(), 24);
}

TEST(PrefixCache, AMatchKnowsWhoseBlocksWereTakenIntoUseSince) {
  Rig rig(12, 12);
  rig.Run(Tokens(1, 300));
  Sequence a{.tokens = Tokens(1, 300)};
  Sequence b = a;
  rig.cache.Lookup(a.view(), &a.hold);
  rig.cache.Lookup(b.view(), &b.hold);
  EXPECT_EQ(b.hold.match.idle_blocks, 4);
  rig.Admit(&a);
  rig.cache.Lookup(b.view(), &b.hold);
  EXPECT_EQ(b.hold.match.idle_blocks, 0);
  rig.Advance(&a, 300);
  rig.Close(&a);
  rig.cache.Lookup(b.view(), &b.hold);
  EXPECT_EQ(b.hold.match.idle_blocks, 4);
}

TEST(PrefixCache, NobodyWaitsForAStateThatCannotCome) {
  for (const int32_t checkpoints : {0, 5}) {
    Rig rig(12, checkpoints);
    Sequence leader{.tokens = Tokens(1, 300)};
    Sequence s = leader;
    rig.Admit(&leader);
    rig.cache.Lookup(s.view(), &s.hold);
    EXPECT_EQ(rig.cache.Awaits(256, leader.hold, 0, &s.hold), checkpoints > 0);
    EXPECT_FALSE(rig.cache.Awaits(192, leader.hold, 0, &s.hold)) << "not so far";
    rig.Advance(&leader, 270);
    EXPECT_FALSE(rig.cache.Awaits(256, leader.hold, 270, &s.hold)) << "it has passed";
    rig.Close(&leader);
  }
}

TEST(PrefixCache, SwitchedOffItOnlyHandsOutBlocks) {
  Rig rig(12, 12, /*enabled=*/false);
  Sequence s{.tokens = Tokens(1, 300)};
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(rig.Admit(&s), 0);
    EXPECT_EQ(rig.Advance(&s, 300), (std::vector<int32_t>{}));
    EXPECT_FALSE(rig.cache.Awaits(256, s.hold, 0, &s.hold));
    rig.cache.check_integrity(5, 0);
    rig.Close(&s);
  }
  rig.cache.Reset();
  EXPECT_EQ(rig.kv->blocks_free() + rig.pool->slots_free(), 24);
  EXPECT_EQ(rig.cache.stats().lookups, 0u);
}

TEST(PrefixCache, ScopesDifferEvenWhereTheirBytesLookLikeBlocks) {
  Rig rig(12, 12);
  const std::string nothing(64 * sizeof(int32_t), '\0');
  for (const std::string& scope : {std::string(), std::string(1, '\0'), nothing, "s" + nothing})
    for (const int32_t resumed : {0, 64})
      EXPECT_EQ(rig.Run({.tokens = std::vector<int32_t>(65), .scope = scope}), resumed);
}

TEST(PrefixCache, WhereEveryoneHasRoomWhatWasComputedIsFoundToTheBlock) {
  std::mt19937 random(11);
  for (const bool lru : {false, true}) {
    Rig rig(4000, 4000, true, lru);
    std::set<std::vector<int32_t>> states;  // beginnings
    std::set<std::vector<int32_t>> blocks;
    for (int round = 0; round < 400; ++round) {
      Sequence s;
      for (uint32_t i = random() % 6; i > 0; --i)
        s.tokens.insert(s.tokens.end(), 64, static_cast<int32_t>(random() % 2));
      s.tokens.insert(s.tokens.end(), 1 + random() % 64, static_cast<int32_t>(random() % 2));
      const auto first = [&](int32_t n) {
        return std::vector<int32_t>(s.tokens.begin(), s.tokens.begin() + n);
      };
      const int32_t most = s.view().resume_max;
      int32_t resumed = most;
      while (resumed > 0 && !states.contains(first(resumed))) resumed -= kBlockTokens;
      int32_t matched = most;
      while (matched > 0 && !blocks.contains(first(matched))) matched -= kBlockTokens;
      ASSERT_EQ(rig.Admit(&s), resumed);
      ASSERT_EQ(s.hold.match.kv_tokens, matched);
      for (const int32_t at : rig.Advance(&s, s.total())) states.insert(first(at));
      for (int32_t at = kBlockTokens; at <= s.total(); at += kBlockTokens) blocks.insert(first(at));
      rig.Close(&s);
      rig.cache.check_integrity(0, 0);
    }
    EXPECT_EQ(rig.cache.tree().size(), static_cast<int32_t>(blocks.size()));
    EXPECT_EQ(rig.cache.tree().checkpoints().size(), states.size());
  }
}

}  // namespace
}  // namespace nextgate::engine
