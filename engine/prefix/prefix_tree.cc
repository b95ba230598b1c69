#include "engine/prefix/prefix_tree.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace nextgate::engine {

PrefixTree::PrefixTree(int32_t nodes_max)
    : nodes_(static_cast<size_t>(nodes_max)),
      buckets_(std::bit_ceil(static_cast<size_t>(std::max(nodes_max, 1)) * 2), kNoNode) {
  free_.reserve(nodes_.size());
  for (NodeId node = nodes_max; node-- > 0;) free_.push_back(node);
  checkpointed_.reserve(nodes_.size());
}

bool PrefixTree::Is(const Node& node, NodeId parent, const BlockPath& path, int32_t index) const {
  const auto first = path.tokens.begin() + int64_t{index} * kBlockTokens;
  return node.key == path.keys[static_cast<size_t>(index) + 1] && node.parent == parent &&
         std::equal(node.tokens.begin(), node.tokens.end(), first) &&
         (parent != kNoNode || node.scope == path.scope);
}

NodeId PrefixTree::Find(NodeId parent, const BlockPath& path, int32_t index) const {
  NodeId node = buckets_[Bucket(path.keys[static_cast<size_t>(index) + 1])];
  while (node != kNoNode && !Is(nodes_[node], parent, path, index))
    node = nodes_[node].next_in_bucket;
  return node;
}

PrefixMatch PrefixTree::Lookup(const BlockPath& path, int32_t tokens_max) const {
  PrefixMatch match;
  const int32_t blocks =
      std::min<int32_t>(tokens_max / kBlockTokens, static_cast<int32_t>(path.keys.size()) - 1);
  int32_t idle = 0;
  for (int32_t index = 0; index < blocks; ++index) {
    const NodeId node = Find(match.kv, path, index);
    if (node == kNoNode) break;
    match.kv = node;
    match.kv_tokens += kBlockTokens;
    idle += nodes_[node].users == 0 ? 1 : 0;
    if (nodes_[node].slot == kNoCheckpoint || nodes_[node].is_stale) continue;
    match.resume = node;
    match.resume_tokens = match.kv_tokens;
    match.idle_blocks = idle;
  }
  return match;
}

NodeId PrefixTree::Insert(NodeId parent, const BlockPath& path, int32_t index, int32_t block) {
  CHECK(!free_.empty() && index == (parent == kNoNode ? 0 : nodes_[parent].depth + 1));
  CHECK(Find(parent, path, index) == kNoNode);
  const NodeId id = free_.back();
  free_.pop_back();
  Node& node = nodes_[id];
  node = {};
  node.key = path.keys[static_cast<size_t>(index) + 1];
  std::copy_n(path.tokens.begin() + int64_t{index} * kBlockTokens, kBlockTokens,
              node.tokens.begin());
  if (parent == kNoNode) node.scope = path.scope;
  node.parent = parent;
  node.depth = index;
  node.block = block;
  node.touched = ++clock_;
  NodeId& head = buckets_[Bucket(node.key)];
  node.next_in_bucket = head;
  head = id;
  ++size_;
  ++idle_;
  if (parent != kNoNode) {
    ++nodes_[parent].children;
    Reconsider(parent);
  }
  Reconsider(id);
  return id;
}

void PrefixTree::MoveBlock(NodeId node, int32_t block) {
  CHECK(nodes_[node].users == 0);
  nodes_[node].block = block;
}

int32_t PrefixTree::Remove(NodeId id) {
  Node& node = nodes_[id];
  CHECK(node.list == &bare_leaves_, "node %d has children, users or a checkpoint", id);
  UnlinkLeaf(id);
  NodeId* link = &buckets_[Bucket(node.key)];
  while (*link != id) link = &nodes_[*link].next_in_bucket;
  *link = node.next_in_bucket;
  const NodeId parent = node.parent;
  const int32_t block = node.block;
  node = {};
  free_.push_back(id);
  --size_;
  --idle_;
  if (parent != kNoNode) {
    --nodes_[parent].children;
    Reconsider(parent);
  }
  return block;
}

// --- leases ---

void PrefixTree::Use(NodeId node) {
  idle_ -= nodes_[node].users++ == 0 ? 1 : 0;
  Reconsider(node);
}

void PrefixTree::Unuse(NodeId node) {
  CHECK(nodes_[node].users > 0, "node %d is given back once too often", node);
  idle_ += --nodes_[node].users == 0 ? 1 : 0;
  nodes_[node].touched = clock_;
  Reconsider(node);
}

void PrefixTree::Lease(NodeId node) {
  for (; node != kNoNode; node = nodes_[node].parent) Use(node);
}

void PrefixTree::Release(NodeId node) {
  ++clock_;
  for (; node != kNoNode; node = nodes_[node].parent) Unuse(node);
}

void PrefixTree::LeaseChild(NodeId node, NodeId child) {
  CHECK(nodes_[child].parent == node);
  Use(child);
}

// --- idle leaves ---

void PrefixTree::Reconsider(NodeId id) {
  Node& node = nodes_[id];
  LeafList* list = nullptr;
  if (node.children == 0 && node.users == 0)
    list = node.slot == kNoCheckpoint ? &bare_leaves_ : &other_leaves_;
  if (list == node.list) return;
  if (node.list) UnlinkLeaf(id);
  node.list = list;
  if (list) LinkLeaf(id);
}

// Behind those that were left alone before it: mostly at one of the two ends.
void PrefixTree::LinkLeaf(NodeId id) {
  Node& node = nodes_[id];
  LeafList& list = *node.list;
  NodeId before = list.tail;
  if (list.head != kNoNode && node.touched <= nodes_[list.head].touched) {
    before = kNoNode;
  } else {
    while (before != kNoNode && nodes_[before].touched > node.touched)
      before = nodes_[before].leaf_before;
  }
  const NodeId after = before == kNoNode ? list.head : nodes_[before].leaf_after;
  node.leaf_before = before;
  node.leaf_after = after;
  (before == kNoNode ? list.head : nodes_[before].leaf_after) = id;
  (after == kNoNode ? list.tail : nodes_[after].leaf_before) = id;
}

void PrefixTree::UnlinkLeaf(NodeId id) {
  Node& node = nodes_[id];
  LeafList& list = *node.list;
  (node.leaf_before == kNoNode ? list.head : nodes_[node.leaf_before].leaf_after) = node.leaf_after;
  (node.leaf_after == kNoNode ? list.tail : nodes_[node.leaf_after].leaf_before) = node.leaf_before;
  node.leaf_before = node.leaf_after = kNoNode;
  node.list = nullptr;
}

// --- checkpoints ---

bool PrefixTree::Counts(const Node& node) {
  return node.slot != kNoCheckpoint && node.kind != CheckpointKind::kSpaced;
}

bool PrefixTree::IsAbove(NodeId upper, NodeId lower) const {
  while (lower != kNoNode && nodes_[lower].depth > nodes_[upper].depth)
    lower = nodes_[lower].parent;
  return lower == upper;
}

void PrefixTree::Count(NodeId id) {
  Node& node = nodes_[id];
  for (NodeId up = node.parent; up != kNoNode; up = nodes_[up].parent) {
    ++nodes_[up].checkpoints_below;
    if (node.above == kNoNode && Counts(nodes_[up])) node.above = up;
  }
  if (node.checkpoints_below == 0) return;
  for (const NodeId other : checkpointed_)
    if (Counts(nodes_[other]) && nodes_[other].above == node.above && other != id &&
        IsAbove(id, other))
      nodes_[other].above = id;
}

void PrefixTree::Uncount(NodeId id) {
  Node& node = nodes_[id];
  for (NodeId up = node.parent; up != kNoNode; up = nodes_[up].parent)
    --nodes_[up].checkpoints_below;
  if (node.checkpoints_below > 0) {
    for (const NodeId other : checkpointed_)
      if (nodes_[other].above == id) nodes_[other].above = node.above;
  }
  node.above = kNoNode;
}

void PrefixTree::SetCheckpoint(NodeId id, int32_t slot, CheckpointKind kind, double stamp) {
  Node& node = nodes_[id];
  CHECK(node.slot == kNoCheckpoint && slot >= 0);
  node.slot = slot;
  node.kind = kind;
  node.stamp = stamp;
  node.hits = 0;
  node.pins = 0;
  node.is_stale = false;
  if (Counts(node)) Count(id);
  node.index_in_list = static_cast<int32_t>(checkpointed_.size());
  checkpointed_.push_back(id);
  Reconsider(id);
}

int32_t PrefixTree::DropCheckpoint(NodeId id) {
  Node& node = nodes_[id];
  CHECK(node.slot != kNoCheckpoint && node.pins == 0);
  const NodeId last = checkpointed_.back();
  checkpointed_[static_cast<size_t>(node.index_in_list)] = last;
  nodes_[last].index_in_list = node.index_in_list;
  checkpointed_.pop_back();
  node.index_in_list = -1;
  if (Counts(node)) Uncount(id);
  const int32_t slot = node.slot;
  node.slot = kNoCheckpoint;
  Reconsider(id);
  return slot;
}

void PrefixTree::Pin(NodeId node) {
  CHECK(nodes_[node].slot != kNoCheckpoint);
  pinned_ += nodes_[node].pins++ == 0 ? 1 : 0;
}

void PrefixTree::Unpin(NodeId node) {
  CHECK(nodes_[node].pins > 0);
  pinned_ -= --nodes_[node].pins == 0 ? 1 : 0;
}

void PrefixTree::CheckpointUsed(NodeId id, double stamp) {
  Node& node = nodes_[id];
  CHECK(node.slot != kNoCheckpoint);
  ++node.hits;
  node.stamp = stamp;
  if (Counts(node)) return;
  node.kind = CheckpointKind::kMissed;
  Count(id);
}

NodeId PrefixTree::checkpoint_above(NodeId node) const {
  do node = nodes_[node].parent;
  while (node != kNoNode && nodes_[node].slot == kNoCheckpoint);
  return node;
}

PrefixTree::Checkpoint PrefixTree::checkpoint(NodeId id) const {
  const Node& node = nodes_[id];
  return {.slot = node.slot,
          .tokens = tokens_to(id),
          .replay_tokens = tokens_to(id) - tokens_to(node.above),
          .hits = node.hits,
          .below = node.checkpoints_below,
          .branches = node.children > 1,
          .stamp = node.stamp,
          .kind = node.kind,
          .pinned = node.pins > 0,
          .stale = node.is_stale,
          .at_leaf = node.children == 0 && node.users == 0,
          .users = node.users,
          .touched = node.touched};
}

int32_t PrefixTree::Mark(NodeId node, uint64_t mark) {
  int32_t count = 0;
  for (; node != kNoNode && nodes_[node].mark != mark; node = nodes_[node].parent, ++count)
    nodes_[node].mark = mark;
  return count;
}

void PrefixTree::check_integrity() const {
  std::vector<int32_t> children(nodes_.size(), 0);
  std::vector<int32_t> used_below(nodes_.size(), 0);
  std::vector<int32_t> checkpoints_below(nodes_.size(), 0);
  int32_t live = 0;
  int32_t idle = 0;
  int32_t bare = 0;
  int32_t other = 0;
  int32_t pinned = 0;
  size_t with_checkpoint = 0;
  for (NodeId id = 0; id < nodes_max(); ++id) {
    const Node& node = nodes_[id];
    if (node.depth < 0) continue;
    ++live;
    idle += node.users == 0 ? 1 : 0;
    bare += node.list == &bare_leaves_ ? 1 : 0;
    other += node.list == &other_leaves_ ? 1 : 0;
    if (node.parent != kNoNode) {
      CHECK(nodes_[node.parent].depth == node.depth - 1, "node %d hangs on nothing", id);
      ++children[node.parent];
      used_below[node.parent] += node.users;
    } else {
      CHECK(node.depth == 0);
    }
    if (node.slot == kNoCheckpoint) continue;
    ++with_checkpoint;
    pinned += node.pins > 0 ? 1 : 0;
    CHECK(checkpointed_[static_cast<size_t>(node.index_in_list)] == id);
    NodeId above = kNoNode;
    for (NodeId up = node.parent; Counts(node) && up != kNoNode; up = nodes_[up].parent) {
      ++checkpoints_below[up];
      if (above == kNoNode && Counts(nodes_[up])) above = up;
    }
    CHECK(above == node.above, "checkpoint %d: above it is %d, not %d", id, above, node.above);
  }
  for (NodeId id = 0; id < nodes_max(); ++id) {
    const Node& node = nodes_[id];
    if (node.depth < 0) continue;
    CHECK(children[id] == node.children && used_below[id] <= node.users);
    CHECK(checkpoints_below[id] == node.checkpoints_below);
    CHECK((node.list != nullptr) == (node.children == 0 && node.users == 0));
    CHECK((node.list == &other_leaves_) == (node.list != nullptr && node.slot != kNoCheckpoint));
  }
  CHECK(live == size_ && idle == idle_ && with_checkpoint == checkpointed_.size() &&
        pinned == pinned_);
  CHECK(static_cast<size_t>(live) + free_.size() == nodes_.size(), "a node is lost");
  CheckLeaves(bare_leaves_, bare);
  CheckLeaves(other_leaves_, other);
}

void PrefixTree::CheckLeaves(const LeafList& list, int32_t count) const {
  uint64_t touched = 0;
  for (NodeId id = list.head; id != kNoNode; id = nodes_[id].leaf_after) {
    CHECK(nodes_[id].list == &list && nodes_[id].touched >= touched);
    touched = nodes_[id].touched;
    --count;
  }
  CHECK(count == 0, "a list of leaves is torn");
}

}  // namespace nextgate::engine
