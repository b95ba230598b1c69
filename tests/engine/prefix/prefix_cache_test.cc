// PrefixCache with what a model would have written to every block and checkpoint, in their own memory.
// Whatever is shared, evicted, preempted or thrown away, a sequence finds in its table and in what it loads
// exactly its own beginning.
#include "engine/prefix/prefix_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/support/fake_model.h"

namespace nextgate::engine {
namespace {

// The content of a position: everything up to it, in one number.
uint64_t Mix(uint64_t before, uint64_t value) {
  uint64_t x = (before ^ value) * 0x9e3779b97f4a7c15;
  x ^= x >> 29;
  return x * 0xbf58476d1ce4e5b9 + 1;
}
constexpr uint64_t kPoison = ~uint64_t{0};

struct Sequence {
  std::string scope;
  std::vector<int32_t> tokens;
  int32_t prompt = 0;
  std::vector<int32_t> borders;
  std::vector<int32_t> marked;
  int32_t resume_max = 0;
  PrefixHold hold;
  std::vector<int32_t> table;
  bool running = false;
  int32_t computed = 0;
  int32_t load = kNoCheckpoint;  // in the next step

  PrefixSequence view() const {
    return {.scope = scope,
            .tokens = tokens,
            .resume_max = resume_max,
            .borders = borders,
            .marked = marked};
  }
  int32_t total() const { return static_cast<int32_t>(tokens.size()); }
  // After its first `count` tokens, 0 … total.
  std::vector<uint64_t> Contents() const {
    std::vector<uint64_t> contents = {Mix(1, std::hash<std::string>()(scope))};
    for (const int32_t token : tokens)
      contents.push_back(Mix(contents.back(), static_cast<uint64_t>(token)));
    return contents;
  }
};

struct Sizes {
  int32_t blocks = 8;
  int32_t checkpoints = 4;
  int32_t sequences = 5;
  int32_t page_blocks = 0;  // of pages that both share; 0: they do not
};

struct Pools {
  std::unique_ptr<KvPool> kv;
  std::unique_ptr<CheckpointPool> checkpoints;
};

Pools OpenPools(const Sizes& sizes) {
  const ModelConfig config = FakeModel().config();
  const auto layout = CheckpointLayoutOf(config, kernels::StateFormat::kFp32);
  if (sizes.page_blocks == 0)
    return {*KvPool::Open(config, sizes.blocks), *CheckpointPool::Open(layout, sizes.checkpoints)};
  const int64_t page_bytes = sizes.page_blocks * KvPool::BlockBytes(config);
  const auto pages = *PagePool::Open(page_bytes, sizes.blocks / sizes.page_blocks, "pages");
  return {KvPool::OpenIn(config, pages), CheckpointPool::OpenIn(layout, pages, sizes.checkpoints)};
}

class World {
 public:
  World(uint32_t seed, const Sizes& sizes, std::unique_ptr<EvictionPolicy> policy)
      : random_(seed),
        sizes_(sizes),
        pools_(OpenPools(sizes)),
        kv_(pools_.kv.get()),
        checkpoints_(pools_.checkpoints.get()),
        cache_(std::make_unique<PrefixCache>(true, kv_, checkpoints_, std::move(policy))) {}

  void Operate() {
    switch (Random(20)) {
      case 0:
      case 1:
      case 2:
        return Arrive();
      case 3:
        return End();
      case 4:
        return Preempt();
      case 5:
        if (Random(10) == 0) cache_->Reset();
        if (Random(10) == 0) checkpoints_->Refuse(Random(4), Random(4));
        return;
      case 6:
        return CheckAwaits();
      case 7:
        return CheckFreed();
      default:
        return Step();
    }
  }

  void Check() {
    int32_t held_blocks = 0;
    int32_t held_slots = 0;
    std::map<int32_t, int> tables;  // how many a block is in
    for (const auto& s : sequences_) {
      const PrefixHold& hold = s->hold;
      held_blocks += static_cast<int32_t>(s->table.size()) - hold.published;
      for (const auto& answer : hold.answers) held_slots += answer.slot != kNoCheckpoint;
      ASSERT_TRUE(hold.emitted.empty());
      ASSERT_EQ(hold.published, s->running ? s->computed / kBlockTokens : 0);
      for (size_t i = 0; i < s->table.size(); ++i) ++tables[s->table[i]];
      ASSERT_NO_FATAL_FAILURE(CheckContents(*s));
    }
    cache_->check_integrity(held_blocks, held_slots);
    ASSERT_EQ(cache_->blocks_in_use(), static_cast<int32_t>(tables.size()));
    // What a sequence may still write to is its own.
    for (const auto& s : sequences_)
      for (size_t i = static_cast<size_t>(s->hold.published); i < s->table.size(); ++i)
        ASSERT_EQ(tables[s->table[i]], 1);
  }

  // Everybody leaves: everything is there again.
  void Drain() {
    while (!sequences_.empty()) {
      End();
      ASSERT_NO_FATAL_FAILURE(Check());
    }
    ASSERT_EQ(cache_->blocks_available(), sizes_.blocks);
    cache_->Reset();
    ASSERT_EQ(kv_->blocks_free(), sizes_.blocks);
    ASSERT_EQ(checkpoints_->slots_free(), sizes_.checkpoints);
    cache_->check_integrity(0, 0);
  }

  PrefixStats stats() const { return cache_->stats(); }
  uint64_t preemptions() const { return preemptions_; }

 private:
  // A token's key in a block of the fake model is 8 bytes.
  uint64_t BlockContent(int32_t block, int32_t token) const {
    return Read(kv_->storage().k.at(0, block, 0, token));
  }
  void SetBlockContent(int32_t block, int32_t token, uint64_t content) {
    std::memcpy(kv_->storage().k.at(0, block, 0, token), &content, sizeof(content));
  }
  uint64_t CheckpointContent(int32_t slot) const { return Read(checkpoints_->storage().at(slot)); }
  void SetCheckpointContent(int32_t slot, uint64_t content) {
    std::memcpy(checkpoints_->storage().at(slot), &content, sizeof(content));
  }
  static uint64_t Read(const void* from) {
    uint64_t content = 0;
    std::memcpy(&content, from, sizeof(content));
    return content;
  }
  // Blocks in whose place a slot is.
  int32_t slot_blocks() const { return sizes_.page_blocks; }

  int32_t Random(int32_t below) {
    return static_cast<int32_t>(random_() % static_cast<uint32_t>(below));
  }
  Sequence* Any(bool running) {
    std::vector<Sequence*> all;
    for (const auto& s : sequences_)
      if (s->running == running) all.push_back(s.get());
    return all.empty() ? nullptr : all[random_() % all.size()];
  }

  void CheckContents(const Sequence& s) {
    if (!s.running) return;
    const std::vector<uint64_t> contents = s.Contents();
    for (int32_t i = 0; i < s.computed; ++i)
      ASSERT_EQ(BlockContent(s.table[i / kBlockTokens], i % kBlockTokens), contents[i + 1])
          << "token " << i << " of " << s.computed;
  }

  // Tokens of few kinds of blocks, so that beginnings are shared; or the words of an earlier sequence.
  void Arrive() {
    if (static_cast<int32_t>(sequences_.size()) >= sizes_.sequences) return;
    auto s = std::make_unique<Sequence>();
    s->scope = Random(4) ? "" : "tenant";
    if (!known_.empty() && Random(3) > 0) {
      s->tokens = known_[random_() % known_.size()];
      s->tokens.resize(random_() % (s->tokens.size() + 1));
    }
    for (int32_t blocks = Random(4); blocks > 0; --blocks)
      s->tokens.insert(s->tokens.end(), static_cast<size_t>(Random(8) ? 64 : 33), Random(2));
    s->tokens.resize(std::min<size_t>(s->tokens.size(), static_cast<size_t>(longest())));
    if (s->tokens.empty()) s->tokens.push_back(1);
    s->prompt = s->total();
    for (int32_t i = Random(4); i > 0; --i)
      (Random(3) ? s->borders : s->marked).push_back(Random(s->total() + 20));
    SetResumeMax(s.get());
    sequences_.push_back(std::move(s));
  }
  // One token is left to be computed, or more: for prompt_logprobs.
  void SetResumeMax(Sequence* s) {
    const int32_t last = Random(6) ? s->total() - 1 : Random(s->total());
    s->resume_max = last / kBlockTokens * kBlockTokens;
  }
  int32_t longest() const { return (sizes_.blocks - 1) * kBlockTokens; }

  void Close(Sequence* s, int32_t kept, bool maybe_cut) {
    cache_->Close(kept, maybe_cut, &s->hold, &s->table);
    ASSERT_TRUE(s->table.empty());
    s->running = false;
    s->computed = 0;
  }
  void End() {
    if (sequences_.empty()) return;
    std::swap(sequences_[random_() % sequences_.size()], sequences_.back());
    Sequence* s = sequences_.back().get();
    known_.push_back(s->tokens);
    if (known_.size() > 12) known_.erase(known_.begin());
    if (s->running) Close(s, Random(3) ? s->computed : Random(s->computed + 1), Random(2));
    sequences_.pop_back();
  }
  void Preempt() {
    Sequence* s = Any(/*running=*/true);
    if (s == nullptr) return;
    Close(s, s->computed, false);
    SetResumeMax(s);
    ++preemptions_;
  }

  // As the scheduler counts.
  bool Fits(const Sequence& s, int32_t available) const {
    const PrefixMatch& match = s.hold.match;
    return BlocksFor(s.total()) - match.resume_tokens / kBlockTokens + match.idle_blocks <=
           available;
  }
  // Some that wait are looked up and admitted, then some advance by any number of tokens.
  void Step() {
    std::vector<Sequence*> work;
    int32_t available = cache_->blocks_available();
    for (const auto& s : sequences_) {
      if (s->running || Random(2)) continue;
      cache_->Lookup(s->view(), &s->hold);
      ASSERT_NO_FATAL_FAILURE(CheckMatch(*s));
      if (!Fits(*s, available)) continue;
      available -= static_cast<int32_t>(BlocksFor(s->total())) -
                   s->hold.match.resume_tokens / kBlockTokens + s->hold.match.idle_blocks;
      work.push_back(s.get());
    }
    for (Sequence* s : work) ASSERT_NO_FATAL_FAILURE(Resume(s));
    std::vector<int32_t> counts(work.size(), 0);
    for (const auto& s : sequences_)
      if (s->running && s->load == kNoCheckpoint && Random(3) > 0 &&
          std::find(work.begin(), work.end(), s.get()) == work.end())
        work.push_back(s.get());
    ASSERT_NO_FATAL_FAILURE(Forward(work));
  }
  void Resume(Sequence* s) {
    s->load = cache_->Resume(s->view(), &s->hold, &s->table, Random(2));
    s->running = true;
    s->computed = s->load == kNoCheckpoint ? 0 : s->hold.match.resume_tokens;
    ASSERT_LE(s->computed, s->resume_max);
    ASSERT_EQ(static_cast<int32_t>(s->table.size()) * kBlockTokens, s->computed);
    ASSERT_NO_FATAL_FAILURE(CheckContents(*s));
  }

  void Forward(std::vector<Sequence*> work) {
    std::vector<kernels::StateEmit> emits;
    std::vector<int32_t> ends;
    std::erase_if(work, [this](Sequence* s) { return !TakeBlocks(s); });
    for (size_t index = 0; index < work.size(); ++index) {
      Sequence* s = work[index];
      const int32_t left = s->total() - s->computed;
      ends.push_back(s->computed + (Random(2) ? left : 1 + Random(left)));
      const size_t first = emits.size();
      cache_->PlanEmits(s->view(), &s->hold, static_cast<int32_t>(index), s->computed, ends.back(),
                        &emits);
      for (size_t i = first; i < emits.size(); ++i) {
        ASSERT_EQ(emits[i].sequence, static_cast<int32_t>(index));
        ASSERT_EQ(emits[i].position % kBlockTokens, 0);
        ASSERT_TRUE(emits[i].position > (i == first ? s->computed : emits[i - 1].position));
        ASSERT_LE(emits[i].position, ends.back());
      }
    }
    // Loads, before anything is written.
    std::set<int32_t> taken;
    for (Sequence* s : work) {
      if (s->load == kNoCheckpoint) continue;
      ASSERT_EQ(CheckpointContent(s->load), s->Contents()[s->computed]) << "of another prefix";
      taken.insert(s->load);
      s->load = kNoCheckpoint;
    }
    for (const auto& emit : emits) {
      ASSERT_TRUE(taken.insert(emit.checkpoint).second) << "written to and used otherwise";
      SetCheckpointContent(emit.checkpoint, work[emit.sequence]->Contents()[emit.position]);
    }
    for (size_t i = 0; i < work.size(); ++i) Compute(work[i], ends[i]);
  }
  // Blocks of all its tokens, one more as it grows. False: none is there, it was preempted.
  bool TakeBlocks(Sequence* s) {
    const int32_t count =
        static_cast<int32_t>(BlocksFor(s->total())) - static_cast<int32_t>(s->table.size());
    if (count > cache_->blocks_available()) {
      EXPECT_EQ(s->load, kNoCheckpoint) << "admitted without room";
      Close(s, s->computed, false);
      ++preemptions_;
      return false;
    }
    const size_t before = s->table.size();
    cache_->TakeBlocks(count, &s->table);
    for (size_t i = before; i < s->table.size(); ++i)
      for (int32_t token = 0; token < kBlockTokens; ++token)
        SetBlockContent(s->table[i], token, kPoison);
    return true;
  }
  void Compute(Sequence* s, int32_t end) {
    const std::vector<uint64_t> contents = s->Contents();
    for (int32_t i = s->computed; i < end; ++i)
      SetBlockContent(s->table[i / kBlockTokens], i % kBlockTokens, contents[i + 1]);
    s->computed = end;
    cache_->Commit(s->view(), &s->hold, s->computed, &s->table);
    if (end < s->total()) return;
    if (s->total() < longest()) {  // generates; sometimes many at once, as drafts would
      for (int32_t i = Random(4) ? 1 : 1 + Random(150); i > 0 && s->total() < longest(); --i)
        s->tokens.push_back(Random(40) ? 0 : 1);
    } else {
      Close(s, s->computed, false);
      s->resume_max = (s->total() - 1) / kBlockTokens * kBlockTokens;
    }
  }

  // What was found is what is there: nodes from the top whose blocks hold this prefix.
  void CheckMatch(const Sequence& s) {
    const PrefixMatch& match = s.hold.match;
    const PrefixTree& tree = cache_->tree();
    const std::vector<uint64_t> contents = s.Contents();
    ASSERT_TRUE(match.resume_tokens <= match.kv_tokens && match.kv_tokens <= s.resume_max);
    int32_t idle = 0;
    int32_t tokens = match.kv_tokens;
    for (NodeId node = match.kv; node != kNoNode; node = tree.parent(node)) {
      for (int32_t i = 0; i < kBlockTokens; ++i)
        ASSERT_EQ(BlockContent(tree.block(node), i), contents[tokens - kBlockTokens + i + 1]);
      if (tokens <= match.resume_tokens) idle += tree.users(node) == 0;
      const int32_t slot = tree.checkpoint(node).slot;
      ASSERT_TRUE(tokens <= match.resume_tokens || slot == kNoCheckpoint) << "a deeper one";
      ASSERT_TRUE(tokens != match.resume_tokens || CheckpointContent(slot) == contents[tokens]);
      tokens -= kBlockTokens;
    }
    ASSERT_EQ(tokens, 0);
    if (match.resume != kNoNode && !tree.checkpoint(match.resume).pinned) idle += slot_blocks();
    ASSERT_EQ(match.idle_blocks, idle) << "of " << match.resume_tokens / kBlockTokens;
  }

  void CheckAwaits() {
    Sequence* s = Any(/*running=*/false);
    Sequence* leader = Any(Random(2));
    if (s == nullptr || leader == nullptr || s == leader) return;
    cache_->Lookup(s->view(), &s->hold);
    if (!leader->running) cache_->Lookup(leader->view(), &leader->hold);
    const int32_t leader_computed =
        leader->running ? leader->computed : leader->hold.match.resume_tokens;
    int32_t common = 0;
    if (s->scope == leader->scope)
      while (common < std::min(s->total(), leader->total()) &&
             s->tokens[common] == leader->tokens[common])
        ++common;
    const int32_t limit = std::min(common / kBlockTokens * kBlockTokens, s->resume_max);
    const int32_t there = s->hold.match.resume_tokens;
    bool expected = false;
    if (leader_computed >= there)
      for (const PlacedCheckpoint& p : leader->hold.placed)
        expected |= p.position > leader_computed && p.position <= limit;
    expected &= sizes_.checkpoints > 0;
    ASSERT_EQ(cache_->Awaits(s->resume_max, leader->hold, leader_computed, &s->hold), expected);
  }

  void CheckFreed() {
    std::vector<const PrefixHold*> holds;
    std::vector<int32_t> table_blocks;
    std::vector<int32_t> expected;
    std::set<int32_t> used;
    for (const auto& s : sequences_) {
      holds.push_back(&s->hold);
      table_blocks.push_back(static_cast<int32_t>(s->table.size()));
      const size_t before = used.size();
      used.insert(s->table.begin(), s->table.end());
      expected.push_back(static_cast<int32_t>(used.size() - before));
      for (const auto& answer : s->hold.answers)
        expected.back() += answer.slot != kNoCheckpoint ? slot_blocks() : 0;
    }
    std::vector<int32_t> freed = {7};
    cache_->CountFreed(holds, table_blocks, &freed);
    ASSERT_EQ(freed, expected);
  }

  std::mt19937 random_;
  const Sizes sizes_;
  const Pools pools_;
  KvPool* const kv_;
  CheckpointPool* const checkpoints_;
  const std::unique_ptr<PrefixCache> cache_;
  std::vector<std::unique_ptr<Sequence>> sequences_;
  std::vector<std::vector<int32_t>> known_;
  uint64_t preemptions_ = 0;
};

std::unique_ptr<EvictionPolicy> PolicyOf(bool lru) {
  return lru ? EvictLeastRecentlyUsed() : EvictByReplayCost();
}

struct Totals {
  uint64_t resumed = 0;
  uint64_t evicted = 0;
  uint64_t checkpoints_evicted = 0;
  uint64_t preemptions = 0;
};

void Live(uint32_t seed, const Sizes& sizes, bool lru, Totals* totals) {
  World world(seed, sizes, PolicyOf(lru));
  for (int operation = 0; operation < 1500; ++operation) {
    ASSERT_NO_FATAL_FAILURE(world.Operate()) << "operation " << operation;
    ASSERT_NO_FATAL_FAILURE(world.Check()) << "operation " << operation;
  }
  ASSERT_NO_FATAL_FAILURE(world.Drain());
  const PrefixStats stats = world.stats();
  EXPECT_EQ(stats.matched_tokens, stats.resumed_tokens + stats.replayed_tokens + stats.lost_tokens);
  totals->resumed += stats.resumed_tokens;
  totals->evicted += stats.blocks_evicted;
  totals->checkpoints_evicted += stats.checkpoints_evicted;
  totals->preemptions += world.preemptions();
}

TEST(PrefixCache, EverySequenceFindsItsOwnBeginningWhateverIsEvicted) {
  for (const bool lru : {false, true}) {
    for (const int32_t checkpoints : {0, 1, 2, 5, 40}) {
      Totals totals;
      for (uint32_t seed = 0; seed < 6; ++seed) {
        SCOPED_TRACE(testing::Message()
                     << "seed " << seed << " checkpoints " << checkpoints << " lru " << lru);
        const Sizes sizes{.blocks = std::array{3, 6, 12}[seed % 3],
                          .checkpoints = checkpoints,
                          .sequences = std::array{2, 5}[seed % 2]};
        ASSERT_NO_FATAL_FAILURE(Live(seed, sizes, lru, &totals));
      }
      EXPECT_EQ(totals.resumed > 2000, checkpoints > 0) << totals.resumed;
      EXPECT_GT(totals.evicted, 500u);
      EXPECT_GT(totals.preemptions, 100u);
    }
  }
}

TEST(PrefixCache, SoItDoesInPagesThatBlocksAndCheckpointsShare) {
  for (const bool lru : {false, true}) {
    for (const int32_t page_blocks : {1, 2, 3, 5}) {
      Totals totals;
      for (uint32_t seed = 0; seed < 8; ++seed) {
        SCOPED_TRACE(testing::Message()
                     << "seed " << seed << " page_blocks " << page_blocks << " lru " << lru);
        const int32_t pages = std::array{3, 5, 8, 12}[seed % 4];
        const Sizes sizes{.blocks = pages * page_blocks,
                          .checkpoints = std::array{1, pages / 2, pages - 1}[seed % 3],
                          .sequences = std::array{2, 5}[seed % 2],
                          .page_blocks = page_blocks};
        ASSERT_NO_FATAL_FAILURE(Live(seed, sizes, lru, &totals));
      }
      EXPECT_GT(totals.resumed, 2000u);
      EXPECT_GT(totals.evicted, 500u);
      EXPECT_GT(totals.checkpoints_evicted, 200u);
      EXPECT_GT(totals.preemptions, 100u);
    }
  }
}

}  // namespace
}  // namespace nextgate::engine
