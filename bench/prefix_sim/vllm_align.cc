#include "bench/prefix_sim/vllm_align.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "bench/prefix_sim/block_hash.h"

namespace nextgate::prefix_sim {
namespace {

constexpr int32_t kNone = VllmBlockPool::kNone;
constexpr int32_t kStatesOfOneRequest = 2;  // the newest one and the one it was copied from

int64_t RoundDown(int64_t tokens, int64_t block) { return tokens / block * block; }
int64_t BlocksFor(int64_t tokens, int64_t block) { return (tokens + block - 1) / block; }

int32_t BlocksIn(const VllmAlignConfig& config, const Budget& budget) {
  const int64_t bytes = config.block_tokens * kKvBytesPerToken;
  CHECK(3 * bytes >= budget.state_bytes, "blocks of %d tokens do not hold a state in three",
        static_cast<int>(config.block_tokens));
  CHECK(config.batched_tokens >= config.block_tokens);
  const int64_t blocks = budget.bytes / bytes - 1;  // one is the null block
  CHECK(blocks >= 10, "%d blocks are too few", static_cast<int>(blocks));
  return static_cast<int32_t>(blocks);
}

}  // namespace

int64_t VllmStepEnd(const VllmStep& step, const VllmAlignConfig& config) {
  const int64_t block = config.block_tokens;
  const int64_t last_kept = RoundDown(step.prompt, block);
  int64_t end = std::min(step.start + config.batched_tokens, step.prompt);
  if (end < last_kept) end = RoundDown(end, block);
  if (step.start < last_kept) end = std::min(end, last_kept);
  const int64_t junction = RoundDown(step.junction, block);
  if (step.start < junction) end = std::min(end, junction);
  return end;
}

VllmAlign::VllmAlign(VllmAlignConfig config, const Budget& budget)
    : config_(std::move(config)), pool_(BlocksIn(config_, budget), kStateGroups + 1) {}

int64_t VllmAlign::TokensMax() const {
  return (pool_.blocks_total() - kStatesOfOneRequest * kStateGroups) * config_.block_tokens;
}

int32_t VllmAlign::Serve(const Request& request) {
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  const int64_t computed = ComputedTokens(request);
  const int64_t block = config_.block_tokens;
  CHECK(prompt > 0 && computed <= TokensMax());

  Running running;
  running.hashes = BlockHashes(request, block);
  const Found found = Lookup(running.hashes, (prompt - 1) / block);
  Resume(&running, found.state_blocks);

  const int64_t junction = found.kv_blocks > found.state_blocks ? found.kv_blocks * block : 0;
  int64_t end = found.state_blocks * block;
  while (end < prompt) {
    end = VllmStepEnd({.start = end, .prompt = prompt, .junction = junction}, config_);
    ComputeTo(&running, end);
  }
  // A step a token: only those that complete or begin a block change anything.
  while (end < computed) {
    end = end % block == 0 ? end + 1 : std::min(RoundDown(end, block) + block, computed);
    ComputeTo(&running, end);
  }
  Finish(&running);
  return static_cast<int32_t>(found.state_blocks * block);
}

Usage VllmAlign::usage() const {
  const int64_t bytes = config_.block_tokens * kKvBytesPerToken;
  Usage usage = {.kv_bytes = pool_.blocks_named(kKvGroup) * bytes};
  for (int32_t g = 0; g < kStateGroups; ++g) usage.state_bytes += pool_.blocks_named(g) * bytes;
  return usage;
}

VllmAlign::Found VllmAlign::Lookup(const std::vector<Hash128>& hashes, int64_t blocks_max) const {
  Found found;
  while (found.kv_blocks < blocks_max && pool_.Find(kKvGroup, hashes[found.kv_blocks]) != kNone) {
    ++found.kv_blocks;
  }
  found.state_blocks = found.kv_blocks;
  while (found.state_blocks > 0 && !HasState(hashes[found.state_blocks - 1])) --found.state_blocks;
  return found;
}

bool VllmAlign::HasState(const Hash128& hash) const {
  for (int32_t g = 0; g < kStateGroups; ++g) {
    if (pool_.Find(g, hash) == kNone) return false;
  }
  return true;
}

void VllmAlign::Resume(Running* running, int64_t blocks) {
  running->state.fill(kNone);
  running->earlier_state.fill(kNone);
  running->state_block = blocks - 1;
  running->kv_named = blocks;
  if (blocks == 0) return;
  for (int32_t g = 0; g < kStateGroups; ++g) {
    running->state[g] = pool_.Find(g, running->hashes[blocks - 1]);
    pool_.Touch(running->state[g]);
  }
  for (int64_t b = 0; b < blocks; ++b) {
    running->kv.push_back(pool_.Find(kKvGroup, running->hashes[b]));
    pool_.Touch(running->kv.back());
  }
}

void VllmAlign::ComputeTo(Running* running, int64_t end) {
  const int64_t block = config_.block_tokens;
  ReleaseState(&running->earlier_state);
  const int64_t blocks = BlocksFor(end, block);
  if (running->state_block < blocks - 1) {
    running->earlier_state = running->state;
    for (int32_t& of_group : running->state) of_group = pool_.Take();
    running->state_block = blocks - 1;
  }
  while (static_cast<int64_t>(running->kv.size()) < blocks) running->kv.push_back(pool_.Take());

  for (; running->kv_named < end / block; ++running->kv_named) {
    pool_.Name(running->kv[running->kv_named], kKvGroup, running->hashes[running->kv_named]);
  }
  if (end % block == 0) {
    for (int32_t g = 0; g < kStateGroups; ++g) {
      pool_.Name(running->state[g], g, running->hashes[blocks - 1]);
    }
  }
}

void VllmAlign::ReleaseState(StateBlocks* state) {
  if (state->front() == kNone) return;
  for (int32_t& of_group : *state) pool_.Release(std::exchange(of_group, kNone));
}

void VllmAlign::Finish(Running* running) {
  ReleaseState(&running->earlier_state);
  ReleaseState(&running->state);
  for (size_t b = running->kv.size(); b-- > 0;) pool_.Release(running->kv[b]);
}

}  // namespace nextgate::prefix_sim
