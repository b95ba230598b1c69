#include "bench/prefix_sim/sglang_extra_buffer.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "bench/prefix_sim/block_hash.h"

namespace nextgate::prefix_sim {
namespace {

constexpr int64_t kSlotsOfOneRequest = 3;

int64_t PagesFor(int64_t tokens) { return (tokens + kBlockTokens - 1) / kBlockTokens; }

}  // namespace

SglangExtraBuffer::SglangExtraBuffer(SglangExtraBufferConfig config, const Budget& budget)
    : config_(std::move(config)),
      budget_(budget),
      slots_(static_cast<int64_t>(static_cast<double>(budget.bytes) * config_.state_share) /
             budget.state_bytes),
      pages_((budget.bytes - slots_ * budget.state_bytes) / budget.block_bytes) {
  CHECK(slots_ >= 2 * kSlotsOfOneRequest, "%d slots are too few", static_cast<int>(slots_));
  CHECK(config_.track_interval % kBlockTokens == 0 && config_.chunk_tokens % kBlockTokens == 0);
}

int64_t SglangExtraBuffer::TokensMax() const { return pages_ * kBlockTokens; }

int32_t SglangExtraBuffer::Serve(const Request& request) {
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  const int64_t computed = ComputedTokens(request);
  CHECK(prompt > 0 && computed <= TokensMax());

  const std::vector<Hash128> hashes = BlockHashes(request, kBlockTokens);
  const std::span<const Hash128> pages = hashes;
  const auto match = tree_.Find(pages.first((prompt - 1) / kBlockTokens));
  Running running = {.node = match.node, .tree_pages = match.state_pages};
  tree_.Lock(running.node);
  for (int64_t slot = 0; slot < kSlotsOfOneRequest; ++slot) TakeSlot(&running);

  const int64_t branch = match.kv_pages > match.state_pages ? match.kv_pages * kBlockTokens : 0;
  Prefill(&running, pages, branch, match.state_pages * kBlockTokens, prompt);
  TakePages(&running, computed);
  const int64_t kept = computed / config_.track_interval * config_.track_interval;
  if (kept > prompt) Keep(&running, pages.first(kept / kBlockTokens));
  tree_.Unlock(running.node);
  return static_cast<int32_t>(match.state_pages * kBlockTokens);
}

void SglangExtraBuffer::Prefill(Running* running, std::span<const Hash128> pages, int64_t branch,
                                int64_t end, int64_t prompt) {
  while (end < prompt) {
    const int64_t start = end;
    end = std::min(start + config_.chunk_tokens, prompt);
    TakePages(running, end);
    if (end - start < kBlockTokens) continue;
    const int64_t kept = branch > start && branch < end ? branch : end;
    Keep(running, pages.first(kept / kBlockTokens));
  }
}

Usage SglangExtraBuffer::usage() const {
  return {.kv_bytes = tree_.pages() * budget_.block_bytes,
          .state_bytes = tree_.states() * budget_.state_bytes};
}

void SglangExtraBuffer::TakePages(Running* running, int64_t end) {
  running->own_pages = PagesFor(end) - running->tree_pages;
  while (tree_.pages() + running->own_pages > pages_) {
    CHECK(tree_.EvictKv(), "a request of %d tokens does not fit", static_cast<int>(end));
  }
}

void SglangExtraBuffer::TakeSlot(Running* running) {
  ++running->own_slots;
  while (tree_.states() + running->own_slots > slots_) CHECK(tree_.EvictState());
}

// The slot that holds the state goes to the tree, and the request takes another one.
void SglangExtraBuffer::Keep(Running* running, std::span<const Hash128> pages) {
  const auto inserted = tree_.Insert(pages);
  const auto kept = static_cast<int64_t>(pages.size());
  running->own_pages -= kept - running->tree_pages;
  running->tree_pages = kept;
  tree_.Lock(inserted.node);
  tree_.Unlock(std::exchange(running->node, inserted.node));
  if (!inserted.new_state) return;
  --running->own_slots;
  TakeSlot(running);
}

}  // namespace nextgate::prefix_sim
