#include "engine/prefix/prefix_report.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <utility>

#include "engine/prefix/prefix_cache.h"
#include "engine/prefix/prefix_tree.h"

namespace nextgate::engine {
namespace {

PrefixCheckpoint CheckpointAt(const PrefixTree& tree, NodeId node) {
  const PrefixTree::Checkpoint checkpoint = tree.checkpoint(node);
  return {.tokens = checkpoint.tokens, .kind = checkpoint.kind, .hits = checkpoint.hits};
}

bool HasCheckpoint(const PrefixTree& tree, NodeId node) {
  return tree.checkpoint(node).slot != kNoCheckpoint;
}

// The tree from above: PrefixTree knows parents only.
struct Children {
  explicit Children(const PrefixTree& tree)
      : first(static_cast<size_t>(tree.nodes_max()), kNoNode),
        next(static_cast<size_t>(tree.nodes_max()), kNoNode),
        blocks(static_cast<size_t>(tree.nodes_max()), 1) {
    std::vector<NodeId> by_depth;
    for (NodeId node = 0; node < tree.nodes_max(); ++node)
      if (tree.depth(node) >= 0) by_depth.push_back(node);
    std::ranges::sort(by_depth, std::greater<>(), [&](NodeId node) { return tree.depth(node); });
    for (const NodeId node : by_depth) {
      const NodeId parent = tree.parent(node);
      NodeId& head = parent == kNoNode ? top : first[static_cast<size_t>(parent)];
      next[static_cast<size_t>(node)] = std::exchange(head, node);
      if (parent != kNoNode)
        blocks[static_cast<size_t>(parent)] += blocks[static_cast<size_t>(node)];
    }
  }
  NodeId FirstOf(NodeId node) const { return first[static_cast<size_t>(node)]; }
  NodeId NextOf(NodeId node) const { return next[static_cast<size_t>(node)]; }
  int32_t BlocksOf(NodeId node) const { return blocks[static_cast<size_t>(node)]; }

  std::vector<NodeId> first, next;
  std::vector<int32_t> blocks;  // of the node and below it
  NodeId top = kNoNode;
};

}  // namespace

PrefixExplanation ExplainPrefix(const PrefixTree& tree, const PrefixSequence& sequence) {
  std::vector<BlockKey> keys = {ScopeKey(sequence.scope)};
  ExtendBlockKeys(sequence.tokens, &keys);
  const BlockPath path = {sequence.scope, sequence.tokens, keys};
  const PrefixMatch match = tree.Lookup(path, sequence.resume_max);
  const auto tokens = static_cast<int32_t>(sequence.tokens.size());
  PrefixExplanation explained{
      .prompt_tokens = tokens,
      .resume_max = sequence.resume_max,
      .limited = sequence.resume_max < (tokens - 1) / kBlockTokens * kBlockTokens,
      .matched_tokens = match.kv_tokens,
      .resumed_tokens = match.resume_tokens};
  const PrefixMatch known = tree.Lookup(path, tokens);
  explained.known_tokens = known.kv_tokens;
  for (NodeId node = known.kv; node != kNoNode; node = tree.parent(node))
    if (HasCheckpoint(tree, node)) explained.checkpoints.push_back(CheckpointAt(tree, node));
  std::ranges::reverse(explained.checkpoints);
  PlaceCheckpoints({.tokens = tokens,
                    .resumed = match.resume_tokens,
                    .matched = match.kv_tokens,
                    .borders = sequence.borders,
                    .marked = sequence.marked},
                   &explained.leaves);
  std::erase_if(explained.leaves, [&](const PlacedCheckpoint& placed) {  // it is there
    return std::ranges::find(explained.checkpoints, placed.position, &PrefixCheckpoint::tokens) !=
           explained.checkpoints.end();
  });
  return explained;
}

std::vector<PrefixNode> MapPrefixes(const PrefixTree& tree, int32_t nodes_max) {
  const Children children(tree);
  struct Run {
    int32_t blocks;  // at stake
    NodeId first;
    int32_t parent;
    bool operator<(const Run& other) const { return blocks < other.blocks; }
  };
  std::priority_queue<Run> runs;
  const auto add = [&](NodeId first, int32_t parent) {
    for (NodeId node = first; node != kNoNode; node = children.NextOf(node))
      runs.push({children.BlocksOf(node), node, parent});
  };
  std::vector<PrefixNode> map;
  for (add(children.top, -1); !runs.empty() && static_cast<int32_t>(map.size()) < nodes_max;) {
    const Run run = runs.top();
    runs.pop();
    NodeId last = run.first;
    while (!HasCheckpoint(tree, last)) {
      const NodeId below = children.FirstOf(last);
      if (below == kNoNode || children.NextOf(below) != kNoNode ||
          tree.users(below) != tree.users(run.first))
        break;
      last = below;
    }
    PrefixNode node{.parent = run.parent,
                    .begin = tree.depth(run.first) * kBlockTokens,
                    .tokens = tree.tokens_to(last) - tree.depth(run.first) * kBlockTokens,
                    .users = tree.users(run.first),
                    .blocks_below = children.BlocksOf(last) - 1};
    if (HasCheckpoint(tree, last)) node.checkpoint = CheckpointAt(tree, last);
    map.push_back(std::move(node));
    add(children.FirstOf(last), static_cast<int32_t>(map.size()) - 1);
  }
  return map;
}

}  // namespace nextgate::engine
