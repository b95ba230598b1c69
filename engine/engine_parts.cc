#include "engine/engine_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/log.h"
#include "engine/memory/memory_plan.h"
#include "engine/model/generation_config.h"

namespace nextgate::engine {
namespace {

SchedulerLimits LimitsOf(const EngineConfig& config) {
  // Rows for one per sequence, and 64 more so that prompt_logprobs moves on by a block a step.
  return {.step_tokens_max = config.max_num_batched_tokens,
          .sequences_max = config.max_num_seqs,
          .logit_rows_max = config.max_num_seqs + kBlockTokens,
          .chunked_prefill = config.enable_chunked_prefill};
}

// Tiers below the device are asked for.
bool WantsTiers(const EngineConfig& config) {
  return config.prefix_host_bytes > 0 || !config.prefix_disk_dir.empty();
}

Status CheckConfig(const EngineConfig& config) {
  const auto bad = [](const char* flag, const std::string& expected, auto value) {
    return InvalidArgument(fmt::format("{} must be {}, not {}", flag, expected, value), flag);
  };
  if (config.max_num_seqs < 1 || config.max_num_seqs > 65536)
    return bad("--max-num-seqs", "between 1 and 65536", config.max_num_seqs);
  // Prompts advance in blocks: were there less than a block beside the sequences that decode, a
  // prompt would wait until they end.
  const int32_t tokens_min = config.max_num_seqs + kBlockTokens;
  if (config.max_num_batched_tokens < tokens_min || config.max_num_batched_tokens > 1 << 20) {
    return bad(
        "--max-num-batched-tokens",
        fmt::format("between {} (a token for each of --max-num-seqs {} + a block of {} for a "
                    "prompt) and {}",
                    tokens_min, config.max_num_seqs, kBlockTokens, 1 << 20),
        config.max_num_batched_tokens);
  }
  if (!(config.memory_utilization > 0 && config.memory_utilization <= 1))
    return bad("--gpu-memory-utilization", "in (0, 1]", config.memory_utilization);
  if (config.max_model_len < 0) return bad("--max-model-len", "positive", config.max_model_len);
  if (config.kv_tokens < 0) return bad("kv_tokens", ">= 0", config.kv_tokens);
  if (config.queue_capacity < 1) return bad("queue_capacity", ">= 1", config.queue_capacity);
  if (!(config.prefix_cache_fraction >= 0 && config.prefix_cache_fraction < 1))
    return bad("--prefix-cache-fraction", "in [0, 1)", config.prefix_cache_fraction);
  if (config.prefix_state_format != "auto" && config.prefix_state_format != "fp32" &&
      config.prefix_state_format != "bf16" && config.prefix_state_format != "int8")
    return bad("--prefix-state-format", "auto, fp32, bf16 or int8", config.prefix_state_format);
  if (WantsTiers(config) && (!config.enable_prefix_caching || config.prefix_cache_fraction == 0))
    return InvalidArgument(
        "--prefix-host-gib and --prefix-disk-dir need prefix caching and a "
        "--prefix-cache-fraction above 0",
        config.prefix_host_bytes > 0 ? "--prefix-host-gib" : "--prefix-disk-dir");
  if (!config.prefix_disk_dir.empty() && config.prefix_disk_bytes == 0)
    return bad("--prefix-disk-gib", "above 0 with --prefix-disk-dir", config.prefix_disk_bytes);
  if (config.prefix_host_bytes > MachineMemoryBytes())
    return bad("--prefix-host-gib",
               fmt::format("within this machine's memory of {} bytes", MachineMemoryBytes()),
               config.prefix_host_bytes);
  if (config.prefix_host_bytes < 0)
    return bad("--prefix-host-gib", ">= 0", config.prefix_host_bytes);
  if (config.prefix_disk_bytes < 0)
    return bad("--prefix-disk-gib", ">= 0", config.prefix_disk_bytes);
  if (config.load_format != "auto" && config.load_format != "safetensors" &&
      config.load_format != "dummy")
    return bad("--load-format", "auto, safetensors or dummy", config.load_format);
  return {};
}

// On the CPU resuming is exact unless asked otherwise.
kernels::StateFormat FormatOf(const EngineConfig& config) {
  if (config.prefix_state_format == "bf16") return kernels::StateFormat::kBf16;
  if (config.prefix_state_format == "int8") return kernels::StateFormat::kInt8;
  return kernels::StateFormat::kFp32;
}

// Of the device's pools, at most, copies down hold one part in so many.
constexpr int32_t kCopiedShare = 8;

// The tiers below the pools; null if there are none. Its identity is all that a record's bytes depend on.
Result<std::unique_ptr<PrefixTiers>> OpenTiers(const EngineConfig& config, const KvPool& kv,
                                               const CheckpointPool& checkpoints,
                                               const Qwen3Next& model) {
  if (!WantsTiers(config) || checkpoints.slots_total() == 0) return nullptr;
  const auto& layout = checkpoints.storage().layout;
  const auto& kv_shape = kv.storage().k.shape;
  const std::string identity = fmt::format(
      "v2-{}-{}-kv.f32.{}x{}x{}-state.{}.{}x{}x{}x{}+{}x{}", model.fingerprint(), model.dtype(),
      kv_shape[0], kv_shape[2], kv_shape[4], kernels::StateFormatName(layout.format), layout.layers,
      layout.heads, layout.key_dim, layout.value_dim, layout.channels, layout.taps_kept);
  return PrefixTiers::Open({.kv = kv.storage(), .checkpoints = checkpoints.storage()},
                           {.host_bytes = config.prefix_host_bytes,
                            .disk_dir = config.prefix_disk_dir,
                            .disk_bytes = config.prefix_disk_bytes,
                            .identity = identity,
                            .limits = {.checkpoints = checkpoints.slots_total() / kCopiedShare,
                                       .blocks = kv.blocks_total() / kCopiedShare}});
}

Result<int32_t> ModelLen(const EngineConfig& config, const ModelConfig& model) {
  const int64_t limit = std::min<int64_t>(model.max_position_embeddings, 1 << 24);
  if (config.max_model_len > limit)
    return InvalidArgument(fmt::format("--max-model-len {} is more than the checkpoint's "
                                       "max_position_embeddings {}",
                                       config.max_model_len, limit),
                           "--max-model-len");
  return config.max_model_len > 0 ? config.max_model_len : static_cast<int32_t>(limit);
}

Result<MemoryPlan> PlanOf(const EngineConfig& config, const SchedulerLimits& limits,
                          const Qwen3Next& model) {
  const ModelConfig& shape = model.config();
  ASSIGN_OR_RETURN(const int32_t max_model_len, ModelLen(config, shape));
  return PlanMemory(
      {.machine_bytes = MachineMemoryBytes(),
       .utilization = config.memory_utilization,
       .weight_bytes = model.weight_bytes(),
       .activation_bytes = model.activation_bytes(),
       .logit_bytes =
           limits.logit_rows_max * shape.vocab_size * static_cast<int64_t>(sizeof(float)),
       .slot_bytes = StatePool::SlotBytes(shape),
       .slots = config.max_num_seqs,
       .host_tier_bytes = config.prefix_host_bytes,  // the CPU backend's memory is the host's
       .block_bytes = KvPool::BlockBytes(shape),
       .kv_tokens = config.kv_tokens,
       .checkpoint_bytes = CheckpointLayoutOf(shape, FormatOf(config)).Bytes(),
       .checkpoint_fraction = config.enable_prefix_caching ? config.prefix_cache_fraction : 0,
       .checkpoints = config.enable_prefix_caching ? config.prefix_checkpoints : 0,
       .max_model_len = max_model_len,
       .max_model_len_fixed = config.max_model_len > 0});
}

Status OpenCache(const MemoryPlan& plan, const ModelConfig& shape,
                 const kernels::CheckpointLayout& layout, EngineParts* parts) {
  if (plan.page_blocks == 0) {
    ASSIGN_OR_RETURN(parts->kv, KvPool::Open(shape, plan.blocks));
    ASSIGN_OR_RETURN(parts->checkpoints, CheckpointPool::Open(layout, plan.checkpoints));
    return {};
  }
  ASSIGN_OR_RETURN(const auto pages, PagePool::Open(plan.page_blocks * KvPool::BlockBytes(shape),
                                                    plan.pages, "KV blocks and checkpoints"));
  parts->kv = KvPool::OpenIn(shape, pages);
  parts->checkpoints = CheckpointPool::OpenIn(layout, pages, plan.checkpoints_max);
  return {};
}

Result<std::vector<int32_t>> EosTokenIds(const EngineConfig& config, const ModelConfig& model) {
  std::vector<int32_t> ids = model.eos_token_ids;
  const bool named = !config.generation_config_dir.empty();
  if (named || !config.model_dir.empty()) {
    ASSIGN_OR_RETURN(const GenerationDefaults generation,
                     named ? ReadNamedGenerationDefaults(config.generation_config_dir)
                           : ReadGenerationDefaults(config.model_dir));
    ids.insert(ids.end(), generation.eos_token_ids.begin(), generation.eos_token_ids.end());
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

}  // namespace

Result<std::unique_ptr<Qwen3Next>> LoadModel(const EngineConfig& config) {
  RETURN_IF_ERROR(CheckConfig(config));
  ASSIGN_OR_RETURN(const ModelConfig shape, ReadModelConfig(config.model_dir, config.hf_overrides));
  ASSIGN_OR_RETURN(const int32_t positions_max, ModelLen(config, shape));
  const SchedulerLimits limits = LimitsOf(config);
  return Qwen3Next::Load({.dir = config.model_dir,
                          .dummy_weights = config.load_format == "dummy",
                          .hf_overrides = config.hf_overrides,
                          .step_tokens_max = limits.step_tokens_max,
                          .step_sequences_max = limits.sequences_max,
                          .logit_rows_max = limits.logit_rows_max,
                          .positions_max = positions_max,
                          .num_threads = config.num_threads});
}

Result<EngineParts> BuildParts(const EngineConfig& config, std::unique_ptr<Qwen3Next> model) {
  RETURN_IF_ERROR(CheckConfig(config));
  EngineParts parts{.config = config, .limits = LimitsOf(config)};
  ASSIGN_OR_RETURN(const MemoryPlan plan, PlanOf(config, parts.limits, *model));
  LogInfo("{}", MemoryTable(plan));
  if (plan.max_model_len < plan.needs.max_model_len)
    LogWarning("max_model_len lowered from {} to {}: that is the KV that fits",
               plan.needs.max_model_len, plan.max_model_len);
  const ModelConfig& shape = model->config();
  ASSIGN_OR_RETURN(parts.info.eos_token_ids, EosTokenIds(config, shape));
  parts.info.vocab_size = static_cast<int32_t>(shape.vocab_size);
  parts.info.max_model_len = plan.max_model_len;
  parts.info.fingerprint = model->fingerprint();
  parts.info.dtype = model->dtype();
  parts.info.parameters = model->parameters();
  parts.info.weight_bytes = model->weight_bytes();
  RETURN_IF_ERROR(OpenCache(plan, shape, CheckpointLayoutOf(shape, FormatOf(config)), &parts));
  ASSIGN_OR_RETURN(parts.states, StatePool::Open(shape, config.max_num_seqs));
  ASSIGN_OR_RETURN(parts.logits,
                   LazyBuffer::Open(static_cast<size_t>(plan.needs.logit_bytes), "logits"));
  ASSIGN_OR_RETURN(parts.tiers, OpenTiers(config, *parts.kv, *parts.checkpoints, *model));
  parts.model = std::move(model);
  return parts;
}

}  // namespace nextgate::engine
