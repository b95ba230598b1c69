// PrefixCache's side of the lower tiers: what comes up from them for a sequence that waits, and what is
// copied down.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/sha256.h"
#include "engine/prefix/prefix_cache.h"

namespace nextgate::engine {

bool PrefixCache::Loads(const PrefixSequence& sequence, int32_t blocks_spared, PrefixHold* hold) {
  if (!enabled_ || !tiers_) return false;
  if (hold->load) {
    if (!hold->load->done && Clock::System().MonotonicNs() < hold->load_until_ns) return true;
    hold->load.reset();
    return false;
  }
  if (hold->load_tried || hold->tiers_looked == tiers_->version()) return false;
  const auto found = tiers_->Find(sequence.scope, sequence.tokens, hold->keys,
                                  hold->match.resume_tokens, sequence.resume_max);
  if (!found) {
    hold->tiers_looked = tiers_->version();
    return false;
  }
  const BlockKey& key = found->chain.back()->key;
  const auto same = std::find_if(loading_.begin(), loading_.end(),
                                 [&](const auto& load) { return load->keys.back() == key; });
  const int32_t blocks = std::max(0, found->tokens - hold->match.kv_tokens) / kBlockTokens;
  const int32_t matched = hold->match.kv_tokens / kBlockTokens;  // at worst all of them idle
  const int32_t needed = matched + blocks + blocks_spared + slot_blocks_;
  if (same == loading_.end() && blocks_available() < needed) return false;
  hold->load_tried = true;
  if (same != loading_.end()) {
    hold->load = *same;
  } else {
    StartLoad(sequence, *found, hold);
  }
  if (!hold->load) return false;
  hold->load_until_ns = Clock::System().MonotonicNs() + kLoadPatienceMs * 1'000'000;
  return true;
}

void PrefixCache::StartLoad(const PrefixSequence& sequence, const PrefixTiers::Found& found,
                            PrefixHold* hold) {
  auto load = std::make_shared<PrefixLoad>();
  load->scope = sequence.scope;
  load->tokens.assign(sequence.tokens.begin(), sequence.tokens.begin() + found.tokens);
  load->keys.assign(hold->keys.begin(), hold->keys.begin() + found.tokens / kBlockTokens + 1);
  load->kind = found.chain.back()->kind;
  load->leased = hold->match.kv;
  while (tree_.tokens_to(load->leased) > found.tokens) load->leased = tree_.parent(load->leased);
  tree_.Lease(load->leased);
  const int32_t there = tree_.tokens_to(load->leased) / kBlockTokens;
  load->slot = TakeCheckpoint({found.tokens, CheckpointKind::kMarked},
                              found.tokens - hold->match.resume_tokens, /*unannounced=*/false);
  if (load->slot == kNoCheckpoint) {
    tree_.Release(load->leased);
    return;
  }
  TakeBlocks(found.tokens / kBlockTokens - there, &load->blocks);
  std::vector<DevicePlace> places;
  for (const TierRecordPtr& record : found.chain) {
    DevicePlace& place = places.emplace_back();
    for (int32_t block = record->from / kBlockTokens; block < record->to / kBlockTokens; ++block)
      place.blocks.push_back(block < there ? -1 : load->blocks[static_cast<size_t>(block - there)]);
  }
  places.back().slot = load->slot;
  loading_.push_back(load);
  hold->load = load;
  ++version_;
  tiers_->Load(found, std::move(places), [this, load](bool ok) { EndLoad(load, ok); });
}

void PrefixCache::EndLoad(const std::shared_ptr<PrefixLoad>& load, bool ok) {
  std::erase(loading_, load);
  load->done = true;
  ++version_;
  if (!ok || load->unwanted) {
    kv_->GiveBack(&load->blocks);
    checkpoints_->GiveBack(load->slot);
    tree_.Release(load->leased);
    return;
  }
  const BlockPath path{load->scope, load->tokens, load->keys};
  NodeId node = load->leased;
  int32_t index = tree_.tokens_to(node) / kBlockTokens;
  for (const int32_t block : load->blocks) {
    NodeId child = tree_.Find(node, path, index);
    if (child == kNoNode) {
      child = Insert(node, path, index, block);
    } else {
      kv_->GiveBack(block);  // it was computed meanwhile
    }
    node = child;
    ++index;
  }
  Attach(node, {.position = tree_.tokens_to(node), .slot = load->slot, .kind = load->kind});
  tree_.Release(load->leased);
}

NodeId PrefixCache::TopOf(NodeId node) const {
  while (tree_.parent(node) != kNoNode) node = tree_.parent(node);
  return node;
}

// The record that continues what the tier has of the node's path.
TierRecordPtr PrefixCache::RecordOf(int32_t tier, NodeId node, DevicePlace* place) const {
  NodeId above = tree_.parent(node);
  while (above != kNoNode && !tiers_->Has(tier, tree_.key(above))) above = tree_.parent(above);
  auto record = std::make_shared<TierRecord>();
  record->key = tree_.key(node);
  const std::string& scope = tree_.scope(TopOf(node));
  record->above = above == kNoNode ? ScopeKey(scope) : tree_.key(above);
  record->scope_digest = Sha256(scope);
  record->from = tree_.tokens_to(above);
  record->to = tree_.tokens_to(node);
  record->kind = tree_.checkpoint(node).kind;
  record->tokens.resize(static_cast<size_t>(record->to - record->from));
  place->slot = tree_.checkpoint(node).slot;
  place->blocks.resize(static_cast<size_t>(record->blocks()));
  for (auto i = static_cast<size_t>(record->blocks()); i-- > 0; node = tree_.parent(node)) {
    std::copy_n(tree_.tokens(node).begin(), kBlockTokens,
                record->tokens.begin() + static_cast<int64_t>(i) * kBlockTokens);
    place->blocks[i] = tree_.block(node);
  }
  return record;
}

// The checkpoint of the node, and the KV it needs, will be copied to every tier that lacks it.
void PrefixCache::Offer(NodeId node) {
  if (!tiers_) return;
  for (int32_t tier = 0; tier < tiers_->count(); ++tier) {
    if (!tiers_->Wants(tier, tree_.key(node))) continue;
    auto& offers = offers_[static_cast<size_t>(tier)];
    offers.push_back({node, tree_.key(node)});
    if (offers.size() > kOffersMax) offers.pop_front();
  }
  CopyDown();
}

// What was offered and is still there, as far as the tiers may hold it. An offer holds nothing itself.
void PrefixCache::CopyDown() {
  for (int32_t tier = 0; tier < tiers_->count(); ++tier)
    for (auto& offers = offers_[static_cast<size_t>(tier)]; !offers.empty(); offers.pop_front()) {
      const auto [node, key] = offers.front();
      const bool there = tree_.depth(node) >= 0 && tree_.key(node) == key &&
                         tree_.checkpoint(node).slot != kNoCheckpoint &&
                         !tree_.checkpoint(node).stale;
      if (there && !CopyDown(tier, node)) break;
    }
}

// False: the tier has to be done with others first.
bool PrefixCache::CopyDown(int32_t tier, NodeId node) {
  const int32_t blocks_held = tree_.depth(node) + 1;
  if (!tiers_->Wants(tier, tree_.key(node))) return true;
  if (!tiers_->MayStore(tier, blocks_held)) return false;
  DevicePlace place;
  TierRecordPtr record = RecordOf(tier, node, &place);
  // What is long is copied and read in several pieces, if there are states for them.
  const NodeId above = tree_.checkpoint_above(node);
  if (record->blocks() > kRecordBlocksMax && tree_.tokens_to(above) > record->from) {
    if (!CopyDown(tier, above) || !tiers_->MayStore(tier, blocks_held)) return false;
    place = {};
    record = RecordOf(tier, node, &place);
  }
  tree_.Lease(node);
  tree_.Pin(node);
  tiers_->Store(tier, record, std::move(place), blocks_held, [this, node] {
    Unpin(node);
    tree_.Release(node);
    ++version_;
  });
  return true;
}

void PrefixCache::PollTiers() {
  if (!tiers_) return;
  tiers_->Poll();
  CopyDown();
}

void PrefixCache::WaitForTiers() {
  if (!tiers_idle()) tiers_->Wait(5);
}

void PrefixCache::DrainTiers() {
  if (!tiers_) return;
  const auto left_ms = [until_ns = Clock::System().MonotonicNs() + kDrainMs * 1'000'000] {
    return (until_ns - Clock::System().MonotonicNs()) / 1'000'000;
  };
  const auto offered = [](const auto& offers) { return !offers.empty(); };
  for (PollTiers(); std::ranges::any_of(offers_, offered) && left_ms() > 0; PollTiers())
    tiers_->Wait(100);
  tiers_->Drain(left_ms());
}

}  // namespace nextgate::engine
