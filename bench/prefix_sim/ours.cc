#include "bench/prefix_sim/ours.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "engine/model/config.h"

namespace nextgate::prefix_sim {
namespace {

constexpr int64_t kWorkingStateBytes = StateBytes(4);
constexpr int64_t kPagesAside = 4;  // of the longest request, for states that it holds

// A block of KV of one layer with one head of one dimension.
engine::ModelConfig SmallestModel() {
  engine::ModelConfig config;
  config.layer_types = {engine::LayerType::kFullAttention};
  config.num_key_value_heads = 1;
  config.head_dim = 1;
  return config;
}

constexpr kernels::CheckpointLayout kSmallestCheckpoint = {
    .layers = 1, .heads = 1, .key_dim = 1, .value_dim = 1, .channels = 1, .taps_kept = 1};

template <class Pool>
Pool Opened(Result<Pool> pool) {
  CHECK(pool.has_value(), "%s", pool.error().message.c_str());
  return *std::move(pool);
}

}  // namespace

struct Ours::Running {
  std::vector<int32_t> tokens;  // prompt and answer
  engine::PrefixSequence sequence;
  engine::PrefixHold hold;
  std::vector<int32_t> table;
  int32_t computed = 0;
};

Ours::Ours(OursConfig config, const Budget& budget) : config_(std::move(config)), budget_(budget) {
  CHECK(config_.step_tokens > 0 && config_.step_tokens % kBlockTokens == 0);
  const engine::ModelConfig model = SmallestModel();
  const int64_t page_blocks = (budget.state_bytes + budget.block_bytes - 1) / budget.block_bytes;
  const int64_t pages = (budget.bytes - kWorkingStateBytes) / (page_blocks * budget.block_bytes);
  CHECK(pages > kPagesAside);
  auto memory = Opened(engine::PagePool::Open(page_blocks * engine::KvPool::BlockBytes(model),
                                              static_cast<int32_t>(pages), "pages"));
  kv_ = engine::KvPool::OpenIn(model, memory);
  checkpoints_ =
      engine::CheckpointPool::OpenIn(kSmallestCheckpoint, memory, static_cast<int32_t>(pages));
  cache_ = std::make_unique<engine::PrefixCache>(true, kv_.get(), checkpoints_.get(),
                                                 config_.eviction());
}

int64_t Ours::TokensMax() const {
  return (kv_->blocks_total() - kPagesAside * kv_->page_blocks()) * kBlockTokens;
}

int32_t Ours::Serve(const Request& request) {
  const auto prompt = static_cast<int32_t>(request.prompt.size());
  const auto computed = static_cast<int32_t>(ComputedTokens(request));
  CHECK(prompt > 0 && computed <= TokensMax());
  Running running = {.tokens = request.prompt};
  running.sequence = {.tokens = request.prompt,
                      .resume_max = (prompt - 1) / engine::kBlockTokens * engine::kBlockTokens,
                      .borders = request.borders};
  cache_->Lookup(running.sequence, &running.hold);
  cache_->Resume(running.sequence, &running.hold, &running.table, /*counted=*/true);
  const int32_t reused = running.computed = running.hold.match.resume_tokens;

  running.tokens.insert(running.tokens.end(), request.answer.begin(), request.answer.end());
  running.sequence.tokens = running.tokens;
  const auto step = static_cast<int32_t>(config_.step_tokens);
  while (running.computed < prompt) ComputeTo(&running, std::min(running.computed + step, prompt));
  // A step a token: only those that complete a block change anything.
  while (running.computed < computed) {
    const int32_t border = (running.computed / engine::kBlockTokens + 1) * engine::kBlockTokens;
    ComputeTo(&running, std::min(border, computed));
  }
  cache_->Close(computed, /*maybe_cut=*/false, &running.hold, &running.table);
  return reused;
}

void Ours::ComputeTo(Running* running, int32_t end) {
  const auto blocks =
      static_cast<int32_t>(engine::BlocksFor(end)) - static_cast<int32_t>(running->table.size());
  cache_->TakeBlocks(blocks, &running->table);
  std::vector<kernels::StateEmit> emits;
  cache_->PlanEmits(running->sequence, &running->hold, /*index=*/0, running->computed, end, &emits);
  running->computed = end;
  cache_->Commit(running->sequence, &running->hold, end, &running->table);
}

Usage Ours::usage() const {
  const auto checkpoints = static_cast<int64_t>(cache_->tree().checkpoints().size());
  return {.kv_bytes = cache_->tree().size() * budget_.block_bytes,
          .state_bytes = checkpoints * budget_.state_bytes};
}

}  // namespace nextgate::prefix_sim
