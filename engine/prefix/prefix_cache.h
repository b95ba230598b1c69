// The prefix cache: what was computed before is resumed, not recomputed. It decides what a prompt can
// resume from, which states are kept on the way, and what goes when blocks or slots run out.
//
// A sequence's life in it:
//   Lookup    while it waits: how far its beginning is there, and where it will leave checkpoints
//   Loads     whether more of it is on its way from a lower tier
//   Resume    admitted: leases the blocks up to the checkpoint, says which one to load
//   TakeBlocks, PlanEmits   before each step
//   Commit    after each step: its full blocks become the tree's (or, where another sequence was first,
//             are replaced by the tree's equal ones), the states of this step get their nodes
//   Close     ended or preempted: the answer's last state is published, all is given back
//
// A full block is never written again, and only full blocks are shared: copy on write without a copy.
//
// Blocks [0, published) of a sequence's table belong to the tree and are leased; those behind are its
// own. While a generation runs, the states at the last two borders that it passed are its own too: it
// is not known yet where the answer ends, and a state past that end is worth nothing.
//
// Threads: the engine thread. Nothing is allocated in a step in proportion to the model: the lists of a
// sequence grow with its tokens, and what moves between tiers has lists of its own.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "engine/prefix/checkpoint_pool.h"
#include "engine/prefix/eviction.h"
#include "engine/prefix/kv_pool.h"
#include "engine/prefix/placement.h"
#include "engine/prefix/prefix_tiers.h"
#include "engine/prefix/prefix_tree.h"

namespace nextgate::engine {

// Blocks and a state on their way up from a lower tier.
struct PrefixLoad {
  std::string scope;
  std::vector<int32_t> tokens;
  std::vector<BlockKey> keys;
  NodeId leased = kNoNode;      // what of it was on the device
  std::vector<int32_t> blocks;  // behind that
  int32_t slot = kNoCheckpoint;
  CheckpointKind kind = CheckpointKind::kSpaced;
  bool done = false;
  bool unwanted = false;  // the cache was reset meanwhile
};

// The side of a sequence that the prefix cache knows. Everything in it is PrefixCache's.
struct PrefixHold {
  std::vector<BlockKey> keys;  // the scope's, then one a full block; empty: never looked up
  PrefixMatch match;           // of the last Lookup
  uint64_t looked_up = 0;      // the tree's version then
  int32_t known = 0;           // tokens then: what comes behind is generated
  std::vector<PlacedCheckpoint> placed;  // still to come, ascending
  int32_t last_state = 0;                // position of the last checkpoint on the way that counts
  bool waited = false;                   // counted as such
  std::shared_ptr<PrefixLoad> load;      // waited for
  int64_t load_until_ns = 0;
  bool load_tried = false;    // once is enough
  uint64_t tiers_looked = 0;  // their version when nothing was found
  NodeId leased = kNoNode;
  int32_t published = 0;     // blocks
  NodeId loading = kNoNode;  // pinned until Commit
  bool first_use = false;    // of that one

  struct State {
    int32_t position = 0;
    int32_t slot = kNoCheckpoint;
    CheckpointKind kind = CheckpointKind::kSpaced;
  };
  std::vector<State> emitted;    // in this step
  std::array<State, 2> answers;  // the last borders of the generation; slot kNoCheckpoint: none
};

// What the engine says of a sequence.
struct PrefixSequence {
  std::string_view scope;
  std::span<const int32_t> tokens;  // known: prompt and generated
  int32_t resume_max = 0;           // tokens: what lies behind must be computed, whatever is there
  std::span<const int32_t> borders;
  std::span<const int32_t> marked;

  bool unannounced() const { return borders.empty() && marked.empty(); }
};

class PrefixCache {
 public:
  // Of the slots: spaced states of prompts without borders, which do not go before all others.
  static constexpr int32_t kUnannouncedShare = 32;
  static constexpr int64_t kLoadPatienceMs = 2'000;
  static constexpr int64_t kDrainMs = 10'000;  // at the end, for what is not copied down yet
  static constexpr size_t kOffersMax = 1024;   // checkpoints that wait to be copied down, by tier
  static constexpr int32_t kRecordBlocksMax = 64;  // of a lower tier's record, if it can be helped

  // enabled: false: blocks are handed out and taken back, nothing is kept. The pools outlive it.
  PrefixCache(bool enabled, KvPool* kv, CheckpointPool* checkpoints,
              std::unique_ptr<EvictionPolicy> eviction,
              std::unique_ptr<PrefixTiers> tiers = nullptr);

  // Blocks that can be had now: free ones, cached ones that nobody uses and, in memory that both share,
  // those in whose place a checkpoint is.
  int32_t blocks_available() const {
    return kv_->blocks_free() + tree_.idle() + tree_.unpinned() * slot_blocks_;
  }
  int32_t blocks_in_use() const { return kv_->blocks_used() - tree_.idle(); }

  void Lookup(const PrefixSequence& sequence, PrefixHold* hold);

  // True: the sequence should wait, a lower tier has more of its beginning and is giving it. A load is
  // begun only while `blocks_spared` more blocks than it needs can be had, and waited for
  // kLoadPatienceMs at most.
  bool Loads(const PrefixSequence& sequence, int32_t blocks_spared, PrefixHold* hold);

  // What the tiers have done since. At the start of each step.
  void PollTiers();
  // Nothing moves between the tiers.
  bool tiers_idle() const { return !tiers_ || tiers_->idle(); }
  void WaitForTiers();  // a little while, unless they are idle
  bool TiersCleared() const { return !tiers_ || tiers_->cleared(); }  // of what Reset forgot
  void DrainTiers();  // for kDrainMs at most; the last that is asked of them

  // Blocks of the match are appended to `table`. Returns the checkpoint slot to load from, or
  // kNoCheckpoint: it begins at 0. Counts the lookup if `counted`. REQUIRES: Lookup, and no change since.
  int32_t Resume(const PrefixSequence& sequence, PrefixHold* hold, std::vector<int32_t>* table,
                 bool counted);

  // REQUIRES: count <= blocks_available().
  void TakeBlocks(int32_t count, std::vector<int32_t>* table);

  // For a step that computes tokens [begin, end) of the step's sequence `index`: appends the states to be
  // kept, as far as slots can be had. All sequences of a step take their blocks before: those that can be
  // had become fewer.
  void PlanEmits(const PrefixSequence& sequence, PrefixHold* hold, int32_t index, int32_t begin,
                 int32_t end, std::vector<kernels::StateEmit>* emits);

  // After the step: `computed` tokens are there.
  void Commit(const PrefixSequence& sequence, PrefixHold* hold, int32_t computed,
              std::vector<int32_t>* table);

  // Gives everything back and empties the table. Of the tokens the first `kept` count; with `maybe_cut` an
  // earlier end is possible. REQUIRES: not between PlanEmits and Commit.
  void Close(int32_t kept, bool maybe_cut, PrefixHold* hold, std::vector<int32_t>* table);

  // Whether waiting for `leader`, which runs or will run before, spares `hold` more than it costs: a
  // checkpoint that the leader will leave lies in their common beginning, behind what is there for
  // `hold`, and the leader is not further from it. `leader_computed`: tokens.
  bool Awaits(int32_t resume_max, const PrefixHold& leader, int32_t leader_computed,
              PrefixHold* hold);

  // Where blocks could be in their place, the states of an answer that runs: of use when it ends, but not
  // worth somebody's preemption.
  void GiveUpAnswers(PrefixHold* hold);

  // Blocks that come free if the sequences are preempted from the last to the first: (*freed)[i] for
  // holds[i] and tables of table_blocks[i].
  void CountFreed(std::span<const PrefixHold* const> holds, std::span<const int32_t> table_blocks,
                  std::vector<int32_t>* freed);

  // Drops everything that nobody uses, in the lower tiers too.
  void Reset();

  PrefixStats stats() const;
  const PrefixTree& tree() const { return tree_; }

  // Aborts if blocks or slots are lost: `held_blocks` and `held_slots` are what sequences own.
  void check_integrity(int32_t held_blocks, int32_t held_slots) const;

 private:
  BlockPath PathOf(const PrefixSequence& s, const PrefixHold& hold) const {
    return {s.scope, s.tokens, hold.keys};
  }
  void Learn(NodeId used);
  double Worth(const PrefixTree::Checkpoint& checkpoint) const;
  bool VacatePage();
  bool FreeSlotForUnannounced();
  // Spaced states that nobody has used yet and nobody reads.
  struct Guesses {
    NodeId oldest = kNoNode;
    NodeId oldest_unannounced = kNoNode;  // of prompts that announced no border
    int32_t unannounced = 0;
  };
  Guesses guesses() const;
  NodeId WorstGuess() const;
  int32_t UnannouncedKept() const { return checkpoints_->slots_total() / kUnannouncedShare; }
  // Slots that sequences and loads hold.
  int32_t held() const {
    return checkpoints_->slots_used() - static_cast<int32_t>(tree_.checkpoints().size());
  }
  bool FreeSlot(double worth);
  int32_t TakeCheckpoint(const PlacedCheckpoint& placed, int32_t replay_tokens, bool unannounced);
  void Emit(const PlacedCheckpoint& placed, int32_t index, bool unannounced, PrefixHold* hold,
            std::vector<kernels::StateEmit>* emits);
  bool IsThere(const PrefixSequence& sequence, const PrefixHold& hold, int32_t position) const;
  NodeId Worst() const;
  void Evict(NodeId node);
  void GiveUp(NodeId leaf);
  void Unpin(NodeId node);
  void Reclaim(int32_t blocks);
  void Attach(NodeId node, const PrefixHold::State& state);
  void KeepAnswer(const PrefixHold::State& state, PrefixHold* hold);
  NodeId Insert(NodeId parent, const BlockPath& path, int32_t index, int32_t block);
  NodeId NodeAt(NodeId below, int32_t position) const;
  void StartLoad(const PrefixSequence& sequence, const PrefixTiers::Found& found, PrefixHold* hold);
  void EndLoad(const std::shared_ptr<PrefixLoad>& load, bool ok);
  void Offer(NodeId node);
  void CopyDown();
  bool CopyDown(int32_t tier, NodeId node);
  NodeId TopOf(NodeId node) const;
  TierRecordPtr RecordOf(int32_t tier, NodeId node, DevicePlace* place) const;

  const bool enabled_;
  KvPool* const kv_;
  CheckpointPool* const checkpoints_;
  const std::unique_ptr<EvictionPolicy> eviction_;
  const int32_t slot_blocks_;  // a slot's page holds, or 0: slots have memory of their own
  PrefixTree tree_;
  std::vector<uint8_t> unannounced_;  // [nodes] with a spaced state: its prompt announced no border
  std::vector<NodeId> node_of_;       // [blocks] of the tree; those that may be moved
  std::vector<std::shared_ptr<PrefixLoad>> loading_;
  uint64_t version_ = 1;  // of the tree, for lookups
  uint64_t mark_ = 0;
  PrefixStats stats_;
  struct Offered {
    NodeId node = kNoNode;
    BlockKey key;  // if the node is another's by now, so is its key
  };
  std::vector<std::deque<Offered>> offers_;   // [tiers]
  const std::unique_ptr<PrefixTiers> tiers_;  // last: its worker ends before what it reads
};

}  // namespace nextgate::engine
