// The rows of the table in gateway/flags.h for those flags of vLLM that have no part of their own
// here, in vLLM's argument groups; names of earlier versions that guides still use are at the end.
// A flag is refused where ignoring it would change answers or would be missed by who gave it, and
// accepted where it changes speed, logs or vLLM's own processes only. Lists of backends are open:
// they only choose among vLLM's kernels.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "gateway/flags.h"

namespace nextgate::gateway {
namespace {

using enum FlagKind;

struct More {
  std::string_view takes = {};
  std::string_view neutral = {};
  std::string_view alias = {};
  Status (*check)(ServeOptions&, std::string_view) = nullptr;
};

constexpr std::string_view kOther = "vLLM flags without a part of their own here";

constexpr Flag NoEffect(FlagKind kind, std::string_view name, std::string_view why,
                        More more = {}) {
  return {name, more.alias, kOther, kind, FlagSupport::kNoEffect, why, more.check, more.takes, {}};
}
constexpr Flag NotSupported(FlagKind kind, std::string_view name, std::string_view why,
                            More more = {}) {
  return {name, more.alias, kOther,     kind,        FlagSupport::kNotSupported,
          why,  nullptr,    more.takes, more.neutral};
}

// Speculation changes speed only, so that of MTP, which this model brings along, may be asked for;
// who names another method or a draft model relies on what is not there.
Status CheckSpeculation(ServeOptions&, std::string_view text) {
  const auto config = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto text_of = [&](const char* key) {
    const auto at = config.find(key);
    return at == config.end() || at->is_null() ? std::string()
                                               : (at->is_string() ? at->get<std::string>() : "?");
  };
  const std::string method = text_of("method");
  if (text_of("model").empty() && (method == "mtp" || method == "qwen3_next_mtp")) return {};
  return MakeError(ErrorCode::kUnimplemented,
                   fmt::format("is not supported yet with {}: method mtp or qwen3_next_mtp is "
                               "allowed, without a model",
                               method.empty() ? "no method" : fmt::format("method '{}'", method)));
}

constexpr std::string_view kSpeed = "changes speed only; not built yet";
constexpr std::string_view kHostWeights = "weights lie in host memory on the CPU";
constexpr std::string_view kPython = "belongs to vLLM's Python processes";
constexpr std::string_view kLogs = "changes logs and measurements only";
constexpr std::string_view kAlways = "always on here";
constexpr std::string_view kDistributed = "several devices or processes are not built yet";
constexpr std::string_view kOneProcess = "there is one process here";
constexpr std::string_view kOtherModels = "for models that are not Qwen3-Next";
constexpr std::string_view kOutput = "it would change answers, and is not built yet";
constexpr std::string_view kLater = "not built yet";
constexpr std::string_view kAdapters = "adapters are not built yet";
constexpr std::string_view kTls = "TLS is not built yet; put a proxy in front";
constexpr std::string_view kNoTools =
    "tools are an --upstream's own matter, and refused without one until tool calls are built";
constexpr std::string_view kNoGrammars = "requests with grammars are refused until they are built";
constexpr std::string_view kFloat32 = "KV and states are float32 on the CPU";
constexpr std::string_view kOwnTokenizer = "the checkpoint's own tokenizer.json is used";
constexpr std::string_view kNoCode = "no code of a checkpoint is ever run";

const Flag kFlags[] = {
    // clang-format off
    // --- vllm serve itself ---
    NoEffect(kValue, "api-server-count", kPython, {.takes = "int", .alias = "-asc"}),
    NotSupported(kBool, "headless", kDistributed), NotSupported(kBool, "grpc", kLater),
    NoEffect(kBool, "aggregate-engine-logging", kLogs), NoEffect(kBool, "disable-log-stats", kLogs),
    NoEffect(kBool, "enable-log-requests", "prompts are never logged"),
    NoEffect(kBool, "fail-on-environ-validation", kPython),
    NoEffect(kValue, "gdn-prefill-backend", kSpeed, {.takes = "flashinfer|triton|cutedsl"}),
    NoEffect(kValue, "kda-prefill-backend", kOtherModels, {.takes = "auto|triton|flashkda"}),
    NoEffect(kValue, "data-parallel-supervisor-port", kOneProcess, {.takes = "int"}),
    NoEffect(kValue, "dp-supervisor-probe-interval-s", kOneProcess, {.takes = "number"}),
    NoEffect(kValue, "dp-supervisor-probe-timeout-s", kOneProcess, {.takes = "number"}),
    NoEffect(kValue, "dp-supervisor-probe-failure-threshold", kOneProcess, {.takes = "int"}),

    // --- Frontend ---
    NotSupported(kValue, "uds", kLater), NotSupported(kValue, "root-path", kLater),
    NotSupported(kList, "middleware", kPython), NotSupported(kBool, "allow-credentials", kLater),
    NotSupported(kValue, "allowed-methods", kLater, {.neutral = R"(["*"])"}),
    NotSupported(kValue, "allowed-headers", kLater, {.neutral = R"(["*"])"}),
    NotSupported(kValue, "ssl-keyfile", kTls), NotSupported(kValue, "ssl-certfile", kTls),
    NotSupported(kValue, "ssl-ca-certs", kTls), NotSupported(kValue, "ssl-ciphers", kTls),
    NotSupported(kValue, "ssl-cert-reqs", kTls, {.neutral = "0"}), NotSupported(kBool, "enable-ssl-refresh", kTls),
    NoEffect(kValue, "uvicorn-log-level", "use --log-level", {.takes = "debug|info|warning|error|critical|trace"}),
    NoEffect(kBool, "disable-uvicorn-access-log", "use --disable-access-log"),
    NoEffect(kValue, "disable-access-log-for-endpoints", kLogs), NoEffect(kValue, "log-config-file", kLogs),
    NoEffect(kValue, "max-log-len", "prompts are never logged", {.takes = "int"}),
    NoEffect(kBool, "log-error-stack", kPython), NoEffect(kBool, "disable-fastapi-docs", kPython),
    NoEffect(kBool, "enable-offline-docs", kPython), NoEffect(kValue, "h11-max-incomplete-event-size", kPython, {.takes = "int"}),
    NoEffect(kValue, "h11-max-header-count", kPython, {.takes = "int"}),
    NoEffect(kBool, "enable-request-id-headers", kAlways), NoEffect(kBool, "enable-prompt-tokens-details", kAlways),
    NotSupported(kValue, "chat-template-content-format", kOutput, {.neutral = "auto"}),
    NotSupported(kBool, "trust-request-chat-template", kOutput),
    NotSupported(kValue, "default-chat-template-kwargs", kOutput, {.takes = "json", .neutral = "{}"}),
    NotSupported(kValue, "response-role", kOutput, {.neutral = "assistant"}),
    NotSupported(kBool, "return-tokens-as-token-ids", "ask for it in the request"),
    NotSupported(kBool, "enable-force-include-usage", "ask for it with stream_options"),
    NotSupported(kBool, "enable-per-request-metrics", kLater), NotSupported(kBool, "tokens-only", kLater),
    NoEffect(kBool, "enable-auto-tool-choice", kNoTools), NoEffect(kValue, "tool-call-parser", kNoTools),
    NoEffect(kValue, "tool-parser-plugin", kNoTools), NoEffect(kBool, "exclude-tools-when-tool-choice-none", kNoTools),
    NotSupported(kValue, "tool-server", kLater), NotSupported(kBool, "enable-tokenizer-info-endpoint", kLater),
    NoEffect(kBool, "enable-server-load-tracking", kPython),
    NoEffect(kBool, "enable-log-outputs", "answers are never logged"), NoEffect(kBool, "enable-log-deltas", "answers are never logged"),
    NoEffect(kValue, "fingerprint-mode", "answers carry no system_fingerprint", {.takes = "full|hash|custom|none"}),
    NotSupported(kValue, "fingerprint-value", "answers carry no system_fingerprint"),
    NoEffect(kBool, "enable-flash-late-interaction", kOtherModels),

    // --- ModelConfig ---
    NotSupported(kValue, "runner", kOtherModels, {.neutral = "auto|generate"}),
    NotSupported(kValue, "convert", kOtherModels, {.neutral = "auto|none"}),
    NotSupported(kValue, "tokenizer", kOwnTokenizer), NotSupported(kValue, "tokenizer-revision", kOwnTokenizer),
    NoEffect(kValue, "tokenizer-mode", "there is one tokenizer, exact against Hugging Face's; another mode would change answers", {.takes = "auto|hf|slow"}),
    NoEffect(kBool, "trust-remote-code", kNoCode), NoEffect(kValue, "code-revision", kNoCode),
    NotSupported(kValue, "hf-config-path", "use --hf-overrides"), NoEffect(kValue, "hf-token", "set HF_TOKEN"),
    NoEffect(kValue, "allowed-local-media-path", kOtherModels), NoEffect(kList, "allowed-media-domains", kOtherModels),
    NotSupported(kValue, "quantization", "FP8 checkpoints are recognised from their config.json; nothing is quantised on load", {.alias = "-q"}),
    NotSupported(kValue, "quantization-config", "FP8 checkpoints are recognised from their config.json; nothing is quantised on load", {.takes = "json"}),
    NoEffect(kBool, "allow-deprecated-quantization", "the quantisation is read from config.json"),
    NoEffect(kBool, "enforce-eager", kSpeed), NotSupported(kBool, "enable-return-routed-experts", kOutput),
    NotSupported(kBool, "return-sampling-mask", kOutput), NotSupported(kBool, "enable-trace-replay", kLater),
    NotSupported(kValue, "logprobs-mode", kOutput, {.neutral = "raw_logprobs"}),
    NoEffect(kBool, "use-fp64-gumbel", "tokens are not drawn with Gumbel noise here"),
    NotSupported(kBool, "disable-sliding-window", kOtherModels), NoEffect(kBool, "disable-cascade-attn", kSpeed),
    NoEffect(kBool, "skip-tokenizer-init", "the tokenizer is always loaded"), NotSupported(kBool, "enable-prompt-embeds", kOutput),
    NoEffect(kValue, "config-format", "there is one", {.takes = "auto|hf"}),
    NotSupported(kValue, "model-class-overrides", kPython, {.takes = "json", .neutral = "{}"}),
    NotSupported(kValue, "pooler-config", kOtherModels, {.takes = "json"}),
    NotSupported(kValue, "override-generation-config", kOutput, {.takes = "json", .neutral = "{}"}),
    NoEffect(kBool, "enable-sleep-mode", kPython), NoEffect(kBool, "enable-cumem-allocator", kSpeed),
    NoEffect(kBool, "enable-nccl-comm-suspend", kSpeed),
    NoEffect(kValue, "model-impl", "there is one", {.takes = "auto|vllm|transformers|terratorch"}),
    NotSupported(kValue, "override-attention-dtype", kOutput), NotSupported(kList, "logits-processors", kOutput),
    NotSupported(kValue, "io-processor-plugin", kPython), NoEffect(kValue, "renderer-num-workers", kPython, {.takes = "int"}),

    // --- LoadConfig ---
    NoEffect(kValue, "download-dir", "set HF_HUB_CACHE"),
    NoEffect(kValue, "safetensors-load-strategy", kSpeed, {.takes = "lazy|eager|prefetch|torchao"}),
    NoEffect(kValue, "safetensors-prefetch-num-threads", kSpeed, {.takes = "int"}),
    NoEffect(kValue, "safetensors-prefetch-block-size", kSpeed, {.takes = "int"}),
    NoEffect(kValue, "model-loader-extra-config", kSpeed, {.takes = "json"}),
    NoEffect(kList, "ignore-patterns", "only the files of the model are downloaded"),
    NoEffect(kBool, "use-tqdm-on-load", kLogs), NoEffect(kValue, "pt-load-map-location", kPython),

    // --- StructuredOutputsConfig and reasoning ---
    NoEffect(kValue, "structured-outputs-config", kNoGrammars, {.takes = "json"}),
    NotSupported(kValue, "reasoning-parser", kOutput), NotSupported(kValue, "reasoning-parser-plugin", kOutput),
    NotSupported(kValue, "reasoning-config", kOutput, {.takes = "json"}),

    // --- ParallelConfig ---
    NoEffect(kValue, "distributed-executor-backend", kPython),
    NotSupported(kValue, "pipeline-parallel-size", kDistributed, {.neutral = "1", .alias = "-pp"}),
    NoEffect(kValue, "master-addr", kOneProcess), NoEffect(kValue, "master-port", kOneProcess, {.takes = "int"}),
    NotSupported(kValue, "nnodes", kDistributed, {.neutral = "1", .alias = "-n"}),
    NotSupported(kValue, "node-rank", kDistributed, {.neutral = "0", .alias = "-r"}),
    NoEffect(kValue, "distributed-timeout-seconds", kOneProcess, {.takes = "int"}),
    NoEffect(kValue, "cpu-distributed-timeout-seconds", kOneProcess, {.takes = "int"}),
    NoEffect(kBool, "numa-bind", kSpeed), NoEffect(kList, "numa-bind-nodes", kSpeed), NoEffect(kList, "numa-bind-cpus", kSpeed),
    NotSupported(kValue, "device-ids", kDistributed),
    NotSupported(kValue, "decode-context-parallel-size", kDistributed, {.neutral = "1", .alias = "-dcp"}),
    NotSupported(kValue, "prefill-context-parallel-size", kDistributed, {.neutral = "1", .alias = "-pcp"}),
    NoEffect(kValue, "dcp-comm-backend", kOneProcess), NoEffect(kBool, "dcp-q-replicate", kOneProcess),
    NoEffect(kValue, "dcp-kv-cache-interleave-size", kOneProcess, {.takes = "int"}),
    NoEffect(kValue, "cp-kv-cache-interleave-size", kOneProcess, {.takes = "int"}),
    NotSupported(kValue, "data-parallel-size", kDistributed, {.neutral = "1", .alias = "-dp"}),
    NotSupported(kValue, "data-parallel-size-local", kDistributed, {.neutral = "1", .alias = "-dpl"}),
    NotSupported(kValue, "data-parallel-rank", kDistributed, {.alias = "-dpn"}),
    NotSupported(kValue, "data-parallel-start-rank", kDistributed, {.neutral = "0", .alias = "-dpr"}),
    NotSupported(kValue, "data-parallel-address", kDistributed, {.alias = "-dpa"}),
    NotSupported(kValue, "data-parallel-rpc-port", kDistributed, {.alias = "-dpp"}),
    NoEffect(kValue, "data-parallel-backend", kOneProcess, {.takes = "mp|ray", .alias = "-dpb"}),
    NotSupported(kBool, "data-parallel-hybrid-lb", kDistributed, {.alias = "-dph"}),
    NotSupported(kBool, "data-parallel-external-lb", kDistributed, {.alias = "-dpe"}),
    NotSupported(kBool, "data-parallel-multi-port-external-lb", kDistributed, {.alias = "-dpm"}),
    NoEffect(kBool, "disable-nccl-for-dp-synchronization", kOneProcess), NoEffect(kValue, "dp-sync-interval", kOneProcess, {.takes = "int"}),
    NoEffect(kBool, "enable-expert-parallel", kSpeed, {.alias = "-ep"}), NoEffect(kBool, "enable-ep-weight-filter", kSpeed),
    NoEffect(kBool, "enable-batch-sharded-sampling", kSpeed), NoEffect(kValue, "all2all-backend", kSpeed),
    NoEffect(kBool, "enable-dbo", kSpeed), NoEffect(kValue, "ubatch-size", kSpeed, {.takes = "int"}),
    NoEffect(kValue, "dbo-decode-token-threshold", kSpeed, {.takes = "int"}),
    NoEffect(kValue, "dbo-prefill-token-threshold", kSpeed, {.takes = "int"}),
    NoEffect(kBool, "enable-eplb", kSpeed), NoEffect(kValue, "eplb-config", kSpeed, {.takes = "json"}),
    NoEffect(kValue, "expert-placement-strategy", kSpeed, {.takes = "linear|round_robin"}),
    NotSupported(kBool, "enable-elastic-ep", kDistributed), NotSupported(kBool, "enable-fault-tolerance", kDistributed),
    NotSupported(kValue, "fault-tolerance-config", kDistributed, {.takes = "json"}),
    NoEffect(kValue, "max-parallel-loading-workers", kPython, {.takes = "int"}), NoEffect(kBool, "ray-workers-use-nsight", kPython),
    NoEffect(kBool, "disable-custom-all-reduce", kSpeed), NotSupported(kValue, "worker-cls", kPython, {.neutral = "auto"}),
    NotSupported(kValue, "worker-extension-cls", kPython),

    // --- CacheConfig ---
    NoEffect(kValue, "block-size", "blocks are 64 tokens", {.takes = "int"}), NoEffect(kValue, "kv-cache-memory-bytes", kSpeed, {.takes = "int"}),
    NotSupported(kValue, "kv-cache-dtype", kFloat32, {.neutral = "auto"}), NoEffect(kList, "kv-cache-dtype-skip-layers", kFloat32),
    NoEffect(kValue, "num-gpu-blocks-override", kSpeed, {.takes = "int"}),
    NoEffect(kValue, "prefix-caching-hash-algo", "hashes only find blocks here, equality of their tokens decides", {.takes = "builtin|sha256|sha256_cbor|sha256_cbor_64bit|xxhash|xxhash_cbor"}),
    NoEffect(kValue, "prefix-cache-retention-interval", kSpeed, {.takes = "int"}), NoEffect(kValue, "prefix-match-unit", kSpeed, {.takes = "int"}),
    NotSupported(kBool, "calculate-kv-scales", kOutput), NoEffect(kBool, "kv-sharing-fast-prefill", kSpeed),
    NotSupported(kValue, "kv-offloading-backend", "host memory is the server's own: --kv-offloading-size", {.neutral = "native"}),
    NoEffect(kValue, "mamba-cache-dtype", kFloat32, {.takes = "auto|float32|float16|bfloat16"}),
    NoEffect(kValue, "mamba-ssm-cache-dtype", kFloat32, {.takes = "auto|float32|float16|bfloat16"}),
    NoEffect(kValue, "mamba-block-size", kSpeed, {.takes = "int"}), NoEffect(kValue, "mamba-cache-mode", kSpeed, {.takes = "none|all|align"}),
    NoEffect(kBool, "use-replayssm", kSpeed), NoEffect(kValue, "replayssm-buffer-len", kSpeed, {.takes = "int"}),

    // --- OffloadConfig ---
    NoEffect(kValue, "offload-backend", kHostWeights, {.takes = "auto|uva|prefetch"}), NoEffect(kValue, "cpu-offload-gb", kHostWeights, {.takes = "number"}),
    NoEffect(kList, "cpu-offload-params", kHostWeights), NoEffect(kValue, "offload-group-size", kHostWeights, {.takes = "int"}),
    NoEffect(kValue, "offload-num-in-group", kHostWeights, {.takes = "int"}), NoEffect(kValue, "offload-prefetch-step", kHostWeights, {.takes = "int"}),
    NoEffect(kList, "offload-params", kHostWeights),

    // --- MultiModalConfig ---
    NoEffect(kBool, "language-model-only", kOtherModels), NoEffect(kValue, "limit-mm-per-prompt", kOtherModels, {.takes = "json"}),
    NoEffect(kBool, "enable-mm-embeds", kOtherModels), NoEffect(kBool, "interleave-mm-strings", kOtherModels),
    NoEffect(kValue, "media-io-kwargs", kOtherModels, {.takes = "json"}), NoEffect(kValue, "mm-processor-kwargs", kOtherModels, {.takes = "json"}),
    NoEffect(kValue, "mm-processor-cache-gb", kOtherModels, {.takes = "number"}),
    NoEffect(kValue, "mm-processor-cache-type", kOtherModels, {.takes = "lru|shm"}), NoEffect(kValue, "mm-processor-device", kOtherModels),
    NoEffect(kValue, "mm-hasher-algorithm", kOtherModels), NoEffect(kValue, "mm-shm-cache-max-object-size-mb", kOtherModels, {.takes = "int"}),
    NotSupported(kBool, "mm-encoder-only", kOtherModels), NoEffect(kValue, "mm-encoder-tp-mode", kOtherModels, {.takes = "weights|data"}),
    NoEffect(kValue, "mm-encoder-attn-backend", kOtherModels), NoEffect(kValue, "mm-encoder-attn-dtype", kOtherModels),
    NoEffect(kValue, "mm-encoder-fp8-scale-path", kOtherModels), NoEffect(kValue, "mm-encoder-fp8-scale-save-path", kOtherModels),
    NoEffect(kValue, "mm-encoder-fp8-scale-save-margin", kOtherModels, {.takes = "number"}),
    NoEffect(kValue, "mm-tensor-ipc", kOtherModels), NoEffect(kValue, "mm-ipc-gpu-memory-gb", kOtherModels, {.takes = "number"}),
    NoEffect(kBool, "mm-device-do-normalize", kOtherModels), NoEffect(kBool, "skip-mm-profiling", kOtherModels),
    NoEffect(kValue, "video-pruning-rate", kOtherModels, {.takes = "number"}), NoEffect(kValue, "video-pruning-method", kOtherModels),

    // --- LoRAConfig ---
    NotSupported(kBool, "enable-lora", kAdapters), NotSupported(kList, "lora-modules", kAdapters),
    NotSupported(kValue, "max-loras", kAdapters, {.neutral = "1"}), NotSupported(kValue, "max-lora-rank", kAdapters, {.neutral = "16"}),
    NotSupported(kValue, "max-cpu-loras", kAdapters), NotSupported(kValue, "lora-dtype", kAdapters, {.neutral = "auto"}),
    NotSupported(kList, "lora-target-modules", kAdapters), NotSupported(kBool, "fully-sharded-loras", kAdapters),
    NotSupported(kValue, "default-mm-loras", kAdapters, {.takes = "json"}), NotSupported(kBool, "specialize-active-lora", kAdapters),
    NotSupported(kBool, "enable-tower-connector-lora", kAdapters), NotSupported(kBool, "enable-mixed-moe-lora-format", kAdapters),
    NotSupported(kBool, "enable-moe-shared-loras", kAdapters),

    // --- ObservabilityConfig ---
    NoEffect(kValue, "show-hidden-metrics-for-version", kLogs), NoEffect(kValue, "otlp-traces-endpoint", kLogs),
    NoEffect(kList, "collect-detailed-traces", kLogs, {.takes = "model|worker|all|model,worker|worker,model|model,all|all,model|worker,all|all,worker"}),
    NoEffect(kBool, "per-request-spec-decode-metrics", kLogs), NoEffect(kBool, "kv-cache-metrics", kLogs),
    NoEffect(kValue, "kv-cache-metrics-sample", kLogs, {.takes = "number"}), NoEffect(kBool, "cudagraph-metrics", kLogs),
    NoEffect(kBool, "enable-layerwise-nvtx-tracing", kLogs), NoEffect(kBool, "enable-mfu-metrics", kLogs),
    NoEffect(kBool, "enable-logging-iteration-details", kLogs), NoEffect(kValue, "jit-monitor-mode", kLogs),
    NoEffect(kBool, "jit-monitor-verbose", kLogs),

    // --- SchedulerConfig ---
    NoEffect(kValue, "max-num-scheduled-tokens", kSpeed, {.takes = "int"}), NoEffect(kValue, "max-num-partial-prefills", kSpeed, {.takes = "int"}),
    NoEffect(kValue, "max-long-partial-prefills", kSpeed, {.takes = "int"}), NoEffect(kValue, "long-prefill-token-threshold", kSpeed, {.takes = "int"}),
    NotSupported(kValue, "max-num-queued-reqs", "use --max-waiting-requests"), NotSupported(kValue, "max-num-queued-tokens", kLater),
    NoEffect(kValue, "scheduling-policy", "priority, then arrival, always", {.takes = "fcfs|priority"}),
    NoEffect(kBool, "disable-chunked-mm-input", kOtherModels), NotSupported(kValue, "scheduler-cls", kPython),
    NoEffect(kBool, "scheduler-reserve-full-isl", kSpeed), NoEffect(kValue, "watermark", kSpeed, {.takes = "number"}),
    NoEffect(kValue, "prefill-schedule-interval", kSpeed, {.takes = "int"}), NotSupported(kBool, "disable-hybrid-kv-cache-manager", kOutput),
    NoEffect(kBool, "async-scheduling", kSpeed), NoEffect(kValue, "stream-interval", kSpeed, {.takes = "int"}),

    // --- kernels and compilation ---
    NoEffect(kValue, "attention-backend", kSpeed), NoEffect(kValue, "attention-config", kSpeed, {.takes = "json", .alias = "-ac"}),
    NoEffect(kValue, "mamba-backend", kSpeed), NoEffect(kValue, "mamba-ssu-algorithm", kSpeed),
    NoEffect(kBool, "enable-mamba-cache-stochastic-rounding", kFloat32), NoEffect(kValue, "mamba-cache-philox-rounds", kFloat32, {.takes = "int"}),
    NoEffect(kValue, "moe-backend", kSpeed), NoEffect(kValue, "linear-backend", kSpeed), NoEffect(kBool, "enable-flashinfer-autotune", kSpeed),
    NoEffect(kBool, "enable-cutedsl-warmup", kSpeed), NoEffect(kBool, "enable-bf16x3-router-gemm", kSpeed),
    NoEffect(kValue, "ir-op-priority", kSpeed, {.takes = "json"}), NoEffect(kValue, "kernel-config", kSpeed, {.takes = "json"}),
    NoEffect(kList, "cudagraph-capture-sizes", kSpeed, {.takes = "int"}), NoEffect(kValue, "max-cudagraph-capture-size", kSpeed, {.takes = "int"}),
    NoEffect(kValue, "compilation-config", kSpeed, {.takes = "json|int", .alias = "-cc"}),
    NoEffect(kValue, "optimization-level", kSpeed, {.takes = "0|1|2|3", .alias = "-O"}),
    NoEffect(kValue, "performance-mode", kSpeed, {.takes = "balanced|interactivity|throughput"}),

    // --- VllmConfig ---
    NoEffect(kValue, "speculative-config", kSpeed, {.takes = "json", .alias = "-sc", .check = CheckSpeculation}),
    NoEffect(kValue, "spec-method", kSpeed, {.takes = "mtp|qwen3_next_mtp"}), NoEffect(kValue, "spec-tokens", kSpeed, {.takes = "int"}),
    NotSupported(kValue, "spec-model", "draft models are not built"),
    NoEffect(kValue, "diffusion-config", kOtherModels, {.takes = "json", .alias = "-dc"}),
    NotSupported(kValue, "kv-transfer-config", kDistributed, {.takes = "json"}), NotSupported(kValue, "kv-events-config", kDistributed, {.takes = "json"}),
    NotSupported(kValue, "ec-transfer-config", kDistributed, {.takes = "json"}), NoEffect(kValue, "ec-manager-config", kOtherModels, {.takes = "json"}),
    NotSupported(kValue, "weight-transfer-config", kLater, {.takes = "json"}), NoEffect(kValue, "profiler-config", kLogs, {.takes = "json"}),
    NotSupported(kValue, "additional-config", kPython, {.takes = "json", .neutral = "{}"}),

    // --- earlier versions ---
    NotSupported(kValue, "task", kOtherModels, {.neutral = "auto|generate"}), NotSupported(kValue, "override-pooler-config", kOtherModels, {.takes = "json"}),
    NotSupported(kValue, "rope-scaling", "use --hf-overrides", {.takes = "json", .neutral = "{}"}), NotSupported(kValue, "rope-theta", "use --hf-overrides"),
    NotSupported(kValue, "logits-processor-pattern", kOutput), NotSupported(kBool, "enable-reasoning", kOutput),
    NoEffect(kValue, "swap-space", "who is preempted is computed anew; host memory for prompts is --kv-offloading-size", {.takes = "number"}),
    NoEffect(kValue, "max-seq-len-to-capture", kSpeed, {.takes = "int"}),
    NoEffect(kList, "cuda-graph-sizes", kSpeed, {.takes = "int"}), NoEffect(kValue, "tokenizer-pool-size", kPython, {.takes = "int"}),
    NoEffect(kBool, "disable-frontend-multiprocessing", kPython), NoEffect(kBool, "disable-log-requests", kLogs),
    NoEffect(kBool, "disable-mm-preprocessor-cache", kOtherModels), NoEffect(kBool, "enable-multimodal-encoder-data-parallel", kOtherModels),
    NoEffect(kValue, "guided-decoding-backend", kNoGrammars), NoEffect(kValue, "guided-decoding-disable-fallback", kNoGrammars),
    NoEffect(kValue, "guided-decoding-disable-any-whitespace", kNoGrammars), NoEffect(kValue, "guided-decoding-disable-additional-properties", kNoGrammars),
    NoEffect(kValue, "num-scheduler-steps", kSpeed, {.takes = "int"}), NoEffect(kValue, "scheduler-delay-factor", kSpeed, {.takes = "number"}),
    NoEffect(kBool, "use-v2-block-manager", kSpeed), NoEffect(kBool, "disable-async-output-proc", kSpeed),
    NoEffect(kValue, "preemption-mode", kSpeed, {.takes = "recompute|swap"}), NoEffect(kValue, "num-redundant-experts", kSpeed, {.takes = "int"}),
    NoEffect(kValue, "eplb-window-size", kSpeed, {.takes = "int"}), NoEffect(kValue, "eplb-step-interval", kSpeed, {.takes = "int"}),
    NoEffect(kBool, "eplb-log-balancedness", kLogs), NotSupported(kValue, "lora-extra-vocab-size", kAdapters, {.neutral = "256"}),
    // clang-format on
};

}  // namespace

std::span<const Flag> UnimplementedFlags() { return kFlags; }

}  // namespace nextgate::gateway
