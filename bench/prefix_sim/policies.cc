#include "bench/prefix_sim/policies.h"

#include <array>

#include "base/check.h"
#include "bench/prefix_sim/chunk_end.h"
#include "bench/prefix_sim/limit.h"
#include "bench/prefix_sim/ours.h"
#include "bench/prefix_sim/sglang_extra_buffer.h"
#include "bench/prefix_sim/vllm_align.h"

namespace nextgate::prefix_sim {
namespace {

constexpr int64_t kFp32 = 4;
constexpr int64_t kBf16 = 2;

std::unique_ptr<Policy> MakeVllm(const std::string& name, const Budget& budget) {
  return std::make_unique<VllmAlign>(VllmAlignConfig{.name = name}, budget);
}
std::unique_ptr<Policy> MakeVllm2k(const std::string& name, const Budget& budget) {
  return std::make_unique<VllmAlign>(VllmAlignConfig{.name = name, .batched_tokens = 2048}, budget);
}
std::unique_ptr<Policy> MakeSglang(const std::string& name, const Budget& budget) {
  return std::make_unique<SglangExtraBuffer>(SglangExtraBufferConfig{.name = name}, budget);
}
std::unique_ptr<Policy> MakeChunkEnd(const std::string& name, const Budget& budget) {
  return std::make_unique<ChunkEnd>(ChunkEndConfig{.name = name}, budget);
}
std::unique_ptr<Policy> MakeOurs(const std::string& name, const Budget& budget) {
  return std::make_unique<Ours>(OursConfig{.name = name}, budget);
}
std::unique_ptr<Policy> MakeOursLru(const std::string& name, const Budget& budget) {
  return std::make_unique<Ours>(
      OursConfig{.name = name, .eviction = engine::EvictLeastRecentlyUsed}, budget);
}
std::unique_ptr<Policy> MakeLimit(const std::string& name, const Budget&) {
  return std::make_unique<Limit>(name);
}

// Of the real model's checkpoints.
int64_t OurStateBytes(kernels::StateFormat format) {
  return kernels::CheckpointLayout{.format = format,
                                   .layers = 36,
                                   .heads = 32,
                                   .key_dim = 128,
                                   .value_dim = 128,
                                   .channels = 8192,
                                   .taps_kept = 3}
      .Bytes();
}

// vLLM's states are the model's bf16: a block of 544 tokens holds no third of an fp32 one.
const std::array kKinds = {
    PolicyKind{"vllm", StateBytes(kBf16), MakeVllm},
    PolicyKind{"vllm-2k", StateBytes(kBf16), MakeVllm2k},
    PolicyKind{"sglang", StateBytes(kFp32), MakeSglang},
    PolicyKind{"chunk-end", StateBytes(kBf16), MakeChunkEnd},
    PolicyKind{"ours", OurStateBytes(kernels::StateFormat::kBf16), MakeOurs},
    PolicyKind{"ours-int8", OurStateBytes(kernels::StateFormat::kInt8), MakeOurs},
    PolicyKind{"ours-lru", OurStateBytes(kernels::StateFormat::kBf16), MakeOursLru},
    PolicyKind{"limit", StateBytes(kBf16), MakeLimit},
};

}  // namespace

std::span<const PolicyKind> PolicyKinds() { return kKinds; }

std::unique_ptr<Policy> MakePolicy(const PolicyKind& kind, int64_t budget_bytes) {
  CHECK(budget_bytes >= kBudgetBytesMin);
  return kind.make(std::string(kind.name),
                   {.bytes = budget_bytes, .state_bytes = kind.state_bytes});
}

}  // namespace nextgate::prefix_sim
