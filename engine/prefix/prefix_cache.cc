#include "engine/prefix/prefix_cache.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "base/check.h"

namespace nextgate::engine {

PrefixCache::PrefixCache(bool enabled, KvPool* kv, CheckpointPool* checkpoints,
                         std::unique_ptr<EvictionPolicy> eviction,
                         std::unique_ptr<PrefixTiers> tiers)
    : enabled_(enabled),
      kv_(kv),
      checkpoints_(checkpoints),
      eviction_(std::move(eviction)),
      slot_blocks_(kv->pages() == checkpoints->pages() ? kv->page_blocks() : 0),
      tree_(enabled ? kv->blocks_total() : 0),
      unannounced_(enabled ? static_cast<size_t>(kv->blocks_total()) : 0, 0),
      node_of_(enabled ? static_cast<size_t>(kv->blocks_total()) : 0, kNoNode),
      tiers_(std::move(tiers)) {
  if (tiers_) offers_.resize(static_cast<size_t>(tiers_->count()));
}

// --- before a sequence runs ---

void PrefixCache::Lookup(const PrefixSequence& sequence, PrefixHold* hold) {
  if (!enabled_ || hold->looked_up == version_) return;
  if (hold->keys.empty()) hold->keys.push_back(ScopeKey(sequence.scope));
  ExtendBlockKeys(sequence.tokens, &hold->keys);
  hold->looked_up = version_;
  hold->known = static_cast<int32_t>(sequence.tokens.size());
  hold->match = tree_.Lookup(PathOf(sequence, *hold), sequence.resume_max);
  // While the checkpoint is read its page cannot be had either.
  if (hold->match.resume != kNoNode && !tree_.checkpoint(hold->match.resume).pinned)
    hold->match.idle_blocks += slot_blocks_;
  hold->last_state = hold->match.resume_tokens;
  PlaceCheckpoints({.tokens = hold->known,
                    .resumed = hold->match.resume_tokens,
                    .matched = hold->match.kv_tokens,
                    .borders = sequence.borders,
                    .marked = sequence.marked},
                   &hold->placed);
}

int32_t PrefixCache::Resume(const PrefixSequence& sequence, PrefixHold* hold,
                            std::vector<int32_t>* table, bool counted) {
  if (!enabled_) return kNoCheckpoint;
  CHECK(table->empty() && hold->leased == kNoNode);
  const PrefixMatch& match = hold->match;
  if (counted) {
    const auto blocks = static_cast<int32_t>(hold->keys.size()) - 1;
    ++stats_.lookups;
    stats_.lookups_limited += sequence.resume_max < (blocks - 1) * kBlockTokens ? 1 : 0;
    stats_.queried_tokens += sequence.tokens.size();
    stats_.matched_tokens += static_cast<uint64_t>(match.kv_tokens);
    stats_.resumed_tokens += static_cast<uint64_t>(match.resume_tokens);
    (match.resume == kNoNode ? stats_.lost_tokens : stats_.replayed_tokens) +=
        static_cast<uint64_t>(match.kv_tokens - match.resume_tokens);
    Learn(match.resume);
  }
  if (match.resume == kNoNode) return kNoCheckpoint;
  tree_.Lease(match.resume);
  ++version_;  // how many blocks are idle is part of a match
  tree_.Pin(match.resume);
  tree_.CheckpointUsed(match.resume, eviction_->Stamp());
  hold->first_use = tree_.checkpoint(match.resume).hits == 1;
  hold->leased = hold->loading = match.resume;
  hold->published = match.resume_tokens / kBlockTokens;
  table->resize(static_cast<size_t>(hold->published));
  NodeId node = match.resume;
  for (size_t i = table->size(); i-- > 0; node = tree_.parent(node))
    (*table)[i] = tree_.block(node);
  return tree_.checkpoint(match.resume).slot;
}

// Of a request that resumes from `used`, if anything.
void PrefixCache::Learn(NodeId used) {
  eviction_->Admitted();
  for (const NodeId node : tree_.checkpoints()) {
    const PrefixTree::Checkpoint checkpoint = tree_.checkpoint(node);
    if (checkpoint.kind != CheckpointKind::kSpaced) eviction_->Passed(checkpoint);
  }
  if (used != kNoNode && tree_.checkpoint(used).kind != CheckpointKind::kSpaced)
    eviction_->Used(tree_.checkpoint(used));
}

bool PrefixCache::Awaits(int32_t resume_max, const PrefixHold& leader, int32_t leader_computed,
                         PrefixHold* hold) {
  const int32_t there = hold->match.resume_tokens;
  if (!enabled_ || checkpoints_->slots_total() == 0 || leader_computed < there) return false;
  // Keys are chained: once they differ they differ for good.
  const size_t size = std::min(hold->keys.size(), leader.keys.size());
  size_t common = 0;  // keys known to be equal
  for (size_t end = size; common < end;) {
    const size_t middle = (common + end) / 2;
    if (hold->keys[middle] == leader.keys[middle]) {
      common = middle + 1;
    } else {
      end = middle;
    }
  }
  if (common < 2) return false;
  const int32_t limit = std::min(static_cast<int32_t>(common - 1) * kBlockTokens, resume_max);
  const bool awaits =
      std::any_of(leader.placed.begin(), leader.placed.end(), [&](const PlacedCheckpoint& placed) {
        return placed.position <= limit && placed.position > std::max(there, leader_computed);
      });
  if (awaits && !std::exchange(hold->waited, true)) ++stats_.waits;
  return awaits;
}

// --- blocks and slots ---

// By what comes free with it: its slot, and if that shares its memory with blocks those that nothing
// else needs then.
double PrefixCache::Worth(const PrefixTree::Checkpoint& checkpoint) const {
  if (checkpoint.kind == CheckpointKind::kSpaced) return 0;
  const bool with_blocks = slot_blocks_ > 0 && checkpoint.at_leaf;
  const int32_t blocks = with_blocks ? checkpoint.replay_tokens / kBlockTokens : 0;
  return eviction_->Value(checkpoint, std::max(slot_blocks_, 1) + blocks);
}

PrefixCache::Guesses PrefixCache::guesses() const {
  Guesses all;
  for (const NodeId node : tree_.checkpoints()) {
    const PrefixTree::Checkpoint checkpoint = tree_.checkpoint(node);
    if (checkpoint.kind != CheckpointKind::kSpaced || checkpoint.pinned) continue;
    const bool unannounced = unannounced_[static_cast<size_t>(node)];
    NodeId& oldest = unannounced ? all.oldest_unannounced : all.oldest;
    all.unannounced += unannounced ? 1 : 0;
    if (oldest == kNoNode || checkpoint.touched < tree_.checkpoint(oldest).touched) oldest = node;
  }
  return all;
}

// That goes before all others; but for the few of unannounced beginnings.
NodeId PrefixCache::WorstGuess() const {
  const Guesses all = guesses();
  if (all.oldest != kNoNode) return all.oldest;
  return all.unannounced > UnannouncedKept() ? all.oldest_unannounced : kNoNode;
}

// Guesses first, then what is worth least. Of equals the one whose block was left alone longest.
NodeId PrefixCache::Worst() const {
  if (const NodeId guess = WorstGuess(); guess != kNoNode) return guess;
  NodeId worst = kNoNode;
  std::pair<double, uint64_t> least;
  for (const NodeId node : tree_.checkpoints()) {
    const PrefixTree::Checkpoint checkpoint = tree_.checkpoint(node);
    if (checkpoint.pinned || checkpoint.kind == CheckpointKind::kSpaced) continue;
    const std::pair worth(Worth(checkpoint), checkpoint.touched);
    if (worst != kNoNode && worth >= least) continue;
    worst = node;
    least = worth;
  }
  return worst == kNoNode ? guesses().oldest_unannounced : worst;
}

void PrefixCache::Evict(NodeId node) {
  checkpoints_->GiveBack(tree_.DropCheckpoint(node));
  ++stats_.checkpoints_evicted;
  ++version_;
}

void PrefixCache::GiveUp(NodeId leaf) {
  const int32_t block = tree_.Remove(leaf);
  node_of_[static_cast<size_t>(block)] = kNoNode;
  kv_->GiveBack(block);
  ++version_;
}

void PrefixCache::Unpin(NodeId node) {
  tree_.Unpin(node);
  ++version_;  // it can be evicted again
  const PrefixTree::Checkpoint checkpoint = tree_.checkpoint(node);
  if (checkpoint.stale && !checkpoint.pinned) checkpoints_->GiveBack(tree_.DropCheckpoint(node));
}

// Blocks that no checkpoint needs first. Then, in memory that both share, the checkpoint that is worth
// least for what comes free with it. Of blocks alone what was left alone longest goes with its
// checkpoint: a leaf's blocks and what their replay costs grow alike, so only when it was used tells
// them apart.
void PrefixCache::Reclaim(int32_t blocks) {
  while (kv_->blocks_free() < blocks) {
    NodeId leaf = tree_.OldestBareLeaf();
    if (leaf == kNoNode) {
      const NodeId worst = slot_blocks_ > 0 ? Worst() : tree_.OldestIdleLeaf();
      CHECK(worst != kNoNode, "%d blocks wanted, %d free, and nothing to give up", blocks,
            kv_->blocks_free());
      Evict(worst);
      if (slot_blocks_ > 0) continue;
      leaf = worst;
    }
    GiveUp(leaf);
    ++stats_.blocks_evicted;
  }
}

void PrefixCache::TakeBlocks(int32_t count, std::vector<int32_t>* table) {
  Reclaim(count);
  kv_->Take(count, table);
}

// Gathers free blocks into a page for a state, by moving others that nobody uses.
bool PrefixCache::VacatePage() {
  return kv_->VacatePage(
      [this](int32_t block) {
        const NodeId node = node_of_[static_cast<size_t>(block)];
        return node != kNoNode && tree_.users(node) == 0;
      },
      [this](int32_t from, int32_t to) {
        const NodeId node = std::exchange(node_of_[static_cast<size_t>(from)], kNoNode);
        node_of_[static_cast<size_t>(to)] = node;
        tree_.MoveBlock(node, to);
      });
}

// Has a slot free, by giving up what is worth no more than `worth`. False: there is nothing like that.
// For what is worth nothing no blocks are moved.
bool PrefixCache::FreeSlot(double worth) {
  while (checkpoints_->slots_free() == 0) {
    if (slot_blocks_ > 0 && worth > 0 && checkpoints_->slots_used() < checkpoints_->slots_total()) {
      if (VacatePage()) continue;
      if (const NodeId leaf = tree_.OldestBareLeaf(); leaf != kNoNode) {
        GiveUp(leaf);
        ++stats_.blocks_evicted;
        continue;
      }
    }
    const NodeId worst = worth > 0 ? Worst() : WorstGuess();
    if (worst == kNoNode || worth < Worth(tree_.checkpoint(worst))) return false;
    Evict(worst);
  }
  return true;
}

// The same for a guess at where an unannounced beginning ends: while those are few at the cost of any other,
// then of the oldest of them.
bool PrefixCache::FreeSlotForUnannounced() {
  if (checkpoints_->slots_free() > 0) return true;
  const Guesses all = guesses();
  if (all.unannounced + held() < UnannouncedKept())
    return FreeSlot(std::numeric_limits<double>::infinity());
  const NodeId oldest = all.oldest != kNoNode ? all.oldest : all.oldest_unannounced;
  if (oldest != kNoNode) Evict(oldest);
  return checkpoints_->slots_free() > 0;
}

// A slot for a state at `position`, `replay_tokens` behind the one before it; kNoCheckpoint if every
// other is worth more, or if it would leave those who run without blocks.
int32_t PrefixCache::TakeCheckpoint(const PlacedCheckpoint& placed, int32_t replay_tokens,
                                    bool unannounced) {
  const auto free_slot = [&] {
    if (unannounced && placed.kind == CheckpointKind::kSpaced) return FreeSlotForUnannounced();
    return FreeSlot(Worth({.tokens = placed.position,
                           .replay_tokens = replay_tokens,
                           .stamp = eviction_->Stamp(),
                           .kind = placed.kind,
                           .at_leaf = true}));
  };
  const bool room = blocks_available() >= 2 * slot_blocks_;
  const std::optional<int32_t> slot = room && free_slot() ? checkpoints_->Take() : std::nullopt;
  if (!slot) ++stats_.checkpoints_refused;
  return slot.value_or(kNoCheckpoint);
}

// --- a step ---

bool PrefixCache::IsThere(const PrefixSequence& sequence, const PrefixHold& hold,
                          int32_t position) const {
  NodeId node = hold.leased;
  for (int32_t index = hold.published; index < position / kBlockTokens; ++index) {
    node = tree_.Find(node, PathOf(sequence, hold), index);
    if (node == kNoNode) return false;
  }
  return tree_.checkpoint(node).slot != kNoCheckpoint;
}

void PrefixCache::Emit(const PlacedCheckpoint& placed, int32_t index, bool unannounced,
                       PrefixHold* hold, std::vector<kernels::StateEmit>* emits) {
  const bool answer = placed.kind == CheckpointKind::kAnswer;
  int32_t slot = answer ? std::exchange(hold->answers[0].slot, kNoCheckpoint) : kNoCheckpoint;
  if (slot == kNoCheckpoint) {
    int32_t before = hold->last_state;
    for (const PrefixHold::State& state : hold->emitted)
      if (state.position < placed.position && state.kind != CheckpointKind::kSpaced)
        before = std::max(before, state.position);
    // Of what may be of use only when they end, generations hold half of the slots at most.
    if (answer && 2 * held() >= checkpoints_->slots_total()) {
      ++stats_.checkpoints_refused;
    } else {
      slot = TakeCheckpoint(placed, placed.position - before, unannounced);
    }
  }
  // Rather the newer border alone than the older.
  if (slot == kNoCheckpoint && answer) slot = std::exchange(hold->answers[1].slot, kNoCheckpoint);
  if (slot == kNoCheckpoint) return;
  hold->emitted.push_back({placed.position, slot, placed.kind});
  emits->push_back({.sequence = index, .position = placed.position, .checkpoint = slot});
}

void PrefixCache::PlanEmits(const PrefixSequence& sequence, PrefixHold* hold, int32_t index,
                            int32_t begin, int32_t end, std::vector<kernels::StateEmit>* emits) {
  if (!enabled_) return;
  CHECK(hold->emitted.empty());
  const size_t first = emits->size();
  const auto due = hold->placed.begin();
  const auto later = std::find_if(due, hold->placed.end(),
                                  [&](const auto& placed) { return placed.position > end; });
  // The stronger kinds first, should slots run out.
  std::sort(due, later, [](const PlacedCheckpoint& a, const PlacedCheckpoint& b) {
    return a.kind != b.kind ? a.kind > b.kind : a.position > b.position;
  });
  for (auto placed = due; placed != later; ++placed)
    if (placed->position > begin && !IsThere(sequence, *hold, placed->position))
      Emit(*placed, index, sequence.unannounced(), hold, emits);
  hold->placed.erase(due, later);
  // Borders that the generation passes.
  for (int32_t at = (std::max(begin, hold->known) / kBlockTokens + 1) * kBlockTokens; at <= end;
       at += kBlockTokens)
    Emit({at, CheckpointKind::kAnswer}, index, sequence.unannounced(), hold, emits);
  std::ranges::sort(hold->emitted, {}, &PrefixHold::State::position);
  std::ranges::sort(emits->begin() + static_cast<int64_t>(first), emits->end(), {},
                    &kernels::StateEmit::position);
  for (const PrefixHold::State& state : hold->emitted)
    if (state.kind != CheckpointKind::kSpaced) hold->last_state = state.position;
}

NodeId PrefixCache::Insert(NodeId parent, const BlockPath& path, int32_t index, int32_t block) {
  const NodeId node = tree_.Insert(parent, path, index, block);
  node_of_[static_cast<size_t>(block)] = node;
  unannounced_[static_cast<size_t>(node)] = 0;
  return node;
}

NodeId PrefixCache::NodeAt(NodeId below, int32_t position) const {
  NodeId node = below;
  while (tree_.tokens_to(node) > position) node = tree_.parent(node);
  CHECK(node != kNoNode && tree_.tokens_to(node) == position, "no block ends at %d", position);
  return node;
}

void PrefixCache::Attach(NodeId node, const PrefixHold::State& state) {
  if (tree_.checkpoint(node).slot != kNoCheckpoint) {  // another sequence was first
    checkpoints_->GiveBack(state.slot);
    return;
  }
  tree_.SetCheckpoint(node, state.slot, state.kind, eviction_->Stamp());
  ++stats_.checkpoints_made;
  ++version_;
  if (state.kind != CheckpointKind::kSpaced) Offer(node);
}

// The last two, the older one first.
void PrefixCache::KeepAnswer(const PrefixHold::State& state, PrefixHold* hold) {
  if (hold->answers[0].slot != kNoCheckpoint) checkpoints_->GiveBack(hold->answers[0].slot);
  hold->answers[0] = hold->answers[1];
  hold->answers[1] = state;
}

void PrefixCache::Commit(const PrefixSequence& sequence, PrefixHold* hold, int32_t computed,
                         std::vector<int32_t>* table) {
  if (!enabled_) return;
  if (hold->loading != kNoNode) {
    // One in between that is used is worth keeping for longer. Only now: what a copy pins is not there for
    // those whose blocks were planned with it.
    if (hold->first_use && !tree_.checkpoint(hold->loading).stale) Offer(hold->loading);
    Unpin(std::exchange(hold->loading, kNoNode));
  }
  ExtendBlockKeys(sequence.tokens.first(static_cast<size_t>(computed)), &hold->keys);
  const BlockPath path = PathOf(sequence, *hold);
  for (; (hold->published + 1) * kBlockTokens <= computed; ++hold->published) {
    int32_t& block = (*table)[static_cast<size_t>(hold->published)];
    NodeId node = tree_.Find(hold->leased, path, hold->published);
    if (node == kNoNode) {
      node = Insert(hold->leased, path, hold->published, block);
    } else {
      kv_->GiveBack(block);
      block = tree_.block(node);
    }
    tree_.LeaseChild(hold->leased, node);
    ++version_;
    hold->leased = node;
  }
  for (const PrefixHold::State& state : hold->emitted) {
    if (state.kind == CheckpointKind::kAnswer) {
      KeepAnswer(state, hold);
    } else {
      const NodeId node = NodeAt(hold->leased, state.position);
      unannounced_[static_cast<size_t>(node)] = sequence.unannounced();
      Attach(node, state);
    }
  }
  hold->emitted.clear();
}

void PrefixCache::Close(int32_t kept, bool maybe_cut, PrefixHold* hold,
                        std::vector<int32_t>* table) {
  CHECK(hold->emitted.empty() && hold->loading == kNoNode);
  bool published = false;  // a later one
  for (size_t i = hold->answers.size(); i-- > 0;) {
    PrefixHold::State& state = hold->answers[i];
    if (state.slot == kNoCheckpoint) continue;
    if (state.position <= kept && (!published || maybe_cut)) {
      Attach(NodeAt(hold->leased, state.position), state);
      published = true;
    } else {
      checkpoints_->GiveBack(state.slot);
    }
    state = {};
  }
  kv_->GiveBack(table, static_cast<size_t>(hold->published));
  table->clear();
  if (hold->leased != kNoNode) {
    tree_.Release(hold->leased);
    ++version_;  // as in Resume
  }
  hold->leased = kNoNode;
  hold->published = 0;
  hold->placed.clear();
  hold->looked_up = 0;
}

// --- the rest ---

void PrefixCache::CountFreed(std::span<const PrefixHold* const> holds,
                             std::span<const int32_t> table_blocks, std::vector<int32_t>* freed) {
  ++mark_;
  freed->clear();
  // A shared block comes free with the first of those who use it, since that one goes last.
  // And the states of an answer can be evicted once it has ended.
  for (size_t i = 0; i < holds.size(); ++i) {
    freed->push_back(table_blocks[i] - holds[i]->published + tree_.Mark(holds[i]->leased, mark_));
    for (const PrefixHold::State& state : holds[i]->answers)
      freed->back() += state.slot != kNoCheckpoint ? slot_blocks_ : 0;
  }
}

void PrefixCache::GiveUpAnswers(PrefixHold* hold) {
  if (slot_blocks_ == 0) return;  // no blocks come free
  for (PrefixHold::State& state : hold->answers)
    if (state.slot != kNoCheckpoint) {
      checkpoints_->GiveBack(std::exchange(state.slot, kNoCheckpoint));
      ++version_;
    }
}

void PrefixCache::Reset() {
  for (const auto& load : loading_) load->unwanted = true;
  const std::vector<NodeId> all(tree_.checkpoints().begin(), tree_.checkpoints().end());
  for (const NodeId node : all)
    if (tree_.checkpoint(node).pinned) {
      tree_.MarkStale(node);  // whoever reads it gives it back
    } else {
      checkpoints_->GiveBack(tree_.DropCheckpoint(node));
    }
  for (NodeId leaf = tree_.OldestBareLeaf(); leaf != kNoNode; leaf = tree_.OldestBareLeaf())
    GiveUp(leaf);
  if (tiers_) tiers_->Clear();
  ++version_;
}

PrefixStats PrefixCache::stats() const {
  PrefixStats stats = stats_;
  stats.block_tokens = kBlockTokens;
  stats.blocks_cached = tree_.size();
  stats.blocks_idle = tree_.idle();
  stats.checkpoints_total = checkpoints_->slots_total();
  stats.checkpoints_used = checkpoints_->slots_used();
  stats.checkpoint_bytes = checkpoints_->storage().layout.Bytes();
  if (tiers_) stats.tiers = tiers_->stats();
  return stats;
}

void PrefixCache::check_integrity(int32_t held_blocks, int32_t held_slots) const {
  tree_.check_integrity();
  kv_->check_integrity();
  checkpoints_->check_integrity();
  if (tiers_) tiers_->check_integrity();
  for (size_t block = 0; block < node_of_.size(); ++block)
    CHECK(node_of_[block] == kNoNode || tree_.block(node_of_[block]) == static_cast<int32_t>(block),
          "block %zu is not its node's", block);
  for (const auto& load : loading_) {
    held_blocks += static_cast<int32_t>(load->blocks.size());
    ++held_slots;
  }
  CHECK(kv_->blocks_used() == tree_.size() + held_blocks, "%d blocks used, %d cached, %d held",
        kv_->blocks_used(), tree_.size(), held_blocks);
  const int32_t slots_used = checkpoints_->slots_used();
  const auto cached = static_cast<int32_t>(tree_.checkpoints().size());
  CHECK(slots_used == cached + held_slots, "%d checkpoint slots used, %d cached, %d held",
        slots_used, cached, held_slots);
}

}  // namespace nextgate::engine
