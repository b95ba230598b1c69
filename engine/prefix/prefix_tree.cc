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
    if (nodes_[node].slot == kNoCheckpoint) continue;
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

int32_t PrefixTree::Remove(NodeId id) {
  Node& node = nodes_[id];
  CHECK(node.is_bare, "node %d has children, users or a checkpoint", id);
  UnlinkBare(id);
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

// --- bare leaves ---

void PrefixTree::Reconsider(NodeId id) {
  const Node& node = nodes_[id];
  const bool bare = node.children == 0 && node.users == 0 && node.slot == kNoCheckpoint;
  if (bare == node.is_bare) return;
  if (bare) {
    LinkBare(id);
  } else {
    UnlinkBare(id);
  }
}

// Behind those that were left alone before it: mostly at one of the two ends.
void PrefixTree::LinkBare(NodeId id) {
  Node& node = nodes_[id];
  NodeId before = bare_tail_;
  if (bare_head_ != kNoNode && node.touched <= nodes_[bare_head_].touched) {
    before = kNoNode;
  } else {
    while (before != kNoNode && nodes_[before].touched > node.touched)
      before = nodes_[before].bare_before;
  }
  const NodeId after = before == kNoNode ? bare_head_ : nodes_[before].bare_after;
  node.is_bare = true;
  node.bare_before = before;
  node.bare_after = after;
  (before == kNoNode ? bare_head_ : nodes_[before].bare_after) = id;
  (after == kNoNode ? bare_tail_ : nodes_[after].bare_before) = id;
}

void PrefixTree::UnlinkBare(NodeId id) {
  Node& node = nodes_[id];
  (node.bare_before == kNoNode ? bare_head_ : nodes_[node.bare_before].bare_after) =
      node.bare_after;
  (node.bare_after == kNoNode ? bare_tail_ : nodes_[node.bare_after].bare_before) =
      node.bare_before;
  node.bare_before = node.bare_after = kNoNode;
  node.is_bare = false;
}

// --- checkpoints ---

bool PrefixTree::IsAbove(NodeId upper, NodeId lower) const {
  while (lower != kNoNode && nodes_[lower].depth > nodes_[upper].depth)
    lower = nodes_[lower].parent;
  return lower == upper;
}

void PrefixTree::SetCheckpoint(NodeId id, int32_t slot, CheckpointKind kind, double stamp) {
  Node& node = nodes_[id];
  CHECK(node.slot == kNoCheckpoint && slot >= 0);
  node.slot = slot;
  node.kind = kind;
  node.stamp = stamp;
  node.hits = 0;
  node.pins = 0;
  node.above = kNoNode;
  for (NodeId up = node.parent; up != kNoNode; up = nodes_[up].parent) {
    ++nodes_[up].checkpoints_below;
    if (node.above == kNoNode && nodes_[up].slot != kNoCheckpoint) node.above = up;
  }
  if (node.checkpoints_below > 0) {
    for (const NodeId other : checkpointed_)
      if (nodes_[other].above == node.above && IsAbove(id, other)) nodes_[other].above = id;
  }
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
  for (NodeId up = node.parent; up != kNoNode; up = nodes_[up].parent)
    --nodes_[up].checkpoints_below;
  if (node.checkpoints_below > 0) {
    for (const NodeId other : checkpointed_)
      if (nodes_[other].above == id) nodes_[other].above = node.above;
  }
  const int32_t slot = node.slot;
  node.slot = kNoCheckpoint;
  node.above = kNoNode;
  Reconsider(id);
  return slot;
}

void PrefixTree::Pin(NodeId node) {
  CHECK(nodes_[node].slot != kNoCheckpoint);
  ++nodes_[node].pins;
}

void PrefixTree::Unpin(NodeId node) {
  CHECK(nodes_[node].pins > 0);
  --nodes_[node].pins;
}

void PrefixTree::CheckpointUsed(NodeId node, double stamp) {
  CHECK(nodes_[node].slot != kNoCheckpoint);
  ++nodes_[node].hits;
  nodes_[node].stamp = stamp;
}

PrefixTree::Checkpoint PrefixTree::checkpoint(NodeId id) const {
  const Node& node = nodes_[id];
  return {.slot = node.slot,
          .tokens = tokens_to(id),
          .replay_tokens = tokens_to(id) - tokens_to(node.above),
          .hits = node.hits,
          .stamp = node.stamp,
          .kind = node.kind,
          .pinned = node.pins > 0,
          .at_leaf = node.children == 0 && node.users == 0,
          .users = node.users};
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
  size_t with_checkpoint = 0;
  for (NodeId id = 0; id < nodes_max(); ++id) {
    const Node& node = nodes_[id];
    if (node.depth < 0) continue;
    ++live;
    idle += node.users == 0 ? 1 : 0;
    bare += node.is_bare ? 1 : 0;
    if (node.parent != kNoNode) {
      CHECK(nodes_[node.parent].depth == node.depth - 1, "node %d hangs on nothing", id);
      ++children[node.parent];
      used_below[node.parent] += node.users;
    } else {
      CHECK(node.depth == 0);
    }
    if (node.slot == kNoCheckpoint) continue;
    ++with_checkpoint;
    CHECK(checkpointed_[static_cast<size_t>(node.index_in_list)] == id);
    NodeId above = kNoNode;
    for (NodeId up = node.parent; up != kNoNode; up = nodes_[up].parent) {
      ++checkpoints_below[up];
      if (above == kNoNode && nodes_[up].slot != kNoCheckpoint) above = up;
    }
    CHECK(above == node.above, "checkpoint %d: above it is %d, not %d", id, above, node.above);
  }
  for (NodeId id = 0; id < nodes_max(); ++id) {
    const Node& node = nodes_[id];
    if (node.depth < 0) continue;
    CHECK(children[id] == node.children && used_below[id] <= node.users);
    CHECK(checkpoints_below[id] == node.checkpoints_below);
    CHECK(node.is_bare == (node.children == 0 && node.users == 0 && node.slot == kNoCheckpoint));
  }
  CHECK(live == size_ && idle == idle_ && with_checkpoint == checkpointed_.size());
  CHECK(static_cast<size_t>(live) + free_.size() == nodes_.size(), "a node is lost");
  uint64_t touched = 0;
  for (NodeId id = bare_head_; id != kNoNode; id = nodes_[id].bare_after) {
    CHECK(nodes_[id].is_bare && nodes_[id].touched >= touched);
    touched = nodes_[id].touched;
    --bare;
  }
  CHECK(bare == 0, "the list of bare leaves is torn");
}

}  // namespace nextgate::engine
