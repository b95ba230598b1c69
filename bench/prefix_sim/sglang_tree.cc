#include "bench/prefix_sim/sglang_tree.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace nextgate::prefix_sim {

struct SglangTree::Node {
  std::vector<Hash128> pages;  // empty for the root only
  Node* parent = nullptr;
  std::map<Hash128, std::unique_ptr<Node>> children;  // by their first page
  bool has_state = false;
  int32_t kv_locks = 0;
  int32_t state_locks = 0;
  int64_t kv_used = 0;
  int64_t state_used = 0;
};

SglangTree::SglangTree() : root_(std::make_unique<Node>()) {}
SglangTree::~SglangTree() = default;

SglangTree::Match SglangTree::Find(std::span<const Hash128> pages) {
  Match match = {.node = root_.get()};
  Node* node = root_.get();
  while (match.kv_pages < static_cast<int64_t>(pages.size())) {
    const auto rest = pages.subspan(match.kv_pages);
    const auto child = node->children.find(rest.front());
    if (child == node->children.end()) break;
    node = child->second.get();
    const auto parted = std::ranges::mismatch(node->pages, rest);
    const int64_t common = parted.in1 - node->pages.begin();
    const bool whole = parted.in1 == node->pages.end();
    if (!whole) node = Split(node, common);
    match.kv_pages += common;
    if (node->has_state) {
      match.node = node;
      match.state_pages = match.kv_pages;
    }
    if (!whole) break;
  }
  TouchPath(match.node);
  if (match.node->has_state) TouchState(match.node);
  return match;
}

SglangTree::Inserted SglangTree::Insert(std::span<const Hash128> pages) {
  CHECK(!pages.empty());
  Node* node = root_.get();
  while (!pages.empty()) {
    const auto child = node->children.find(pages.front());
    if (child == node->children.end()) {
      auto leaf = std::make_unique<Node>();
      leaf->pages.assign(pages.begin(), pages.end());
      leaf->parent = node;
      leaves_.erase({node->kv_used, node});
      pages_ += static_cast<int64_t>(pages.size());
      node = node->children.emplace(pages.front(), std::move(leaf)).first->second.get();
      EnterLeaf(node);
      break;
    }
    node = child->second.get();
    const auto parted = std::ranges::mismatch(node->pages, pages);
    const int64_t common = parted.in1 - node->pages.begin();
    if (parted.in1 != node->pages.end()) node = Split(node, common);
    pages = pages.subspan(common);
  }
  TouchPath(node);
  const bool new_state = !std::exchange(node->has_state, true);
  TouchState(node);
  return {.node = node, .new_state = new_state};
}

void SglangTree::Lock(Node* node) {
  ++node->state_locks;
  for (; node != nullptr; node = node->parent) ++node->kv_locks;
}

void SglangTree::Unlock(Node* node) {
  CHECK(node->state_locks-- > 0);
  for (; node != nullptr; node = node->parent) CHECK(node->kv_locks-- > 0);
}

bool SglangTree::EvictKv() {
  const auto oldest =
      std::ranges::find_if(leaves_, [](const auto& leaf) { return leaf.second->kv_locks == 0; });
  if (oldest == leaves_.end()) return false;
  DeleteLeaf(oldest->second);
  return true;
}

bool SglangTree::EvictState() {
  const auto oldest = std::ranges::find_if(
      states_, [](const auto& state) { return state.second->state_locks == 0; });
  if (oldest == states_.end()) return false;
  Node* node = oldest->second;
  if (node->children.empty() && node->kv_locks == 0) {
    DeleteLeaf(node);
  } else {
    DropState(node);
  }
  return true;
}

SglangTree::Node* SglangTree::Split(Node* node, int64_t pages) {
  auto upper = std::make_unique<Node>();
  Node* const result = upper.get();
  result->pages.assign(node->pages.begin(), node->pages.begin() + pages);
  result->parent = node->parent;
  result->kv_locks = node->kv_locks;
  result->kv_used = node->kv_used;
  auto& place = node->parent->children[result->pages.front()];
  std::unique_ptr<Node> lower = std::exchange(place, std::move(upper));
  lower->pages.erase(lower->pages.begin(), lower->pages.begin() + pages);
  lower->parent = result;
  const Hash128 first = lower->pages.front();
  result->children.emplace(first, std::move(lower));
  return result;
}

// From the node up: what is nearer to the root counts as used a little earlier.
void SglangTree::TouchPath(Node* node) {
  int64_t depth = 0;
  for (const Node* n = node; n != root_.get(); n = n->parent) ++depth;
  clock_ += depth;
  int64_t used = clock_;
  for (; node != root_.get(); node = node->parent) {
    const bool leaf = leaves_.erase({node->kv_used, node}) > 0;
    node->kv_used = used--;
    if (leaf) EnterLeaf(node);
  }
}

void SglangTree::TouchState(Node* node) {
  states_.erase({node->state_used, node});
  node->state_used = ++clock_;
  states_.emplace(node->state_used, node);
}

void SglangTree::EnterLeaf(Node* node) { leaves_.emplace(node->kv_used, node); }

void SglangTree::DropState(Node* node) {
  states_.erase({node->state_used, node});
  node->has_state = false;
}

void SglangTree::DeleteLeaf(Node* node) {
  while (true) {
    CHECK(node->children.empty() && node->kv_locks == 0 && node->state_locks == 0);
    Node* const parent = node->parent;
    leaves_.erase({node->kv_used, node});
    if (node->has_state) DropState(node);
    pages_ -= static_cast<int64_t>(node->pages.size());
    const Hash128 first = node->pages.front();
    parent->children.erase(first);
    if (parent == root_.get() || !parent->children.empty()) return;
    EnterLeaf(parent);
    if (parent->has_state || parent->kv_locks > 0) return;
    node = parent;
  }
}

void SglangTree::check_integrity() const {
  int64_t pages = 0, states = 0, leaves = 0;
  std::vector<const Node*> open = {root_.get()};
  while (!open.empty()) {
    const Node* const node = open.back();
    open.pop_back();
    pages += static_cast<int64_t>(node->pages.size());
    auto* const key = const_cast<Node*>(node);
    states += node->has_state;
    CHECK(node->has_state == states_.contains({node->state_used, key}));
    const bool leaf = node != root_.get() && node->children.empty();
    leaves += leaf;
    CHECK(leaf == leaves_.contains({node->kv_used, key}));
    for (const auto& [first, child] : node->children) {
      CHECK(child->parent == node && child->pages.front() == first);
      open.push_back(child.get());
    }
  }
  CHECK(pages == pages_, "%d pages in the tree, %d counted", static_cast<int>(pages),
        static_cast<int>(pages_));
  CHECK(states == static_cast<int64_t>(states_.size()));
  CHECK(leaves == static_cast<int64_t>(leaves_.size()));
}

}  // namespace nextgate::prefix_sim
