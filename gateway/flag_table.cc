// The table behind gateway/flags.h: the rows of what is implemented, grouped as --help shows them.
// The other flags of vLLM are in flag_table_vllm.cc.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

#include "cache/redis/endpoint.h"
#include "cache/semantic/gates.h"
#include "gateway/flags.h"
#include "gateway/upstream/peer.h"

namespace nextgate::gateway {
namespace {

constexpr int64_t kTenYears = int64_t{10} * 365 * 86400;  // in seconds

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

// GiB, a decimal fraction if need be, into bytes.
Status SetGib(int64_t& field, std::string_view text) {
  double gib = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), gib);
  if (error != std::errc() || end != text.data() + text.size() || !(gib >= 0 && gib <= 1 << 20))
    return InvalidArgument(
        fmt::format("expected GiB, a number from 0 to {}, got '{}'", 1 << 20, text));
  field = static_cast<int64_t>(gib * (int64_t{1} << 30));
  return {};
}

Status SetShare(double& field, std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value >= 0 && value < 1))
    return InvalidArgument(fmt::format("expected a number from 0 to below 1, got '{}'", text));
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
Status AppendUpstream(ServeOptions& o, std::string_view v) {
  RETURN_IF_ERROR(ParseUpstreamUrl(v));
  o.upstreams.emplace_back(v);
  return {};
}
Status SetEmbeddingUrl(ServeOptions& o, std::string_view v) {
  RETURN_IF_ERROR(ParseUpstreamUrl(v));
  o.embedding_url = v;
  return {};
}
Status SetJudge(ServeOptions& o, std::string_view v) {
  if (v != kJudgeIsModel)
    if (const auto url = ParseUpstreamUrl(v); !url)
      return InvalidArgument(fmt::format("expected {}, or a URL like http://HOST:PORT/v1, got '{}'",
                                         kJudgeIsModel, v));
  o.cache_judge = v;
  return {};
}
Status SetComparatorError(ServeOptions& o, std::string_view v) {
  ASSIGN_OR_RETURN(o.cache_comparator_error, cache::ComparatorError::Parse(v));
  return {};
}
Status AppendRouteTtl(ServeOptions& o, std::string_view v) {
  const size_t equals = std::min(v.find('='), v.size());
  const std::string route(v.substr(0, equals));
  if (equals == v.size() || (route != "/v1/chat/completions" && route != "/v1/completions"))
    return InvalidArgument(fmt::format(
        "expected /v1/chat/completions=SECONDS or /v1/completions=SECONDS, got '{}'", v));
  ASSIGN_OR_RETURN(o.cache_route_ttl_s[route], Integer(v.substr(equals + 1), 0, kTenYears));
  return {};
}
Status AppendCacheControl(ServeOptions& o, std::string_view v) {
  std::string control;
  RETURN_IF_ERROR(SetChoice(control, v, {"ttl", "namespace", "refresh", "semantic", "none"}));
  o.cache_controls.push_back(std::move(control));
  return {};
}
Status SetMode(cache::SemanticMode& mode, std::string_view v) {
  const auto found = cache::FindSemanticMode(v);
  if (!found) return InvalidArgument(fmt::format("expected off, shadow or serve, got '{}'", v));
  mode = *found;
  return {};
}
Status AppendRouteMode(ServeOptions& o, std::string_view v) {
  const size_t equals = std::min(v.find('='), v.size());
  const std::string route(v.substr(0, equals));
  if (equals == v.size() || route != "/v1/chat/completions")
    return InvalidArgument(
        fmt::format("expected /v1/chat/completions=off, =shadow or =serve, got '{}'", v));
  return SetMode(o.cache_semantic_route[route], v.substr(equals + 1));
}
Status AppendGate(ServeOptions& o, std::string_view v) {
  if (v != "all" && v != "none" && !cache::FindGate(v)) {
    std::string codes = "all, none";
    for (size_t i = 0; i < cache::kNumGates; ++i)
      codes += fmt::format(", {}", cache::GateCode(static_cast<cache::Gate>(i)));
    return InvalidArgument(fmt::format("expected some of: {}; got '{}'", codes, v));
  }
  o.cache_semantic_gates.emplace_back(v);
  return {};
}
Status SetWithin(double& field, std::string_view text, double low, double high) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value >= low && value <= high))
    return InvalidArgument(
        fmt::format("expected a number from {} to {}, got '{}'", low, high, text));
  field = value;
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
constexpr std::string_view kEmbedder = "Embedder";
constexpr std::string_view kUpstream = "Upstreams, instead of a model";

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
     [](Options o, Text v) { return SetJsonObject(o.hf_overrides, v); }, "json"},
    {"generation-config", "", kModel, kValue, kImplemented, "auto: sampling defaults of the checkpoint; vllm: neutral ones; or a directory with a generation_config.json, whose max_new_tokens then bounds every answer (default: auto)",
     [](Options o, Text v) { return SetText(o.generation_config, v); }},
    {"chat-template", "", kModel, kValue, kImplemented, "a Jinja file or the template itself (default: the checkpoint's)",
     [](Options o, Text v) { return SetText(o.chat_template, v); }},
    {"dtype", "", kModel, kValue, kImplemented, "the CPU backend computes in float32 whatever the weights are (default: auto)",
     [](Options o, Text v) { return SetChoice(o.dtype, v, {"auto", "half", "float16", "bfloat16", "float", "float32"}); }},
    {"device", "", kModel, kValue, kImplemented, "auto or cpu; cuda when its engine is built (default: auto)",
     [](Options o, Text v) { return SetChoice(o.device, v, {"auto", "cpu", "cuda"}); }},
    {"tensor-parallel-size", "-tp", kModel, kValue, kImplemented, "1 only, until tensor parallelism is built", SetTensorParallel},

    {"max-model-len", "", kEngine, kValue, kImplemented, "prompt + answer, tokens; 4k, 32K are understood; auto or -1: what fits (default: auto, the checkpoint's at most)",
     [](Options o, Text v) -> Status {
       if (v != "-1" && v != "auto") return SetHumanInt(o.max_model_len, v, 1);
       o.max_model_len = 0;
       return {};
     }},
    {"max-num-seqs", "", kEngine, kValue, kImplemented, "sequences in one step (default: 64)",
     [](Options o, Text v) { return SetInteger(o.max_num_seqs, v, 1, 4096); }},
    {"max-num-batched-tokens", "", kEngine, kValue, kImplemented, "tokens in one step, from max-num-seqs + 64 to 1048576; who is generating waits for a whole step (default: 2048)",
     [](Options o, Text v) { return SetHumanInt(o.max_num_batched_tokens, v, 64); }},
    {"gpu-memory-utilization", "", kEngine, kValue, kImplemented, "share of the device's memory that may be planned (default: 0.9)",
     [](Options o, Text v) { return SetFraction(o.gpu_memory_utilization, v); }},
    {"enable-chunked-prefill", "", kEngine, kBool, kImplemented, "interleave long prompts with other work (default: on)",
     [](Options o, Text v) { return SetBool(o.enable_chunked_prefill, v); }},
    {"enable-prefix-caching", "", kEngine, kBool, kImplemented, "resume prompts from what was computed before (default: on)",
     [](Options o, Text v) { return SetBool(o.enable_prefix_caching, v); }},
    {"prefix-cache-fraction", "", kEngine, kValue, kImplemented, "share of the memory left for KV and checkpoints that is meant for checkpoints, though the two share it; 0 keeps none, so that nothing is resumed (default: 0.24)",
     [](Options o, Text v) { return SetShare(o.prefix_cache_fraction, v); }},
    {"prefix-state-format", "", kEngine, kValue, kImplemented, "how checkpoints of states are kept: fp32 is exact, bf16 and int8 hold more of them; auto is fp32 on the CPU (default: auto)",
     [](Options o, Text v) { return SetChoice(o.prefix_state_format, v, {"auto", "fp32", "bf16", "int8"}); }},
    {"prefix-host-gib", "", kEngine, kValue, kImplemented, "GiB of host memory for prompts that the device's pools gave up (default: 0)",
     [](Options o, Text v) { return SetGib(o.prefix_host_bytes, v); }},
    {"kv-offloading-size", "", kEngine, kValue, kImplemented, "vLLM's name for --prefix-host-gib",
     [](Options o, Text v) -> Status { return v == "None" ? Status() : SetGib(o.prefix_host_bytes, v); }},
    {"prefix-disk-dir", "", kEngine, kValue, kImplemented, "directory for the KV, states and token ids (in plain) of prompts, found again after a restart; instances of one user may share it",
     [](Options o, Text v) { return SetText(o.prefix_disk_dir, v); }},
    {"prefix-disk-gib", "", kEngine, kValue, kImplemented, "GiB in --prefix-disk-dir, of each model there (default: 16)",
     [](Options o, Text v) { return SetGib(o.prefix_disk_bytes, v); }},
    {"seed", "", kEngine, kValue, kImplemented, "for requests without a seed of their own (default: 0)",
     [](Options o, Text v) { return SetInteger(o.seed, v, 0, std::numeric_limits<int64_t>::max()); }},
    {"num-threads", "", kEngine, kValue, kImplemented, "threads of the CPU backend (default: one per core it may use)",
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
    {"api-key-file", "", kServer, kValue, kImplemented, "keys of clients with scope, models, cache rights and limits, JSON lines; read again on SIGHUP (default: none)",
     [](Options o, Text v) { return SetText(o.api_key_file, v); }},
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
    {"shutdown-timeout", "", kServer, kValue, kImplemented, "vLLM's name for --shutdown-timeout-s",
     [](Options o, Text v) { return SetInteger(o.shutdown_timeout_s, v, 0, 86400); }},
    {"shutdown-timeout-s", "", kServer, kValue, kImplemented, "seconds for streams to finish after SIGTERM (default: 60)",
     [](Options o, Text v) { return SetInteger(o.shutdown_timeout_s, v, 0, 86400); }},

    {"enable-answer-cache", "", kCache, kBool, kImplemented, "serve stored answers to equal requests (default: on)",
     [](Options o, Text v) { return SetBool(o.enable_answer_cache, v); }},
    {"cache-memory-bytes", "", kCache, kValue, kImplemented, "bound of the in-process store (default: 67108864)",
     [](Options o, Text v) { return SetInteger(o.cache_memory_bytes, v, 0, int64_t{1} << 44); }},
    {"cache-ttl-s", "", kCache, kValue, kImplemented, "seconds an answer may be served (default: 86400)",
     [](Options o, Text v) { return SetInteger(o.cache_ttl_s, v, 1, kTenYears); }},
    {"cache-route-ttl-s", "", kCache, kList, kImplemented, "the same of one route: /v1/chat/completions=S or /v1/completions=S, 0 stores nothing (default: cache-ttl-s)", AppendRouteTtl},
    {"cache-ttl-max-s", "", kCache, kValue, kImplemented, "most seconds, whatever a request asks for; the same on all instances (default: 604800)",
     [](Options o, Text v) { return SetInteger(o.cache_ttl_max_s, v, 1, kTenYears); }},
    {"cache-time-words-ttl-s", "", kCache, kValue, kImplemented, "questions with words like today are cached for at most this; else not at all (default: 60)",
     [](Options o, Text v) { return SetInteger(o.cache_time_words_ttl_s, v, 0, kTenYears); }},
    {"cache-prompt-bytes-min", "", kCache, kValue, kImplemented, "requests with a shorter prompt are not cached (default: 1)",
     [](Options o, Text v) { return SetInteger(o.cache_prompt_bytes_min, v, 0, int64_t{1} << 32); }},
    {"cache-prompt-bytes-max", "", kCache, kValue, kImplemented, "requests with a longer prompt are not cached (default: 1048576)",
     [](Options o, Text v) { return SetInteger(o.cache_prompt_bytes_max, v, 0, int64_t{1} << 32); }},
    {"cache-entry-bytes-max", "", kCache, kValue, kImplemented, "largest answer that is stored, with its request, uncompressed (default: 16777216)",
     [](Options o, Text v) { return SetInteger(o.cache_entry_bytes_max, v, 1024, int64_t{1} << 28); }},
    {"cache-controls", "", kCache, kList, kImplemented, "what who has no key of --api-key-file may choose of the answer cache: ttl, namespace, refresh, semantic, or none (default: all)", AppendCacheControl},
    {"cache-sampled", "", kCache, kBool, kImplemented, "also answers sampled above temperature 0 without a seed (default: off)",
     [](Options o, Text v) { return SetBool(o.cache_sampled, v); }},
    {"cache-replay-tokens-per-s", "", kCache, kValue, kImplemented, "pace of a stored answer that is streamed; 0 is at once (default: 0)",
     [](Options o, Text v) { return SetInteger(o.cache_replay_tokens_per_s, v, 0, 1'000'000); }},
    {"cache-normalised", "", kCache, kBool, kImplemented, "also answers to requests whose last user text differs in case, space and end punctuation only (default: off)",
     [](Options o, Text v) { return SetBool(o.cache_normalised, v); }},
    {"cache-tools", "", kCache, kBool, kImplemented, "also answers to requests with tools (default: off)",
     [](Options o, Text v) { return SetBool(o.cache_tools, v); }},
    {"cache-semantic", "", kCache, kValue, kImplemented, "stored answers to questions in other words, with an embedder: off, shadow (recorded, not served) or serve (default: shadow)",
     [](Options o, Text v) { return SetMode(o.cache_semantic, v); }},
    {"cache-semantic-route", "", kCache, kList, kImplemented, "the same of one route: /v1/chat/completions=MODE (default: cache-semantic)", AppendRouteMode},
    {"cache-semantic-verifier", "", kCache, kValue, kImplemented, "what lets an answer be served: static (a threshold) or verified (evidence that few are wrong) (default: verified)",
     [](Options o, Text v) { return SetChoice(o.cache_semantic_verifier, v, {"static", "verified"}); }},
    {"cache-semantic-threshold", "", kCache, kValue, kImplemented, "static: cosine from which an answer is served (default: 0.80)",
     [](Options o, Text v) { return SetWithin(o.cache_semantic_threshold, v, 0, 1); }},
    {"cache-semantic-error-max", "", kCache, kValue, kImplemented, "verified: share of the answers served that may be wrong (default: 0.01)",
     [](Options o, Text v) { return SetWithin(o.cache_semantic_error_max, v, 0.0001, 0.5); }},
    {"cache-semantic-confidence", "", kCache, kValue, kImplemented, "verified: how sure that must be (default: 0.95)",
     [](Options o, Text v) { return SetWithin(o.cache_semantic_confidence, v, 0.5, 0.9999); }},
    {"cache-semantic-observe", "", kCache, kValue, kImplemented, "share of such hits that are generated all the same and compared (default: 0.02)",
     [](Options o, Text v) { return SetWithin(o.cache_semantic_observe, v, 0, 1); }},
    {"cache-semantic-gates", "", kCache, kList, kImplemented, "gates that are on: all, none or numbers, names, negation, antonyms, order, language, length, margin (default: all)", AppendGate},
    {"cache-semantic-entries-max", "", kCache, kValue, kImplemented, "questions that can be found, of all instances together; the same on all (default: 200000)",
     [](Options o, Text v) { return SetInteger(o.cache_semantic_entries_max, v, 1, 10'000'000); }},
    {"cache-semantic-dir", "", kCache, kValue, kImplemented, "directory for the index of questions, so that a start need not build it from Redis; whoever reads it learns roughly what was asked (default: none)",
     [](Options o, Text v) { return SetText(o.cache_semantic_dir, v); }},
    {"cache-judge", "", kCache, kValue, kImplemented, "who compares a stored answer with a generated one: model, the one that is served, or the URL of another with OpenAI's chat API (default: the embedder, which is often wrong)", SetJudge},
    {"cache-judge-model", "", kCache, kValue, kImplemented, "model to ask for at the URL of --cache-judge",
     [](Options o, Text v) { return SetText(o.cache_judge_model, v); }},
    {"cache-judge-api-key-file", "", kCache, kValue, kImplemented, "key for it; also NEXTGATE_JUDGE_API_KEY",
     [](Options o, Text v) { return SetText(o.cache_judge_api_key_file, v); }},
    {"cache-judge-tls-ca-file", "", kCache, kValue, kImplemented, "authorities (PEM) that sign its certificate (default: the system's)",
     [](Options o, Text v) { return SetText(o.cache_judge_tls_ca_file, v); }},
    {"cache-comparator-error", "", kCache, kValue, kImplemented, "W/N,D/M: how often what compares answers is wrong, as nextgate admin comparator counts it (default: known of the embedder minilm, else nothing is served by verified)", SetComparatorError},
    {"cache-url", "", kCache, kValue, kImplemented, "a Redis or Valkey that instances share: redis://[USER@]HOST[:PORT][/DB], redis+sentinel://HOST,…/MASTER[/DB], redis+cluster://HOST,…; rediss for TLS (default: none)",
     SetCacheUrl},
    {"cache-secret-file", "", kCache, kValue, kImplemented, "secret of all instances that share or exchange exports, at least 16 bytes; also NEXTGATE_CACHE_SECRET",
     [](Options o, Text v) { return SetText(o.cache_secret_file, v); }},
    {"cache-namespace", "", kCache, kValue, kImplemented, "beginning of all keys in Redis (default: nextgate)", SetCacheNamespace},
    {"cache-max-stale-s", "", kCache, kValue, kImplemented, "seconds without a word from Redis after which no stored answer is served (default: 60)",
     [](Options o, Text v) { return SetInteger(o.cache_max_stale_s, v, 1, 86400); }},
    {"cache-password-file", "", kCache, kValue, kImplemented, "password for Redis; also NEXTGATE_CACHE_PASSWORD",
     [](Options o, Text v) { return SetText(o.cache_password_file, v); }},
    {"cache-encryption-key-file", "", kCache, kValue, kImplemented, "keys for AES-256-GCM of what lies in Redis, 64 hex digits a line; the first encrypts, all decrypt (default: signed only)",
     [](Options o, Text v) { return SetText(o.cache_encryption_key_file, v); }},
    {"cache-tls-ca-file", "", kCache, kValue, kImplemented, "authorities (PEM) that sign the Redis' certificate (default: the system's)",
     [](Options o, Text v) { return SetText(o.cache_tls_ca_file, v); }},

    {"embedding-model", "", kEmbedder, kValue, kImplemented, "directory of a sentence-transformers model that turns questions into vectors, and serves /v1/embeddings; minilm is what scripts/models.sh minilm fetches (default: none)",
     [](Options o, Text v) { return SetText(o.embedding_model, v); }},
    {"embedding-threads", "", kEmbedder, kValue, kImplemented, "threads of --embedding-model; 0 is one per core (default: 1)",
     [](Options o, Text v) { return SetInteger(o.embedding_threads, v, 0, 1024); }},
    {"embedding-url", "", kEmbedder, kValue, kImplemented, "instead of --embedding-model a server with OpenAI's /v1/embeddings: http://HOST:PORT/v1 (default: none)", SetEmbeddingUrl},
    {"embedding-url-model", "", kEmbedder, kValue, kImplemented, "model to ask it for",
     [](Options o, Text v) { return SetText(o.embedding_url_model, v); }},
    {"embedding-dimension", "", kEmbedder, kValue, kImplemented, "values in its vectors; others are refused",
     [](Options o, Text v) { return SetInteger(o.embedding_dimension, v, 1, 1 << 16); }},
    {"embedding-shorten", "", kEmbedder, kBool, kImplemented, "ask it for vectors of --embedding-dimension values, which only some models can make (default: off)",
     [](Options o, Text v) { return SetBool(o.embedding_shorten, v); }},
    {"embedding-revision", "", kEmbedder, kValue, kImplemented, "your name for what it serves; vectors of another one are not compared",
     [](Options o, Text v) { return SetText(o.embedding_revision, v); }},
    {"embedding-api-key-file", "", kEmbedder, kValue, kImplemented, "key for it; also NEXTGATE_EMBEDDING_API_KEY",
     [](Options o, Text v) { return SetText(o.embedding_api_key_file, v); }},
    {"embedding-tls-ca-file", "", kEmbedder, kValue, kImplemented, "authorities (PEM) that sign its certificate (default: the system's)",
     [](Options o, Text v) { return SetText(o.embedding_tls_ca_file, v); }},
    {"embedding-timeout-ms", "", kEmbedder, kValue, kImplemented, "ms that a question which is looked up waits for its vector; then it is a miss (default: 20)",
     [](Options o, Text v) { return SetInteger(o.embedding_timeout_ms, v, 1, 60'000); }},

    {"upstream", "", kUpstream, kList, kImplemented, "URLs of OpenAI-compatible servers that answer what is not stored, in order of preference: http://HOST:PORT/v1", AppendUpstream},
    {"upstream-api-key-file", "", kUpstream, kValue, kImplemented, "key for the upstreams; also NEXTGATE_UPSTREAM_API_KEY",
     [](Options o, Text v) { return SetText(o.upstream_api_key_file, v); }},
    {"upstream-model", "", kUpstream, kValue, kImplemented, "model to ask the upstreams for, whatever the client says (default: what the client says)",
     [](Options o, Text v) { return SetText(o.upstream_model, v); }},
    {"upstream-revision", "", kUpstream, kValue, kImplemented, "your name for what they serve; another one is another answer cache",
     [](Options o, Text v) { return SetText(o.upstream_revision, v); }},
    {"upstream-tls-ca-file", "", kUpstream, kValue, kImplemented, "authorities (PEM) that sign their certificates (default: the system's)",
     [](Options o, Text v) { return SetText(o.upstream_tls_ca_file, v); }},
    {"upstream-retries", "", kUpstream, kValue, kImplemented, "rounds through the upstreams after the first, before the first byte of an answer (default: 2)",
     [](Options o, Text v) { return SetInteger(o.upstream_retries, v, 0, 10); }},
    {"upstream-connect-timeout-s", "", kUpstream, kValue, kImplemented, "seconds for a connection, with looking the name up and TLS (default: 5)",
     [](Options o, Text v) { return SetInteger(o.upstream_connect_timeout_s, v, 1, 86400); }},
    {"upstream-first-byte-timeout-s", "", kUpstream, kValue, kImplemented, "seconds for the head of an answer; of one that is not streamed that is the whole generation (default: 600)",
     [](Options o, Text v) { return SetInteger(o.upstream_first_byte_timeout_s, v, 1, 86400); }},
    {"upstream-idle-timeout-s", "", kUpstream, kValue, kImplemented, "seconds between two pieces of an answer (default: 120)",
     [](Options o, Text v) { return SetInteger(o.upstream_idle_timeout_s, v, 1, 86400); }},
    {"upstream-timeout-s", "", kUpstream, kValue, kImplemented, "seconds for an answer, all attempts included (default: 3600)",
     [](Options o, Text v) { return SetInteger(o.upstream_timeout_s, v, 1, 86400); }},
    // clang-format on
};

}  // namespace

std::span<const Flag> ServeFlags() {
  static const auto all = [] {
    std::vector<Flag> flags(std::begin(kImplementedFlags), std::end(kImplementedFlags));
    const auto others = UnimplementedFlags();
    flags.insert(flags.end(), others.begin(), others.end());
    return flags;
  }();
  return all;
}

}  // namespace nextgate::gateway
