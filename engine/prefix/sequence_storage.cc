#include "engine/prefix/sequence_storage.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>

#include "base/check.h"

namespace nextgate::engine {
namespace {

constexpr int64_t kKvBytesDefaultMax = int64_t{4} << 30;

double Mib(int64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

}  // namespace

int64_t KvBlockBytes(const ModelConfig& c) {
  return 2 * c.num_full_layers() * kBlockTokens * c.num_key_value_heads * c.head_dim *
         static_cast<int64_t>(sizeof(float));
}

int64_t StateSlotBytes(const ModelConfig& c) {
  const int64_t recurrent =
      c.linear_num_value_heads * c.linear_key_head_dim * c.linear_value_head_dim;
  const int64_t conv = c.conv_channels() * (c.linear_conv_kernel_dim - 1);
  return c.num_linear_layers() * (recurrent + conv) * static_cast<int64_t>(sizeof(float));
}

std::string MemoryPlan::Table() const {
  return fmt::format(
      "memory plan\n"
      "  machine       {:10.1f} MiB, of which {:.0f} % may be used\n"
      "  weights       {:10.1f} MiB\n"
      "  activations   {:10.1f} MiB\n"
      "  KV blocks     {:10.1f} MiB  {} blocks of 64 tokens\n"
      "  states        {:10.1f} MiB  {} slots",
      Mib(memory), utilization * 100, Mib(weights), Mib(activations), Mib(kv_block * kv_blocks),
      kv_blocks, Mib(state_slot * state_slots), state_slots);
}

Result<MemoryPlan> PlanMemory(const ModelConfig& config, MemoryPlan plan, int32_t slots,
                              int64_t kv_tokens, int32_t max_len) {
  plan.kv_block = KvBlockBytes(config);
  plan.state_slot = StateSlotBytes(config);
  plan.state_slots = slots;
  const int64_t per_sequence =
      (max_len + kBlockTokens - 1) / kBlockTokens + 1;  // and one block of headroom
  const auto usable = static_cast<int64_t>(static_cast<double>(plan.memory) * plan.utilization);
  const int64_t left = usable - plan.weights - plan.activations - plan.state_slot * slots;
  const int64_t bytes_each = std::max<int64_t>(plan.kv_block, 1);
  int64_t blocks =
      kv_tokens > 0
          ? (kv_tokens + kBlockTokens - 1) / kBlockTokens
          : std::max(per_sequence, std::min(per_sequence * slots, kKvBytesDefaultMax / bytes_each));
  if (kv_tokens == 0) blocks = std::min(blocks, std::max<int64_t>(left, 0) / bytes_each);
  blocks = std::min<int64_t>(blocks, 1 << 30);
  if (left < 0 || blocks * plan.kv_block > left || blocks < per_sequence)
    return MakeError(
        ErrorCode::kResourceExhausted,
        fmt::format("too little memory: {:.0f} % of {:.1f} MiB are {:.1f}; weights {:.1f} + "
                    "activations {:.1f} + {} states {:.1f} leave "
                    "{:.1f} MiB for KV = {} blocks of 64 tokens, and one sequence of {} tokens "
                    "needs {}. Lower --max-model-len or "
                    "--max-num-seqs, or raise --gpu-memory-utilization",
                    plan.utilization * 100, Mib(plan.memory), Mib(usable), Mib(plan.weights),
                    Mib(plan.activations), slots, Mib(plan.state_slot * slots), Mib(left), blocks,
                    max_len, per_sequence));
  plan.kv_blocks = static_cast<int32_t>(blocks);
  return plan;
}

void SequenceStorage::Unmap::operator()(float* memory) const { ::munmap(memory, bytes); }

SequenceStorage::Mapping SequenceStorage::Map(int64_t floats) {
  const auto bytes = static_cast<size_t>(std::max<int64_t>(floats, 1)) * sizeof(float);
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(memory != MAP_FAILED, "mapping %zu bytes", bytes);
  return Mapping(static_cast<float*>(memory), Unmap{bytes});
}

SequenceStorage::SequenceStorage(const ModelConfig& c, const MemoryPlan& plan) {
  const std::array<int64_t, 5> kv_shape = {c.num_full_layers(), plan.kv_blocks,
                                           c.num_key_value_heads, kBlockTokens, c.head_dim};
  const std::array<int64_t, 5> state_shape = {plan.state_slots, c.num_linear_layers(),
                                              c.linear_num_value_heads, c.linear_key_head_dim,
                                              c.linear_value_head_dim};
  const std::array<int64_t, 4> conv_shape = {plan.state_slots, c.num_linear_layers(),
                                             c.conv_channels(), c.linear_conv_kernel_dim - 1};
  const auto product = [](const auto& shape) {
    int64_t size = 1;
    for (const int64_t extent : shape) size *= extent;
    return size;
  };
  k_ = Map(product(kv_shape));
  v_ = Map(product(kv_shape));
  recurrent_ = Map(product(state_shape));
  conv_ = Map(product(conv_shape));
  kv_ = {{k_.get(), kv_shape}, {v_.get(), kv_shape}};
  states_ = {{recurrent_.get(), state_shape}, {conv_.get(), conv_shape}};
}

}  // namespace nextgate::engine
