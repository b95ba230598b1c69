#include "bench/prefix_sim/chunk_end.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "bench/prefix_sim/block_hash.h"

namespace nextgate::prefix_sim {

ChunkEnd::ChunkEnd(ChunkEndConfig config, const Budget& budget)
    : config_(std::move(config)), budget_(budget) {
  CHECK(config_.chunk_tokens > 0 && config_.chunk_tokens % kBlockTokens == 0);
}

int64_t ChunkEnd::TokensMax() const {
  return std::max<int64_t>(0, budget_.bytes - budget_.state_bytes) / budget_.block_bytes *
         kBlockTokens;
}

int32_t ChunkEnd::Serve(const Request& request) {
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  CHECK(prompt > 0 && ComputedTokens(request) <= TokensMax());
  ++request_;
  const std::vector<Hash128> hashes = BlockHashes(request, kBlockTokens);

  Block* resumed = nullptr;
  for (int64_t b = 0; b < (prompt - 1) / kBlockTokens; ++b) {
    const auto found = blocks_.find(hashes[b]);
    if (found == blocks_.end()) break;
    if (found->second.has_state) resumed = &found->second;
  }
  const int64_t reused = resumed == nullptr ? 0 : (resumed->depth + 1) * kBlockTokens;
  if (resumed != nullptr) KeepState(resumed);

  std::vector<Block*> path;
  for (const Hash128& hash : hashes)
    path.push_back(Use(hash, path.empty() ? nullptr : path.back()));
  for (int64_t end = reused; end < prompt;) {
    end = std::min(end + config_.chunk_tokens, prompt);
    if (end >= kBlockTokens) KeepState(path[end / kBlockTokens - 1]);
  }
  EvictTo(budget_.bytes - budget_.state_bytes);
  return static_cast<int32_t>(reused);
}

Usage ChunkEnd::usage() const {
  return {.kv_bytes = static_cast<int64_t>(blocks_.size()) * budget_.block_bytes,
          .state_bytes = static_cast<int64_t>(states_.size()) * budget_.state_bytes};
}

ChunkEnd::Block* ChunkEnd::Use(const Hash128& hash, Block* parent) {
  const auto [place, is_new] = blocks_.try_emplace(hash);
  Block* const block = &place->second;
  if (is_new) {
    block->hash = hash;
    block->parent = parent;
    block->depth = parent == nullptr ? 0 : parent->depth + 1;
    if (parent != nullptr && parent->children++ == 0) leaves_.erase(KvAge(parent));
  }
  const bool leaf = leaves_.erase(KvAge(block)) > 0 || is_new;
  block->used = request_;
  if (leaf) leaves_.insert(KvAge(block));
  return block;
}

void ChunkEnd::KeepState(Block* block) {
  if (block->has_state) states_.erase(StateAge(block));
  block->has_state = true;
  block->state_used = request_;
  states_.insert(StateAge(block));
}

void ChunkEnd::DropState(Block* block) {
  states_.erase(StateAge(block));
  block->has_state = false;
}

void ChunkEnd::EvictTo(int64_t bytes) {
  while (usage().total_bytes() > bytes) {
    CHECK(!leaves_.empty());
    if (!states_.empty() && *states_.begin() < *leaves_.begin()) {
      DropState(std::get<Block*>(*states_.begin()));
      continue;
    }
    Block* const block = std::get<Block*>(*leaves_.begin());
    leaves_.erase(leaves_.begin());
    if (block->has_state) DropState(block);
    Block* const parent = block->parent;
    if (parent != nullptr && --parent->children == 0) leaves_.insert(KvAge(parent));
    const Hash128 hash = block->hash;
    blocks_.erase(hash);
  }
}

void ChunkEnd::check_integrity() const {
  int64_t leaves = 0, states = 0;
  for (const auto& [hash, block] : blocks_) {
    CHECK(block.hash == hash);
    CHECK(block.parent == nullptr || blocks_.at(block.parent->hash).children > 0);
    leaves += block.children == 0;
    states += block.has_state;
  }
  CHECK(leaves == static_cast<int64_t>(leaves_.size()));
  CHECK(states == static_cast<int64_t>(states_.size()));
  CHECK(usage().total_bytes() <= budget_.bytes - budget_.state_bytes);
}

}  // namespace nextgate::prefix_sim
