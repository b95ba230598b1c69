// The table behind gateway/flags.h. Rows are grouped as --help shows them; within
// FlagSupport::kNoEffect and kNotSupported they follow vLLM's own groups.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>

#include "cache/redis/endpoint.h"
#include "gateway/flags.h"

namespace nextgate::gateway {
namespace {

// --- readers of values: what is allowed stands in the error ---

Result<int64_t> Integer(std::string_view text, int64_t low, int64_t high) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < low || value > high)
    return InvalidArgument(
        fmt::format("expected a whole number from {} to {}, got '{}'", low, high, text));
  return value;
}

template <class T>
Status SetInteger(T& field, std::string_view text, int64_t low, int64_t high) {
  ASSIGN_OR_RETURN(const int64_t value, Integer(text, low, high));
  field = static_cast<T>(value);
  return {};
}

Status SetHumanInt(int32_t& field, std::string_view text, int64_t low) {
  ASSIGN_OR_RETURN(const int64_t value, ParseHumanInt(text));
  if (value < low || value > std::numeric_limits<int32_t>::max())
    return InvalidArgument(fmt::format("expected at least {}, got '{}'", low, text));
  field = static_cast<int32_t>(value);
  return {};
}

Status SetChoice(std::string& field, std::string_view text,
                 std::initializer_list<std::string_view> allowed) {
  for (const std::string_view choice : allowed) {
    if (text == choice) {
      field = text;
      return {};
    }
  }
  return InvalidArgument(
      fmt::format("expected one of {}, got '{}'", fmt::join(allowed, ", "), text));
}

Status SetText(std::string& field, std::string_view text) {
  if (text.empty()) return InvalidArgument("expected a value, got an empty one");
  field = text;
  return {};
}

// Boolean flags arrive here as "true" or "false", whatever was typed.
Status SetBool(bool& field, std::string_view text) {
  field = text == "true";
  return {};
}

Status SetFraction(double& field, std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value > 0 && value <= 1))
    return InvalidArgument(fmt::format("expected a number above 0 and at most 1, got '{}'", text));
  field = value;
  return {};
}

Status SetJsonObject(std::string& field, std::string_view text) {
  const auto parsed = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object())
    return InvalidArgument(fmt::format("expected a JSON object, got '{}'", text));
  field = text;
  return {};
}

Status SetTensorParallel(ServeOptions& options, std::string_view text) {
  ASSIGN_OR_RETURN(const int64_t value, Integer(text, 1, 1024));
  if (value != 1)
    return MakeError(
        ErrorCode::kUnimplemented,
        fmt::format("tensor parallelism is not built yet: 1 is allowed, got {}", value));
  options.tensor_parallel_size = 1;
  return {};
}

Status SetCacheUrl(ServeOptions& o, std::string_view v) {
  RETURN_IF_ERROR(cache::ParseRedisUrl(v));
  o.cache_url = v;
  return {};
}
Status SetCacheNamespace(ServeOptions& o, std::string_view v) {
  const auto allowed = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
  };
  if (v.empty() || v.size() > 64 || !std::ranges::all_of(v, allowed))
    return InvalidArgument("expected 1 to 64 letters, digits, '-', '_' or '.'");
  o.cache_namespace = v;
  return {};
}
Status AppendOrigin(ServeOptions& options, std::string_view text) {
  if (text.starts_with('[')) {  // vLLM's form: a JSON list
    const auto parsed = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!parsed.is_array()) return InvalidArgument("expected origins or a JSON list of them");
    for (const auto& origin : parsed) {
      if (!origin.is_string()) return InvalidArgument("expected a JSON list of strings");
      options.allowed_origins.push_back(origin.get<std::string>());
    }
    return {};
  }
  options.allowed_origins.emplace_back(text);
  return {};
}

using enum FlagKind;
using enum FlagSupport;
using Options = ServeOptions&;
using Text = std::string_view;
constexpr int64_t kInt32Max = std::numeric_limits<int32_t>::max();

constexpr std::string_view kModel = "Model";
constexpr std::string_view kEngine = "Engine";
constexpr std::string_view kServer = "Server";
constexpr std::string_view kCache = "Answer cache";
constexpr std::string_view kOther = "vLLM flags without a part of their own here";

constexpr Flag NoEffect(FlagKind kind, std::string_view name, std::string_view why,
                        std::string_view alias = "") {
  return {name, alias, kOther, kind, kNoEffect, why, nullptr};
}
constexpr Flag NotSupported(FlagKind kind, std::string_view name, std::string_view why,
                            std::string_view alias = "") {
  return {name, alias, kOther, kind, kNotSupported, why, nullptr};
}

const Flag kImplementedFlags[] = {
    // clang-format off
    {"model", "", kModel, kValue, kImplemented, "checkpoint directory or hub id; the same as the positional argument",
     [](Options o, Text v) { return SetText(o.model, v); }},
    {"served-model-name", "", kModel, kList, kImplemented, "names that requests may use (default: MODEL as typed)",
     [](Options o, Text v) -> Status { o.served_model_names.emplace_back(v); return {}; }},
    {"revision", "", kModel, kValue, kImplemented, "branch, tag or commit of a hub id (default: main)",
     [](Options o, Text v) { return SetText(o.revision, v); }},
    {"load-format", "", kModel, kValue, kImplemented, "auto, safetensors, or dummy: seeded random weights (default: auto)",
     [](Options o, Text v) { return SetChoice(o.load_format, v, {"auto", "safetensors", "dummy"}); }},
    {"hf-overrides", "", kModel, kValue, kImplemented, "JSON object merged over config.json",
     [](Options o, Text v) { return SetJsonObject(o.hf_overrides, v); }},
    {"generation-config", "", kModel, kValue, kImplemented, "auto: sampling defaults of the checkpoint; vllm: neutral ones; or a directory (default: auto)",
     [](Options o, Text v) { return SetText(o.generation_config, v); }},
    {"chat-template", "", kModel, kValue, kImplemented, "a Jinja file or the template itself (default: the checkpoint's)",
     [](Options o, Text v) { return SetText(o.chat_template, v); }},
    {"dtype", "", kModel, kValue, kImplemented, "the CPU backend computes in float32 whatever the weights are (default: auto)",
     [](Options o, Text v) { return SetChoice(o.dtype, v, {"auto", "half", "float16", "bfloat16", "float", "float32"}); }},
    {"device", "", kModel, kValue, kImplemented, "auto or cpu; cuda when its engine is built (default: auto)",
     [](Options o, Text v) { return SetChoice(o.device, v, {"auto", "cpu", "cuda"}); }},
    {"tensor-parallel-size", "-tp", kModel, kValue, kImplemented, "1 only, until tensor parallelism is built", SetTensorParallel},

    {"max-model-len", "", kEngine, kValue, kImplemented, "prompt + answer, tokens; 4k, 32K are understood (default: the checkpoint's)",
     [](Options o, Text v) { return SetHumanInt(o.max_model_len, v, 1); }},
    {"max-num-seqs", "", kEngine, kValue, kImplemented, "sequences in one step (default: 64)",
     [](Options o, Text v) { return SetInteger(o.max_num_seqs, v, 1, 4096); }},
    {"max-num-batched-tokens", "", kEngine, kValue, kImplemented, "tokens in one step, at least 64 (default: 2048)",
     [](Options o, Text v) { return SetHumanInt(o.max_num_batched_tokens, v, 64); }},
    {"gpu-memory-utilization", "", kEngine, kValue, kImplemented, "share of the device's memory that may be planned (default: 0.9)",
     [](Options o, Text v) { return SetFraction(o.gpu_memory_utilization, v); }},
    {"enable-chunked-prefill", "", kEngine, kBool, kImplemented, "interleave long prompts with other work (default: on)",
     [](Options o, Text v) { return SetBool(o.enable_chunked_prefill, v); }},
    {"seed", "", kEngine, kValue, kImplemented, "for requests without a seed of their own (default: 0)",
     [](Options o, Text v) { return SetInteger(o.seed, v, 0, std::numeric_limits<int64_t>::max()); }},
    {"num-threads", "", kEngine, kValue, kImplemented, "threads of the CPU backend (default: one per core)",
     [](Options o, Text v) { return SetInteger(o.num_threads, v, 0, 1024); }},

    {"host", "", kServer, kValue, kImplemented, "address to listen on (default: 127.0.0.1)",
     [](Options o, Text v) { return SetText(o.host, v); }},
    {"port", "", kServer, kValue, kImplemented, "0 takes a free one (default: 8000)",
     [](Options o, Text v) { return SetInteger(o.port, v, 0, 65535); }},
    {"admin-host", "", kServer, kValue, kImplemented, "address of the admin API (default: 127.0.0.1)",
     [](Options o, Text v) { return SetText(o.admin_host, v); }},
    {"admin-port", "", kServer, kValue, kImplemented, "port of the admin API (default: port + 1)",
     [](Options o, Text v) -> Status {
       ASSIGN_OR_RETURN(const int64_t port, Integer(v, 0, 65535));
       o.admin_port = static_cast<int32_t>(port);
       return {};
     }},
    {"admin-api-key-file", "", kServer, kValue, kImplemented, "keys of the admin API, lines of read:KEY or write:KEY (default: open on the loopback)",
     [](Options o, Text v) { return SetText(o.admin_api_key_file, v); }},
    {"api-key", "", kServer, kList, kImplemented, "keys that clients must present; also NEXTGATE_API_KEY, VLLM_API_KEY (default: open)",
     [](Options o, Text v) -> Status {
       if (v.empty()) return InvalidArgument("expected a key, got an empty one");
       o.api_keys.emplace_back(v);
       return {};
     }},
    {"allowed-origins", "", kServer, kList, kImplemented, "origins for CORS (default: none, CORS is off)", AppendOrigin},
    {"disable-access-log", "", kServer, kBool, kImplemented, "no line per request",
     [](Options o, Text v) { return SetBool(o.disable_access_log, v); }},
    {"log-level", "", kServer, kValue, kImplemented, "debug, info, warning or error (default: info)",
     [](Options o, Text v) { return SetChoice(o.log_level, v, {"debug", "info", "warning", "error"}); }},
    {"max-logprobs", "", kServer, kValue, kImplemented, "most logprobs a request may ask for (default: 20)",
     [](Options o, Text v) { return SetInteger(o.max_logprobs, v, 0, 1000); }},
    {"max-body-bytes", "", kServer, kValue, kImplemented, "largest request body (default: 33554432)",
     [](Options o, Text v) { return SetInteger(o.max_body_bytes, v, 1024, int64_t{1} << 32); }},
    {"max-messages", "", kServer, kValue, kImplemented, "most messages in one chat request (default: 4096)",
     [](Options o, Text v) { return SetInteger(o.max_messages, v, 1, kInt32Max); }},
    {"max-waiting-requests", "", kServer, kValue, kImplemented, "requests in the queue beyond which a client gets 429 (default: 1024)",
     [](Options o, Text v) { return SetInteger(o.max_waiting_requests, v, 1, 1'000'000); }},
    {"shutdown-timeout-s", "", kServer, kValue, kImplemented, "seconds for streams to finish after SIGTERM (default: 60)",
     [](Options o, Text v) { return SetInteger(o.shutdown_timeout_s, v, 0, 86400); }},

    {"enable-answer-cache", "", kCache, kBool, kImplemented, "serve stored answers to equal requests (default: on)",
     [](Options o, Text v) { return SetBool(o.enable_answer_cache, v); }},
    {"cache-memory-bytes", "", kCache, kValue, kImplemented, "bound of the in-process store (default: 67108864)",
     [](Options o, Text v) { return SetInteger(o.cache_memory_bytes, v, 0, int64_t{1} << 44); }},
    {"cache-ttl-s", "", kCache, kValue, kImplemented, "seconds an answer may be served (default: 86400)",
     [](Options o, Text v) { return SetInteger(o.cache_ttl_s, v, 1, int64_t{10} * 365 * 86400); }},
    {"cache-sampled", "", kCache, kBool, kImplemented, "also answers sampled above temperature 0 without a seed (default: off)",
     [](Options o, Text v) { return SetBool(o.cache_sampled, v); }},
    {"cache-url", "", kCache, kValue, kImplemented, "a Redis or Valkey that instances share: redis://[USER@]HOST[:PORT][/DB], rediss:// for TLS (default: none)",
     SetCacheUrl},
    {"cache-secret-file", "", kCache, kValue, kImplemented, "secret of all instances that share or exchange exports, at least 16 bytes; also NEXTGATE_CACHE_SECRET",
     [](Options o, Text v) { return SetText(o.cache_secret_file, v); }},
    {"cache-namespace", "", kCache, kValue, kImplemented, "beginning of all keys in Redis (default: nextgate)", SetCacheNamespace},
    {"cache-password-file", "", kCache, kValue, kImplemented, "password for Redis; also NEXTGATE_CACHE_PASSWORD",
     [](Options o, Text v) { return SetText(o.cache_password_file, v); }},
    {"cache-tls-ca-file", "", kCache, kValue, kImplemented, "authorities (PEM) that sign the Redis' certificate (default: the system's)",
     [](Options o, Text v) { return SetText(o.cache_tls_ca_file, v); }},
    // clang-format on
};

constexpr std::string_view kSpeed = "changes speed only; not built yet";
constexpr std::string_view kPython = "belongs to vLLM's Python processes";
constexpr std::string_view kLogs = "changes logs only";
constexpr std::string_view kAlways = "always on here";
constexpr std::string_view kDistributed = "several devices or processes are not built yet";
constexpr std::string_view kOtherModels = "for models that are not Qwen3-Next";
constexpr std::string_view kOutput = "it would change answers, and is not built yet";
constexpr std::string_view kLater = "not built yet";

const Flag kOtherFlags[] = {
    // clang-format off
    NoEffect(kValue, "tokenizer-mode", "there is one tokenizer, exact against Hugging Face's"),
    NoEffect(kValue, "speculative-config", kSpeed), NoEffect(kBool, "enable-prefix-caching", kSpeed),
    NoEffect(kValue, "prefix-caching-hash-algo", kSpeed), NoEffect(kBool, "enforce-eager", kSpeed),
    NoEffect(kValue, "compilation-config", kSpeed, "-cc"), NoEffect(kValue, "optimization-level", kSpeed, "-O"),
    NoEffect(kValue, "block-size", "blocks are 64 tokens"), NoEffect(kValue, "swap-space", kSpeed),
    NoEffect(kValue, "cpu-offload-gb", kSpeed), NoEffect(kValue, "max-seq-len-to-capture", kSpeed),
    NoEffect(kList, "cuda-graph-sizes", kSpeed), NoEffect(kBool, "disable-custom-all-reduce", kSpeed),
    NoEffect(kBool, "enable-expert-parallel", kSpeed), NoEffect(kBool, "async-scheduling", kSpeed),
    NoEffect(kBool, "disable-cascade-attn", kSpeed), NoEffect(kValue, "attention-backend", kSpeed),
    NoEffect(kValue, "moe-backend", kSpeed), NoEffect(kValue, "mamba-ssm-cache-dtype", "states are float32"),
    NoEffect(kValue, "mamba-cache-dtype", "states are float32"), NoEffect(kValue, "mamba-cache-mode", kSpeed),
    NoEffect(kValue, "mamba-block-size", kSpeed), NoEffect(kValue, "max-num-partial-prefills", kSpeed),
    NoEffect(kValue, "max-long-partial-prefills", kSpeed), NoEffect(kValue, "long-prefill-token-threshold", kSpeed),
    NoEffect(kValue, "scheduling-policy", "priority, then arrival, always"), NoEffect(kValue, "stream-interval", kSpeed),
    NoEffect(kValue, "safetensors-load-strategy", kSpeed), NoEffect(kBool, "use-tqdm-on-load", kLogs),
    NoEffect(kValue, "model-loader-extra-config", kSpeed), NoEffect(kValue, "download-dir", "set HF_HUB_CACHE"),
    NoEffect(kValue, "num-gpu-blocks-override", kSpeed), NoEffect(kValue, "kv-cache-memory-bytes", kSpeed),
    NoEffect(kBool, "trust-remote-code", "no code of a checkpoint is ever run"),
    NoEffect(kValue, "distributed-executor-backend", kPython), NoEffect(kValue, "worker-cls", kPython),
    NoEffect(kValue, "api-server-count", kPython, "-asc"), NoEffect(kBool, "headless", kPython),
    NoEffect(kValue, "max-parallel-loading-workers", kPython), NoEffect(kBool, "ray-workers-use-nsight", kPython),
    NoEffect(kBool, "disable-frontend-multiprocessing", kPython), NoEffect(kValue, "tokenizer-pool-size", kPython),
    NoEffect(kBool, "enable-sleep-mode", kPython), NoEffect(kBool, "disable-fastapi-docs", kPython),
    NoEffect(kBool, "enable-server-load-tracking", kPython), NoEffect(kValue, "h11-max-header-count", kPython),
    NoEffect(kValue, "h11-max-incomplete-event-size", kPython), NoEffect(kBool, "log-error-stack", kPython),
    NoEffect(kBool, "disable-log-stats", kLogs), NoEffect(kBool, "disable-log-requests", kLogs),
    NoEffect(kBool, "enable-log-requests", "prompts are never logged"), NoEffect(kValue, "max-log-len", "prompts are never logged"),
    NoEffect(kBool, "enable-log-outputs", "answers are never logged"), NoEffect(kValue, "uvicorn-log-level", kLogs),
    NoEffect(kBool, "disable-uvicorn-access-log", "use --disable-access-log"), NoEffect(kValue, "log-config-file", kLogs),
    NoEffect(kValue, "otlp-traces-endpoint", kLogs), NoEffect(kList, "collect-detailed-traces", kLogs),
    NoEffect(kValue, "show-hidden-metrics-for-version", kLogs), NoEffect(kBool, "kv-cache-metrics", kLogs),
    NoEffect(kBool, "enable-prompt-tokens-details", kAlways), NoEffect(kBool, "enable-request-id-headers", kAlways),
    NoEffect(kBool, "enable-auto-tool-choice", "requests with tools are refused until tool calls are built"),
    NoEffect(kValue, "tool-call-parser", "requests with tools are refused until tool calls are built"),
    NoEffect(kValue, "tool-parser-plugin", "requests with tools are refused until tool calls are built"),
    NoEffect(kBool, "exclude-tools-when-tool-choice-none", "requests with tools are refused until tool calls are built"),
    NoEffect(kValue, "limit-mm-per-prompt", kOtherModels), NoEffect(kValue, "mm-processor-kwargs", kOtherModels),
    NoEffect(kBool, "disable-mm-preprocessor-cache", kOtherModels), NoEffect(kBool, "skip-mm-profiling", kOtherModels),
    NoEffect(kValue, "mm-processor-cache-gb", kOtherModels), NoEffect(kBool, "language-model-only", kOtherModels),
    NoEffect(kValue, "code-revision", "no code of a checkpoint is ever run"), NoEffect(kValue, "hf-token", "set HF_TOKEN"),
    NoEffect(kValue, "config-format", "there is one"), NoEffect(kValue, "model-impl", "there is one"),
    NoEffect(kValue, "structured-outputs-config", "requests with grammars are refused until they are built"),
    NoEffect(kValue, "guided-decoding-backend", "requests with grammars are refused until they are built"),
    NoEffect(kBool, "skip-tokenizer-init", "the tokenizer is always loaded"),

    NotSupported(kValue, "tokenizer", "the checkpoint's own tokenizer.json is used"),
    NotSupported(kValue, "tokenizer-revision", "the checkpoint's own tokenizer.json is used"),
    NotSupported(kValue, "hf-config-path", "use --hf-overrides"), NotSupported(kValue, "override-generation-config", kOutput),
    NotSupported(kValue, "quantization", "FP8 checkpoints are recognised from their config.json; nothing is quantised on load", "-q"),
    NotSupported(kValue, "kv-cache-dtype", "KV is float32 on the CPU"), NotSupported(kBool, "calculate-kv-scales", kOutput),
    NotSupported(kValue, "rope-scaling", "use --hf-overrides"), NotSupported(kValue, "rope-theta", "use --hf-overrides"),
    NotSupported(kValue, "logits-processor-pattern", kOutput), NotSupported(kList, "logits-processors", kOutput),
    NotSupported(kValue, "logprobs-mode", kOutput), NotSupported(kValue, "reasoning-parser", kOutput),
    NotSupported(kValue, "default-chat-template-kwargs", kOutput), NotSupported(kValue, "chat-template-content-format", kOutput),
    NotSupported(kBool, "trust-request-chat-template", kOutput), NotSupported(kValue, "response-role", kOutput),
    NotSupported(kBool, "return-tokens-as-token-ids", "ask for it in the request"), NotSupported(kBool, "enable-force-include-usage", "ask for it with stream_options"),
    NotSupported(kBool, "enable-lora", kOutput), NotSupported(kList, "lora-modules", kOutput),
    NotSupported(kValue, "max-loras", kOutput), NotSupported(kValue, "max-lora-rank", kOutput),
    NotSupported(kBool, "enable-prompt-embeds", kOutput), NotSupported(kValue, "runner", kOtherModels),
    NotSupported(kValue, "convert", kOtherModels), NotSupported(kValue, "task", kOtherModels),
    NotSupported(kValue, "pooler-config", kOtherModels), NotSupported(kValue, "pipeline-parallel-size", kDistributed, "-pp"),
    NotSupported(kValue, "data-parallel-size", kDistributed, "-dp"), NotSupported(kValue, "data-parallel-size-local", kDistributed, "-dpl"),
    NotSupported(kValue, "decode-context-parallel-size", kDistributed, "-dcp"), NotSupported(kValue, "nnodes", kDistributed),
    NotSupported(kValue, "node-rank", kDistributed), NotSupported(kValue, "kv-transfer-config", kDistributed),
    NotSupported(kBool, "disable-hybrid-kv-cache-manager", kOutput), NotSupported(kBool, "disable-sliding-window", kOtherModels),
    NotSupported(kValue, "uds", kLater), NotSupported(kValue, "ssl-keyfile", kLater), NotSupported(kValue, "ssl-certfile", kLater),
    NotSupported(kValue, "ssl-ca-certs", kLater), NotSupported(kValue, "root-path", kLater), NotSupported(kList, "middleware", kPython),
    NotSupported(kBool, "allow-credentials", kLater), NotSupported(kValue, "allowed-methods", kLater),
    NotSupported(kValue, "allowed-headers", kLater), NotSupported(kValue, "tool-server", kLater),
    NotSupported(kValue, "additional-config", kPython),
    // clang-format on
};

}  // namespace

std::span<const Flag> ServeFlags() {
  static const auto all = [] {
    std::array<Flag, std::size(kImplementedFlags) + std::size(kOtherFlags)> flags;
    std::copy(std::begin(kOtherFlags), std::end(kOtherFlags),
              std::copy(std::begin(kImplementedFlags), std::end(kImplementedFlags), flags.begin()));
    return flags;
  }();
  return all;
}

}  // namespace nextgate::gateway
