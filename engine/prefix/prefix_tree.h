// The index of what was computed before: a radix tree whose nodes are blocks of 64 tokens. A node is
// named by its key (block_key.h) and identified by its parent, its tokens and, at the top, its scope.
// It stands for one block of KV and at most one checkpoint: the state after its last token. A prompt
// can be resumed only where a checkpoint is, and only if the KV of all blocks above is there, which
// the tree guarantees by its shape.
//
// It knows numbers of blocks and of checkpoint slots, no storage: PrefixCache moves those, the
// simulator in bench/ has none.
//
// Leases: who reads the blocks of a path leases its deepest node; every node above counts as used too.
// Blocks in use are never given up. Checkpoints are, unless pinned: while a step loads them, or while
// they are copied to a lower tier.
//
// A checkpoint in between (kSpaced) is a guess until it is resumed from, and what the others are worth
// does not depend on it: it is not counted. From its first use on it is kMissed, and counts.
//
// Invariants: (1) a node's parent outlives it; (2) users(node) = leases on it and below; (3) idle()
// nodes can all be removed, leaf by leaf, without touching a used one; (4) checkpoints that count are
// linked to the nearest above them that counts; (5) idle leaves (no child, no user) are in one list if
// they are bare (no checkpoint), in another if not, both with the longest unused first.
//
// Threads: the engine thread. Nothing is allocated after construction but the names of scopes.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/prefix/block_key.h"
#include "engine/prefix/placement.h"

namespace nextgate::engine {

using NodeId = int32_t;
inline constexpr NodeId kNoNode = -1;
inline constexpr int32_t kNoCheckpoint = -1;

// A sequence as the tree sees it. keys[0] is the scope's, keys[i + 1] block i's.
struct BlockPath {
  std::string_view scope;
  std::span<const int32_t> tokens;
  std::span<const BlockKey> keys;
};

struct PrefixMatch {
  NodeId kv = kNoNode;      // the deepest node whose tokens all match
  int32_t kv_tokens = 0;    // and how many those are
  NodeId resume = kNoNode;  // the deepest at or above it with a checkpoint
  int32_t resume_tokens = 0;
  int32_t idle_blocks = 0;  // of the blocks up to `resume`: used by nobody
};

class PrefixTree {
 public:
  explicit PrefixTree(int32_t nodes_max);
  PrefixTree(const PrefixTree&) = delete;

  // Matches at most the first `tokens_max` tokens (rounded down to blocks).
  PrefixMatch Lookup(const BlockPath& path, int32_t tokens_max) const;

  // The child of `parent` (kNoNode: the top) for block `index` of the path, or kNoNode.
  NodeId Find(NodeId parent, const BlockPath& path, int32_t index) const;
  // REQUIRES: Find says kNoNode; fewer than nodes_max nodes. The node has a KV block and no lease.
  NodeId Insert(NodeId parent, const BlockPath& path, int32_t index, int32_t block);
  // Its KV lies in another block now. REQUIRES: nobody uses the node.
  void MoveBlock(NodeId node, int32_t block);
  // Returns its block. REQUIRES: a bare leaf.
  int32_t Remove(NodeId node);

  void Lease(NodeId node);
  void Release(NodeId node);
  // From a node (kNoNode: from nothing) to its child.
  void LeaseChild(NodeId node, NodeId child);

  // REQUIRES: none there.
  void SetCheckpoint(NodeId node, int32_t slot, CheckpointKind kind, double stamp);
  // Returns its slot. REQUIRES: one is there, not pinned.
  int32_t DropCheckpoint(NodeId node);
  // While somebody reads or copies it, it stays. As often unpinned as pinned.
  void Pin(NodeId node);
  // Lookup does not find it any more; to be dropped once it is not pinned. REQUIRES: one is there.
  void MarkStale(NodeId node) { nodes_[node].is_stale = true; }
  void Unpin(NodeId node);
  // It was resumed from: once more, and `stamp` is its new age. From now on it counts.
  void CheckpointUsed(NodeId node, double stamp);

  struct Checkpoint {
    int32_t slot = kNoCheckpoint;
    int32_t tokens = 0;         // its position
    int32_t replay_tokens = 0;  // to it from the checkpoint above that counts
    uint32_t hits = 0;
    int32_t below = 0;      // checkpoints that count
    bool branches = false;  // more than one block continues it
    double stamp = 0;
    CheckpointKind kind = CheckpointKind::kSpaced;
    bool pinned = false;
    bool stale = false;
    bool at_leaf = false;  // nothing below it keeps its blocks
    int32_t users = 0;
    uint64_t touched = 0;  // when its block was last in use
  };
  Checkpoint checkpoint(NodeId node) const;
  // Of all nodes with one, in no order.
  std::span<const NodeId> checkpoints() const { return checkpointed_; }

  // The bare leaf that was left alone longest, or kNoNode.
  NodeId OldestBareLeaf() const { return bare_leaves_.head; }
  // The idle leaf with a checkpoint that was left alone longest, or kNoNode.
  NodeId OldestIdleLeaf() const { return other_leaves_.head; }

  NodeId parent(NodeId node) const { return nodes_[node].parent; }
  const BlockKey& key(NodeId node) const { return nodes_[node].key; }
  std::span<const int32_t> tokens(NodeId node) const { return nodes_[node].tokens; }
  const std::string& scope(NodeId top) const { return nodes_[top].scope; }
  NodeId checkpoint_above(NodeId node) const;  // the nearest, or kNoNode
  int32_t block(NodeId node) const { return nodes_[node].block; }
  int32_t depth(NodeId node) const { return nodes_[node].depth; }  // blocks above it
  int32_t users(NodeId node) const { return nodes_[node].users; }
  int32_t tokens_to(NodeId node) const {
    return node == kNoNode ? 0 : (nodes_[node].depth + 1) * kBlockTokens;
  }
  int32_t size() const { return size_; }
  int32_t idle() const { return idle_; }  // nodes without users
  // Checkpoints that nobody reads or copies.
  int32_t unpinned() const { return static_cast<int32_t>(checkpointed_.size()) - pinned_; }
  int32_t nodes_max() const { return static_cast<int32_t>(nodes_.size()); }

  // Marks the node and those above it up to the first that has this mark; how many were marked.
  // Marks only grow.
  int32_t Mark(NodeId node, uint64_t mark);

  // Aborts if an invariant does not hold. Linear in the tree.
  void check_integrity() const;

 private:
  struct LeafList {
    NodeId head = kNoNode;
    NodeId tail = kNoNode;
  };
  struct Node {
    BlockKey key;
    std::array<int32_t, kBlockTokens> tokens;
    std::string scope;  // of top nodes
    NodeId parent = kNoNode;
    NodeId next_in_bucket = kNoNode;
    int32_t depth = -1;  // −1: free
    int32_t block = -1;
    int32_t children = 0;
    int32_t users = 0;
    // List of idle leaves.
    LeafList* list = nullptr;  // that it is in
    NodeId leaf_before = kNoNode;
    NodeId leaf_after = kNoNode;
    uint64_t touched = 0;  // when it was last in use
    uint64_t mark = 0;
    // Checkpoint.
    int32_t slot = kNoCheckpoint;
    CheckpointKind kind = CheckpointKind::kSpaced;
    int32_t pins = 0;
    bool is_stale = false;
    uint32_t hits = 0;
    double stamp = 0;
    int32_t index_in_list = -1;     // in checkpointed_
    NodeId above = kNoNode;         // the nearest node above with a checkpoint that counts
    int32_t checkpoints_below = 0;  // that count
  };

  size_t Bucket(const BlockKey& key) const { return key.low & (buckets_.size() - 1); }
  bool Is(const Node& node, NodeId parent, const BlockPath& path, int32_t index) const;
  bool IsAbove(NodeId upper, NodeId lower) const;
  static bool Counts(const Node& node);  // it has a checkpoint that counts
  void Use(NodeId node);                 // + 1, up to the top
  void Unuse(NodeId node);               // − 1
  void Reconsider(NodeId node);          // in which list of leaves it is, if any
  void LinkLeaf(NodeId node);
  void UnlinkLeaf(NodeId node);
  void Count(NodeId node);    // its checkpoint, from now on
  void Uncount(NodeId node);  // no longer
  void CheckLeaves(const LeafList& list, int32_t count) const;

  std::vector<Node> nodes_;
  std::vector<NodeId> free_;     // a stack
  std::vector<NodeId> buckets_;  // a power of two of them, each the head of a chain
  std::vector<NodeId> checkpointed_;
  LeafList bare_leaves_;
  LeafList other_leaves_;
  int32_t size_ = 0;
  int32_t idle_ = 0;
  int32_t pinned_ = 0;  // checkpoints
  uint64_t clock_ = 0;
};

}  // namespace nextgate::engine
