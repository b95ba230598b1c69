// The radix tree of SGLang's prefix cache for hybrid models: a node is a run of 64-token pages with
// their KV, and at most one state, which belongs to the node's end. Nodes split where prompts part;
// a split leaves the upper part without a state.
//
// Two orders of use: a match refreshes the KV of its whole path, but only the one state it resumes
// from. KV is evicted leaf by leaf, a whole node at a time and its state with it; a state is evicted
// alone where the node has children, and with the node where it has none. Nodes that are left as
// leaves without a state go too. What a running request has locked stays.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <vector>

#include "base/hash.h"

namespace nextgate::prefix_sim {

class SglangTree {
 public:
  struct Node;

  SglangTree();
  ~SglangTree();

  int64_t pages() const { return pages_; }
  int64_t states() const { return static_cast<int64_t>(states_.size()); }

  struct Match {
    Node* node = nullptr;  // the deepest one with a state, or the root
    int64_t state_pages = 0;
    int64_t kv_pages = 0;
  };
  // Splits the node in which the match ends.
  Match Find(std::span<const Hash128> pages);

  struct Inserted {
    Node* node = nullptr;
    bool new_state = false;  // false: it had one
  };
  // Pages that the tree had keep the tree's copy. REQUIRES: at least one page.
  Inserted Insert(std::span<const Hash128> pages);

  // A lock keeps the KV up to the root, and the node's own state.
  void Lock(Node* node);
  void Unlock(Node* node);

  // Evicts one leaf, or one state. False: all that is left is locked.
  bool EvictKv();
  bool EvictState();

  // Aborts if the counters, the orders and the tree disagree.
  void check_integrity() const;

 private:
  using Order = std::set<std::pair<int64_t, Node*>>;  // by last use, oldest first

  Node* Split(Node* node, int64_t pages);
  void TouchPath(Node* node);
  void TouchState(Node* node);
  void EnterLeaf(Node* node);
  void DropState(Node* node);
  void DeleteLeaf(Node* node);

  std::unique_ptr<Node> root_;
  Order leaves_;
  Order states_;
  int64_t clock_ = 0;
  int64_t pages_ = 0;
};

}  // namespace nextgate::prefix_sim
