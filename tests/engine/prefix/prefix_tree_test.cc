// The tree against a naive model: a map from (scope, blocks of tokens) to what is there, every figure
// counted anew.
#include "engine/prefix/prefix_tree.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace nextgate::engine {
namespace {

// A path is a scope and one label a block; a block of label x differs from every other one in a single
// token, at a place that the labels choose.
struct Path {
  std::string scope;
  std::vector<int32_t> labels;
  auto operator<=>(const Path&) const = default;

  Path First(size_t blocks) const {
    return {scope, {labels.begin(), labels.begin() + static_cast<int64_t>(blocks)}};
  }
  bool IsBeginningOf(const Path& other) const {
    return labels.size() <= other.labels.size() && other.First(labels.size()) == *this;
  }
};

std::vector<int32_t> TokensOf(const Path& path) {
  std::vector<int32_t> tokens(path.labels.size() * kBlockTokens, 5);
  for (size_t i = 0; i < path.labels.size(); ++i)
    tokens[i * kBlockTokens + static_cast<size_t>(path.labels[i] * 31 % kBlockTokens)] = 6;
  return tokens;
}

// How keys are given: those of block_key.h, or ones that many blocks share.
enum class Keys { kReal, kFew, kOne };

struct Named {
  Named(Path path, Keys kind) : of(std::move(path)), tokens(TokensOf(of)) {
    keys = {ScopeKey(of.scope)};
    ExtendBlockKeys(tokens, &keys);
    for (BlockKey& key : keys)
      if (kind != Keys::kReal) key = {0, kind == Keys::kFew ? key.low % 3 : 1};
  }
  BlockPath view() const { return {of.scope, tokens, keys}; }

  Path of;
  std::vector<int32_t> tokens;
  std::vector<BlockKey> keys;
};

struct Facts {
  NodeId node = kNoNode;
  int32_t block = -1;
  uint64_t left = 0;  // when it was inserted or last released
  std::optional<PrefixTree::Checkpoint> checkpoint;
  int32_t pins = 0;
  uint64_t mark = 0;
};

class Model {
 public:
  std::map<Path, Facts> nodes;
  std::vector<Path> leases;

  int32_t Users(const Path& path) const {
    return static_cast<int32_t>(std::count_if(leases.begin(), leases.end(), [&](const Path& lease) {
      return path.IsBeginningOf(lease);
    }));
  }
  int32_t Children(const Path& path) const {
    return static_cast<int32_t>(std::count_if(nodes.begin(), nodes.end(), [&](const auto& other) {
      return other.first.labels.size() == path.labels.size() + 1 && path.IsBeginningOf(other.first);
    }));
  }
  bool IsIdleLeaf(const Path& path) const { return Users(path) == 0 && Children(path) == 0; }
  bool IsBare(const Path& path) const { return IsIdleLeaf(path) && !nodes.at(path).checkpoint; }
  static bool Counts(const Facts& facts) {
    return facts.checkpoint && facts.checkpoint->kind != CheckpointKind::kSpaced;
  }
  // What the tree must say of a checkpoint.
  PrefixTree::Checkpoint CheckpointAt(const Path& path) const {
    const Facts& facts = nodes.at(path);
    PrefixTree::Checkpoint c = *facts.checkpoint;
    size_t above = path.labels.size() - 1;
    while (above > 0 && !Counts(nodes.at(path.First(above)))) --above;
    if (!Counts(facts)) above = 0;
    c.tokens = static_cast<int32_t>(path.labels.size()) * kBlockTokens;
    c.replay_tokens = c.tokens - static_cast<int32_t>(above) * kBlockTokens;
    for (const auto& [other, below] : nodes)
      c.below +=
          other.labels.size() > path.labels.size() && path.IsBeginningOf(other) && Counts(below);
    c.branches = Children(path) > 1;
    c.pinned = facts.pins > 0;
    c.users = Users(path);
    c.at_leaf = c.users == 0 && Children(path) == 0;
    return c;
  }
  PrefixMatch Match(const Path& path, int32_t tokens_max) const {
    PrefixMatch match;
    int32_t idle = 0;
    for (size_t blocks = 1; blocks <= path.labels.size(); ++blocks) {
      const auto found = nodes.find(path.First(blocks));
      const auto tokens = static_cast<int32_t>(blocks) * kBlockTokens;
      if (found == nodes.end() || tokens > tokens_max) break;
      idle += Users(found->first) == 0;
      match.kv = found->second.node;
      match.kv_tokens = tokens;
      if (!found->second.checkpoint) continue;
      match.resume = found->second.node;
      match.resume_tokens = tokens;
      match.idle_blocks = idle;
    }
    return match;
  }
};

// Random operations on both.
class Pair {
 public:
  Pair(uint32_t seed, Keys keys, int32_t nodes_max)
      : random_(seed), keys_(keys), tree_(nodes_max), scopes_{"", "a", std::string("a\0", 2)} {}

  void Operate() {
    switch (Random(12)) {
      case 0:
      case 1:
      case 2:
        return Insert();
      case 3:
        return Lease();
      case 4:
        return LeaseChild();
      case 5:
      case 6:
        return Release();
      case 7:
        return SetCheckpoint();
      case 8:
        return DropCheckpoint();
      case 9:
        return PinOrUnpin();
      case 10:
        return Random(4) ? UseCheckpoint() : Mark();
      default:
        return Remove();
    }
  }

  void Check() {
    tree_.check_integrity();
    int32_t idle = 0;
    std::set<NodeId> with_checkpoint;
    uint64_t oldest = ~uint64_t{0};
    uint64_t oldest_other = oldest;
    for (const auto& [path, facts] : model_.nodes) {
      const NodeId node = facts.node;
      const int32_t users = model_.Users(path);
      idle += users == 0;
      const Path above = path.First(path.labels.size() - 1);
      ASSERT_EQ(tree_.users(node), users);
      ASSERT_EQ(tree_.block(node), facts.block);
      ASSERT_EQ(tree_.depth(node), static_cast<int32_t>(above.labels.size()));
      ASSERT_EQ(tree_.parent(node), above.labels.empty() ? kNoNode : model_.nodes.at(above).node);
      if (facts.checkpoint) CheckCheckpoint(path);
      if (facts.checkpoint) with_checkpoint.insert(node);
      if (!model_.IsIdleLeaf(path)) continue;
      uint64_t& left = facts.checkpoint ? oldest_other : oldest;
      left = std::min(left, facts.left);
    }
    ASSERT_EQ(tree_.size(), static_cast<int32_t>(model_.nodes.size()));
    ASSERT_EQ(tree_.idle(), idle);
    ASSERT_EQ(std::set<NodeId>(tree_.checkpoints().begin(), tree_.checkpoints().end()),
              with_checkpoint);
    const NodeId other = tree_.OldestIdleLeaf();
    ASSERT_EQ(other == kNoNode, oldest_other == ~uint64_t{0});
    if (other != kNoNode) {
      ASSERT_TRUE(FindNode(other)->second.checkpoint);
      ASSERT_EQ(FindNode(other)->second.left, oldest_other);
    }
    const NodeId bare = tree_.OldestBareLeaf();
    ASSERT_EQ(bare == kNoNode, oldest == ~uint64_t{0});
    if (bare == kNoNode) return;
    const auto found = FindNode(bare);
    ASSERT_TRUE(model_.IsBare(found->first));
    ASSERT_EQ(found->second.left, oldest) << "another leaf was left alone before it";
  }

  // Every beginning of a random path, every limit around its borders.
  void CheckLookups() {
    const Named path(RandomPath(5), keys_);
    for (int32_t limit = 0; limit <= 6 * kBlockTokens; limit += 1 + Random(40)) {
      const PrefixMatch got = tree_.Lookup(path.view(), limit);
      const PrefixMatch expected = model_.Match(path.of, limit);
      ASSERT_EQ(got.kv, expected.kv);
      ASSERT_EQ(got.kv_tokens, expected.kv_tokens);
      ASSERT_EQ(got.resume, expected.resume);
      ASSERT_EQ(got.resume_tokens, expected.resume_tokens);
      ASSERT_EQ(got.idle_blocks, expected.idle_blocks);
    }
    NodeId parent = kNoNode;
    for (size_t i = 0; i < path.of.labels.size(); ++i) {
      const auto found = model_.nodes.find(path.of.First(i + 1));
      const NodeId node = tree_.Find(parent, path.view(), static_cast<int32_t>(i));
      ASSERT_EQ(node, found == model_.nodes.end() ? kNoNode : found->second.node);
      if (node == kNoNode) break;
      parent = node;
    }
  }

  // Takes everything back, leaf by leaf.
  void Drain() {
    while (!model_.leases.empty()) Release();
    for (auto& [path, facts] : model_.nodes) {
      for (; facts.pins > 0; --facts.pins) tree_.Unpin(facts.node);
      if (!facts.checkpoint) continue;
      ASSERT_EQ(tree_.DropCheckpoint(facts.node), facts.checkpoint->slot);
      facts.checkpoint.reset();
    }
    for (NodeId leaf = tree_.OldestBareLeaf(); leaf != kNoNode; leaf = tree_.OldestBareLeaf()) {
      ASSERT_NO_FATAL_FAILURE(Check());
      const auto found = FindNode(leaf);
      ASSERT_EQ(tree_.Remove(leaf), found->second.block);
      model_.nodes.erase(found);
    }
    ASSERT_EQ(tree_.size() + tree_.idle(), 0);
    tree_.check_integrity();
  }

 private:
  using Entry = std::map<Path, Facts>::iterator;

  int32_t Random(int32_t below) {
    return static_cast<int32_t>(random_() % static_cast<uint32_t>(below));
  }
  Path RandomPath(int32_t blocks_max) {
    Path path{.scope = scopes_[Random(3)]};
    for (int32_t i = 1 + Random(blocks_max); i > 0; --i) path.labels.push_back(Random(3));
    return path;
  }
  Entry FindNode(NodeId node) {
    return std::find_if(model_.nodes.begin(), model_.nodes.end(),
                        [&](const auto& entry) { return entry.second.node == node; });
  }
  // A random node for which `wanted` holds; end() if there is none.
  template <class Wanted>
  Entry Any(Wanted wanted) {
    std::vector<Entry> all;
    for (auto it = model_.nodes.begin(); it != model_.nodes.end(); ++it)
      if (wanted(*it)) all.push_back(it);
    return all.empty() ? model_.nodes.end() : all[random_() % all.size()];
  }
  Entry Any() {
    return Any([](const auto&) { return true; });
  }
  Entry AnyCheckpoint(bool pinned) {
    return Any(
        [&](const auto& e) { return e.second.checkpoint && (pinned || e.second.pins == 0); });
  }

  void CheckCheckpoint(const Path& path) {
    const PrefixTree::Checkpoint got = tree_.checkpoint(model_.nodes.at(path).node);
    const PrefixTree::Checkpoint expected = model_.CheckpointAt(path);
    ASSERT_EQ(got.slot, expected.slot);
    ASSERT_EQ(got.tokens, expected.tokens);
    ASSERT_EQ(got.replay_tokens, expected.replay_tokens);
    ASSERT_EQ(got.hits, expected.hits);
    ASSERT_EQ(got.below, expected.below);
    ASSERT_EQ(got.branches, expected.branches);
    ASSERT_EQ(got.stamp, expected.stamp);
    ASSERT_EQ(got.kind, expected.kind);
    ASSERT_EQ(got.pinned, expected.pinned);
    ASSERT_EQ(got.at_leaf, expected.at_leaf);
    ASSERT_EQ(got.users, expected.users);
  }

  // The first block of a random path that is not there.
  void Insert() {
    if (tree_.size() == tree_.nodes_max()) return;
    const Named path(RandomPath(5), keys_);
    NodeId parent = kNoNode;
    for (size_t i = 0; i < path.of.labels.size(); ++i) {
      const auto found = model_.nodes.find(path.of.First(i + 1));
      if (found != model_.nodes.end()) {
        parent = found->second.node;
        continue;
      }
      const int32_t block = Random(1000);
      const NodeId node = tree_.Insert(parent, path.view(), static_cast<int32_t>(i), block);
      model_.nodes[path.of.First(i + 1)] = {.node = node, .block = block, .left = ++now_};
      return;
    }
  }
  void Remove() {
    const Entry entry = Any([&](const auto& e) { return model_.IsBare(e.first); });
    if (entry == model_.nodes.end()) return;
    ASSERT_EQ(tree_.Remove(entry->second.node), entry->second.block);
    model_.nodes.erase(entry);
  }
  void Lease() {
    const Entry entry = Any();
    if (entry == model_.nodes.end()) return;
    tree_.Lease(entry->second.node);
    model_.leases.push_back(entry->first);
  }
  // A lease moves to a child, or begins at the top.
  void LeaseChild() {
    const Entry child = Any();
    if (child == model_.nodes.end()) return;
    const Path above = child->first.First(child->first.labels.size() - 1);
    if (above.labels.empty()) {
      tree_.LeaseChild(kNoNode, child->second.node);
      model_.leases.push_back(child->first);
      return;
    }
    const auto lease = std::find(model_.leases.begin(), model_.leases.end(), above);
    if (lease == model_.leases.end()) return;
    tree_.LeaseChild(model_.nodes.at(above).node, child->second.node);
    *lease = child->first;
  }
  void Release() {
    if (model_.leases.empty()) return;
    std::swap(model_.leases[random_() % model_.leases.size()], model_.leases.back());
    const Path path = model_.leases.back();
    model_.leases.pop_back();
    tree_.Release(model_.nodes.at(path).node);
    ++now_;
    for (size_t blocks = 1; blocks <= path.labels.size(); ++blocks)
      model_.nodes.at(path.First(blocks)).left = now_;
  }
  void SetCheckpoint() {
    const Entry entry = Any([](const auto& e) { return !e.second.checkpoint; });
    if (entry == model_.nodes.end()) return;
    const PrefixTree::Checkpoint c{.slot = Random(1000),
                                   .stamp = static_cast<double>(Random(1000)),
                                   .kind = static_cast<CheckpointKind>(Random(6))};
    tree_.SetCheckpoint(entry->second.node, c.slot, c.kind, c.stamp);
    entry->second.checkpoint = c;
  }
  void DropCheckpoint() {
    const Entry entry = AnyCheckpoint(/*pinned=*/false);
    if (entry == model_.nodes.end()) return;
    ASSERT_EQ(tree_.DropCheckpoint(entry->second.node), entry->second.checkpoint->slot);
    entry->second.checkpoint.reset();
  }
  void PinOrUnpin() {
    const Entry entry = AnyCheckpoint(/*pinned=*/true);
    if (entry == model_.nodes.end()) return;
    if (entry->second.pins > 0 && Random(3) > 0) {
      tree_.Unpin(entry->second.node);
      --entry->second.pins;
    } else {
      tree_.Pin(entry->second.node);
      ++entry->second.pins;
    }
  }
  void UseCheckpoint() {
    const Entry entry = AnyCheckpoint(/*pinned=*/true);
    if (entry == model_.nodes.end()) return;
    PrefixTree::Checkpoint& c = *entry->second.checkpoint;
    c.stamp = static_cast<double>(Random(1000));
    ++c.hits;
    if (c.kind == CheckpointKind::kSpaced) c.kind = CheckpointKind::kMissed;
    tree_.CheckpointUsed(entry->second.node, c.stamp);
  }
  // Several paths with one mark: each node counts once.
  void Mark() {
    ++mark_;
    for (int i = Random(5); i > 0; --i) {
      const Entry entry = Any();
      if (entry == model_.nodes.end()) return;
      int32_t expected = 0;
      for (size_t blocks = 1; blocks <= entry->first.labels.size(); ++blocks)
        expected += std::exchange(model_.nodes.at(entry->first.First(blocks)).mark, mark_) != mark_;
      ASSERT_EQ(tree_.Mark(entry->second.node, mark_), expected);
    }
    ASSERT_EQ(tree_.Mark(kNoNode, mark_), 0);
  }

  std::mt19937 random_;
  const Keys keys_;
  PrefixTree tree_;
  Model model_;
  const std::vector<std::string> scopes_;
  uint64_t now_ = 0;
  uint64_t mark_ = 0;
};

TEST(PrefixTree, SaysWhatANaiveModelSaysUnderAnyOrderOfOperations) {
  for (const Keys keys : {Keys::kReal, Keys::kFew, Keys::kOne}) {
    for (uint32_t seed = 0; seed < 8; ++seed) {
      SCOPED_TRACE(testing::Message() << "seed " << seed << " keys " << static_cast<int>(keys));
      Pair pair(seed, keys, seed % 2 ? 6 : 40);
      for (int operation = 0; operation < 1200; ++operation) {
        ASSERT_NO_FATAL_FAILURE(pair.Operate());
        ASSERT_NO_FATAL_FAILURE(pair.Check());
        ASSERT_NO_FATAL_FAILURE(pair.CheckLookups());
      }
      ASSERT_NO_FATAL_FAILURE(pair.Drain());
    }
  }
}

// --- one rule each ---

constexpr auto kOne = Keys::kOne;

TEST(PrefixTree, TokensParentAndScopeDecideWhereKeysAreEqual) {
  PrefixTree tree(16);
  const Named a({"", {0, 2}}, kOne);
  const Named b({"", {1, 2}}, kOne);        // other tokens at the top, the same below
  const Named scoped({"a", {0, 2}}, kOne);  // the same tokens in another scope
  const NodeId a0 = tree.Insert(kNoNode, a.view(), 0, 10);
  EXPECT_EQ(tree.Find(kNoNode, b.view(), 0), kNoNode);
  EXPECT_EQ(tree.Find(kNoNode, scoped.view(), 0), kNoNode);
  const NodeId b0 = tree.Insert(kNoNode, b.view(), 0, 11);
  const NodeId s0 = tree.Insert(kNoNode, scoped.view(), 0, 12);
  const NodeId a1 = tree.Insert(a0, a.view(), 1, 13);
  EXPECT_EQ(tree.Find(b0, b.view(), 1), kNoNode) << "the parent is another";
  EXPECT_EQ(tree.Find(s0, scoped.view(), 1), kNoNode);
  EXPECT_EQ(tree.Find(a0, b.view(), 1), a1) << "below the top the scope is the parent's";
  EXPECT_EQ(tree.Lookup(b.view(), 128).kv, b0);
  EXPECT_EQ(tree.Lookup(scoped.view(), 128).kv, s0);
  EXPECT_EQ(tree.Lookup(a.view(), 128).kv, a1);
  // Out of the middle of the one chain.
  EXPECT_EQ(tree.Remove(b0), 11);
  EXPECT_EQ(tree.Find(kNoNode, b.view(), 0), kNoNode);
  EXPECT_EQ(tree.Lookup(a.view(), 128).kv, a1);
  EXPECT_EQ(tree.Lookup(scoped.view(), 64).kv, s0);
  tree.check_integrity();
}

TEST(PrefixTree, ALimitInsideABlockCutsTheBlockOff) {
  PrefixTree tree(4);
  const Named path({"", {0, 1, 2}}, Keys::kReal);
  NodeId node = kNoNode;
  for (int32_t i = 0; i < 3; ++i) node = tree.Insert(node, path.view(), i, i);
  tree.SetCheckpoint(node, 0, CheckpointKind::kEnd, 0);
  EXPECT_EQ(tree.Lookup(path.view(), 192).resume_tokens, 192);
  for (const int32_t limit : {0, 63, 64, 127, 128, 191}) {
    EXPECT_EQ(tree.Lookup(path.view(), limit).kv_tokens, limit / 64 * 64);
    EXPECT_EQ(tree.Lookup(path.view(), limit).resume, kNoNode);
  }
  EXPECT_EQ(tree.Lookup({"", path.tokens, {}}, 192).kv, kNoNode) << "no keys, no blocks";
}

TEST(PrefixTree, ANodeThatComesBackRemembersNothing) {
  PrefixTree tree(1);
  const Named scoped({"a", {0}}, Keys::kReal);
  NodeId node = tree.Insert(kNoNode, scoped.view(), 0, 3);
  tree.SetCheckpoint(node, 1, CheckpointKind::kMarked, 7);
  tree.CheckpointUsed(node, 9);
  EXPECT_EQ(tree.Mark(node, 5), 1);
  tree.DropCheckpoint(node);
  tree.Remove(node);
  const Named path({"", {1}}, Keys::kReal);
  node = tree.Insert(kNoNode, path.view(), 0, 4);
  EXPECT_EQ(tree.Lookup(scoped.view(), 64).kv, kNoNode);
  EXPECT_EQ(tree.Lookup(path.view(), 64).resume, kNoNode);
  EXPECT_EQ(tree.Mark(node, 5), 1);
  tree.SetCheckpoint(node, 2, CheckpointKind::kSpaced, 1);
  EXPECT_EQ(tree.checkpoint(node).hits, 0u);
  tree.check_integrity();
}

TEST(PrefixTree, WithoutRoomItIsAnEmptyTree) {
  PrefixTree tree(0);
  const Named path({"", {0}}, Keys::kReal);
  EXPECT_EQ(tree.Lookup(path.view(), 64).kv, kNoNode);
  EXPECT_EQ(tree.OldestBareLeaf(), kNoNode);
  tree.check_integrity();
}

TEST(PrefixTreeDeathTest, AbortsOnWhatItRequires) {
  PrefixTree tree(2);
  const Named path({"", {0, 1}}, Keys::kReal);
  const Named other({"", {1, 1}}, Keys::kReal);
  const NodeId top = tree.Insert(kNoNode, path.view(), 0, 0);
  EXPECT_DEATH(tree.Insert(kNoNode, path.view(), 0, 1), "Find");
  EXPECT_DEATH(tree.Insert(top, path.view(), 0, 1), "depth");
  const NodeId leaf = tree.Insert(top, path.view(), 1, 1);
  EXPECT_DEATH(tree.Insert(kNoNode, other.view(), 0, 2), "empty");
  EXPECT_DEATH(tree.Remove(top), "has children");
  EXPECT_DEATH(tree.DropCheckpoint(leaf), "kNoCheckpoint");
  EXPECT_DEATH(tree.Release(leaf), "once too often");
  EXPECT_DEATH(tree.LeaseChild(leaf, top), "parent");
  EXPECT_DEATH(tree.Pin(leaf), "kNoCheckpoint");
  tree.SetCheckpoint(leaf, 0, CheckpointKind::kEnd, 0);
  EXPECT_DEATH(tree.Remove(leaf), "checkpoint");
  EXPECT_DEATH(tree.Unpin(leaf), "pins");
  EXPECT_DEATH(tree.SetCheckpoint(leaf, 1, CheckpointKind::kEnd, 0), "kNoCheckpoint");
  tree.Pin(leaf);
  EXPECT_DEATH(tree.DropCheckpoint(leaf), "pins");
  tree.Unpin(leaf);
  tree.DropCheckpoint(leaf);
  tree.Lease(leaf);
  EXPECT_DEATH(tree.Remove(leaf), "users");
}

}  // namespace
}  // namespace nextgate::engine
