#include "engine/memory/memory_plan.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>

#include "engine/prefix/kv_pool.h"

namespace nextgate::engine {
namespace {

std::string Bytes(int64_t bytes) {
  if (bytes >= int64_t{1} << 30)
    return fmt::format("{:.2f} GiB", static_cast<double>(bytes) / (int64_t{1} << 30));
  return fmt::format("{:.2f} MiB", static_cast<double>(bytes) / (int64_t{1} << 20));
}

int64_t BudgetOf(const MemoryNeeds& n) {
  return static_cast<int64_t>(static_cast<double>(n.machine_bytes) * n.utilization);
}
int64_t FixedBytes(const MemoryNeeds& n) {
  return n.weight_bytes + n.activation_bytes + n.logit_bytes + n.slot_bytes * n.slots +
         n.host_tier_bytes;
}

std::string Arithmetic(const MemoryNeeds& n) {
  return fmt::format(
      "{} of memory x {} = {}; weights {}, activations {}, logits {}, {} states of {} = {}, host "
      "tier {}; left for KV and checkpoints: {}",
      Bytes(n.machine_bytes), n.utilization, Bytes(BudgetOf(n)), Bytes(n.weight_bytes),
      Bytes(n.activation_bytes), Bytes(n.logit_bytes), n.slots, Bytes(n.slot_bytes),
      Bytes(n.slot_bytes * n.slots), Bytes(n.host_tier_bytes),
      Bytes(std::max<int64_t>(0, BudgetOf(n) - FixedBytes(n))));
}

// Blocks that are useful: every sequence at full length, within the default's cap, but never less
// than one sequence at full length.
int64_t UsefulBlocks(const MemoryNeeds& n, int64_t block_bytes) {
  const int64_t one = BlocksFor(n.max_model_len);
  return std::max(one, std::min(one * n.slots, kDefaultKvBytesMax / block_bytes));
}

// What checkpoints may take of `left`: their share, or what was asked for.
int64_t CheckpointBytes(const MemoryNeeds& n, int64_t left) {
  if (n.checkpoints >= 0) return n.checkpoint_bytes * n.checkpoints;
  return static_cast<int64_t>(n.checkpoint_fraction * static_cast<double>(left));
}

// Where KV takes less than is left, checkpoints have the same share of what both take; and a block has at
// most one.
int32_t Checkpoints(const MemoryNeeds& n, int64_t for_checkpoints, int64_t blocks) {
  if (n.checkpoints >= 0) return n.checkpoints;
  if (n.checkpoint_bytes == 0) return 0;
  const double beside_kv = n.checkpoint_fraction / (1 - n.checkpoint_fraction) *
                           static_cast<double>(blocks * n.block_bytes);
  const int64_t bytes = std::min(for_checkpoints, static_cast<int64_t>(beside_kv));
  return static_cast<int32_t>(std::min(bytes / n.checkpoint_bytes, blocks));
}

// Both in one memory, unless the number of either was asked for. Rounding costs less than a page; what
// is so small that no checkpoint remains beside one sequence's blocks stays as it is.
void ShareMemory(MemoryPlan* plan) {
  const MemoryNeeds& n = plan->needs;
  if (n.kv_tokens > 0 || n.checkpoints >= 0 || plan->checkpoints == 0) return;
  const int64_t page_blocks = (n.checkpoint_bytes + n.block_bytes - 1) / n.block_bytes;
  const int64_t pages = (n.block_bytes * plan->blocks + n.checkpoint_bytes * plan->checkpoints) /
                        (page_blocks * n.block_bytes);
  const int64_t for_one = (BlocksFor(plan->max_model_len) + page_blocks - 1) / page_blocks;
  if (pages <= for_one || pages * page_blocks > std::numeric_limits<int32_t>::max()) return;
  plan->page_blocks = static_cast<int32_t>(page_blocks);
  plan->pages = static_cast<int32_t>(pages);
  plan->checkpoints_max = static_cast<int32_t>(pages - for_one);
}

}  // namespace

Result<MemoryPlan> PlanMemory(const MemoryNeeds& needs) {
  const int64_t block_bytes = std::max<int64_t>(1, needs.block_bytes);
  const int64_t left = std::max<int64_t>(0, BudgetOf(needs) - FixedBytes(needs));
  const int64_t for_checkpoints = CheckpointBytes(needs, left);
  const int64_t blocks_fit =
      std::min<int64_t>(std::max<int64_t>(0, left - for_checkpoints) / block_bytes,
                        std::numeric_limits<int32_t>::max());
  const int64_t wanted =
      needs.kv_tokens > 0 ? BlocksFor(needs.kv_tokens) : UsefulBlocks(needs, block_bytes);
  const int64_t blocks = std::min(wanted, blocks_fit);
  if (blocks < 1 || (needs.kv_tokens > 0 && blocks < wanted)) {
    return MakeError(
        ErrorCode::kResourceExhausted,
        fmt::format("not enough memory: {} KV blocks of {} = {} wanted; {}. Lower "
                    "--max-num-seqs{}, or raise --gpu-memory-utilization",
                    wanted, Bytes(block_bytes), Bytes(wanted * block_bytes), Arithmetic(needs),
                    needs.host_tier_bytes > 0 ? " or --prefix-host-gib" : ""));
  }
  MemoryPlan plan{
      .needs = needs, .blocks = static_cast<int32_t>(blocks), .max_model_len = needs.max_model_len};
  plan.checkpoints = Checkpoints(needs, for_checkpoints, blocks);
  const int64_t tokens = blocks * kBlockTokens;
  if (needs.kv_tokens == 0 && tokens < needs.max_model_len) {
    if (needs.max_model_len_fixed) {
      return MakeError(
          ErrorCode::kResourceExhausted,
          fmt::format("not enough memory for --max-model-len {}: it needs {} KV blocks "
                      "of {}, {} fit ({} tokens); {}",
                      needs.max_model_len, BlocksFor(needs.max_model_len), Bytes(block_bytes),
                      blocks, tokens, Arithmetic(needs)));
    }
    plan.max_model_len = static_cast<int32_t>(tokens);
  }
  ShareMemory(&plan);
  return plan;
}

std::string MemoryTable(const MemoryPlan& plan) {
  const MemoryNeeds& n = plan.needs;
  const int64_t kv_bytes = n.block_bytes * plan.blocks;
  const int64_t checkpoint_bytes = n.checkpoint_bytes * plan.checkpoints;
  const std::string shared =
      plan.page_blocks == 0
          ? ""
          : fmt::format("  shared by the two above in {} pages of a checkpoint or {} blocks\n",
                        plan.pages, plan.page_blocks);
  return fmt::format(
      "memory plan ({} x {} = {} at most)\n"
      "  weights      {:>12}\n"
      "  activations  {:>12}\n"
      "  logits       {:>12}\n"
      "  states       {:>12}   {} slots of {}\n"
      "  KV blocks    {:>12}   {} blocks of {} tokens = {} tokens\n"
      "  checkpoints  {:>12}   {} slots of {}\n"
      "{}"
      "  host tier    {:>12}   for what the pools give up\n"
      "  total        {:>12}   pages are backed when first used",
      Bytes(n.machine_bytes), n.utilization, Bytes(BudgetOf(n)), Bytes(n.weight_bytes),
      Bytes(n.activation_bytes), Bytes(n.logit_bytes), Bytes(n.slot_bytes * n.slots), n.slots,
      Bytes(n.slot_bytes), Bytes(kv_bytes), plan.blocks, kBlockTokens,
      int64_t{plan.blocks} * kBlockTokens, Bytes(checkpoint_bytes), plan.checkpoints,
      Bytes(n.checkpoint_bytes), shared, Bytes(n.host_tier_bytes),
      Bytes(FixedBytes(n) + kv_bytes + checkpoint_bytes));
}

int64_t MachineMemoryBytes() {
  int64_t bytes = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  for (const char* path :
       {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    int64_t limit = 0;
    if (std::ifstream(path) >> limit && limit > 0) bytes = std::min(bytes, limit);
  }
  return bytes;
}

}  // namespace nextgate::engine
