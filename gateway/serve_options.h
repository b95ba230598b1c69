// What `nextgate serve` was asked to do, after flags, --config FILE and environment were merged.
// Every field has the meaning of the vLLM flag of the same name, where vLLM has it; defaults are
// set here and nowhere else. gateway/flags.h fills it, gateway/app.h runs it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cache/semantic/comparator_error.h"
#include "cache/semantic/mode.h"

namespace nextgate::gateway {

// The judge of answers is the model that is served.
inline constexpr std::string_view kJudgeIsModel = "model";

struct ServeOptions {
  // Model
  std::string
      model;  // a checkpoint directory, or a hub id such as Qwen/Qwen3-Next-80B-A3B-Instruct
  std::vector<std::string> served_model_names;  // empty: `model` as it was typed
  std::string revision = "main";                // of a hub id
  std::string load_format = "auto";             // auto | safetensors | dummy
  std::string hf_overrides;                     // a JSON object, or empty
  std::string generation_config = "auto";  // auto: the checkpoint's; vllm: none; else a directory
  std::string chat_template;  // a file, or the template itself; empty: the checkpoint's
  std::string dtype = "auto";
  std::string device = "auto";  // auto | cpu | cuda
  int32_t tensor_parallel_size = 1;

  // Engine
  int32_t max_model_len = 0;  // tokens; 0: the checkpoint's
  int32_t max_num_seqs = 64;
  int32_t max_num_batched_tokens = 2048;  // why: engine/engine.h
  double gpu_memory_utilization =
      0.9;  // share of the device's memory; on the CPU, of the machine's
  bool enable_chunked_prefill = true;
  bool enable_prefix_caching = true;
  double prefix_cache_fraction = 0.24;       // of the memory left for KV and checkpoints
  std::string prefix_state_format = "auto";  // of checkpoints: auto | fp32 | bf16 | int8
  int64_t prefix_host_bytes = 0;             // 0: no host tier; vLLM: --kv-offloading-size
  std::string prefix_disk_dir;               // empty: no disk tier
  int64_t prefix_disk_bytes = int64_t{16} << 30;
  uint64_t seed = 0;
  int32_t num_threads = 0;  // CPU backend; 0: one per core

  // Server
  std::string host = "127.0.0.1";
  int32_t port = 8000;  // 0: a free one
  std::string admin_host = "127.0.0.1";
  std::optional<int32_t> admin_port;               // absent: port + 1 (port 0: a free one)
  std::string admin_api_key_file, admin_api_keys;  // the second is the first's text. Never logged
  std::vector<std::string> api_keys;               // empty: open. Never logged
  std::string api_key_file, api_key_records;       // the second is the first's text. Never logged
  std::vector<std::string> allowed_origins;        // CORS; empty: off
  bool disable_access_log = false;
  std::string log_level = "info";  // debug | info | warning | error
  int32_t max_logprobs = 20;
  int64_t max_body_bytes = 32 << 20;
  int32_t max_messages = 4096;
  int32_t max_waiting_requests = 1024;  // beyond: 429
  int32_t shutdown_timeout_s = 60;      // for streams to finish after SIGTERM

  // Answer cache
  bool enable_answer_cache = true;
  int64_t cache_memory_bytes = 64 << 20;
  int64_t cache_ttl_s = 24 * 3600;
  bool cache_sampled = false;  // also answers of an explicit temperature above 0 without a seed
  int32_t cache_replay_tokens_per_s = 0;  // of stored answers as streams; 0: at once
  bool cache_tools = false;               // also answers to requests with tools
  bool cache_normalised = false;          // also answers to requests that only mean the same
  std::map<std::string, int64_t, std::less<>> cache_route_ttl_s;  // instead of cache_ttl_s
  int64_t cache_ttl_max_s = 7 * 24 * 3600;                        // of what clients ask for, too
  int64_t cache_time_words_ttl_s = 60;  // longer: no answers to questions with "today" …
  int64_t cache_prompt_bytes_min = 1;   // of requests that are cached
  int64_t cache_prompt_bytes_max = 1 << 20;
  int64_t cache_entry_bytes_max = 16 << 20;  // of an answer with its request
  std::vector<std::string> cache_controls;   // of who has no key of a file; empty: all of them

  // The semantic tier, if there is an embedder
  cache::SemanticMode cache_semantic = cache::SemanticMode::kShadow;
  std::map<std::string, cache::SemanticMode, std::less<>> cache_semantic_route;  // instead of that
  std::string cache_semantic_verifier = "verified";                              // or static
  double cache_semantic_threshold = 0.80;  // of static: a cosine
  double cache_semantic_error_max = 0.01;  // of verified: share of served hits that may be wrong
  double cache_semantic_confidence = 0.95;
  double cache_semantic_observe = 0.02;           // share of hits that are generated all the same
  std::vector<std::string> cache_semantic_gates;  // "all", "none" or codes; empty: all
  int64_t cache_semantic_entries_max = 200'000;   // questions of all instances together
  std::string cache_semantic_dir;                 // of the index' file; empty: none
  std::string cache_judge;                        // of answers: kJudgeIsModel, a URL, or none
  std::string cache_judge_model;                  // asked for at the URL
  std::string cache_judge_api_key_file,
      cache_judge_api_key;              // the second is the first's text. Never logged
  std::string cache_judge_tls_ca_file;  // PEM; empty: the system's
  // Of what compares answers; nothing: not counted.
  std::optional<cache::ComparatorError> cache_comparator_error;

  // Upstreams, instead of a model
  std::vector<std::string> upstreams;  // URLs in order of preference
  std::string upstream_model;          // asked for whatever the client says; empty: what it says
  std::string upstream_revision;       // the operator's name for what is served there
  std::string upstream_api_key_file,
      upstream_api_key;              // the second is the first's text. Never logged
  std::string upstream_tls_ca_file;  // PEM; empty: the system's
  int32_t upstream_retries = 2;
  int32_t upstream_connect_timeout_s = 5;
  int32_t upstream_first_byte_timeout_s = 600;
  int32_t upstream_idle_timeout_s = 120;
  int32_t upstream_timeout_s = 3600;

  // Embedder: what turns questions into vectors; a model or a URL, or none
  std::string embedding_model;  // a directory, or a name that gateway/open_embedder.h knows
  std::string embedding_url;    // of a server with OpenAI's /v1/embeddings
  std::string embedding_url_model;
  std::string embedding_api_key_file,
      embedding_api_key;              // the second is the first's text. Never logged
  std::string embedding_tls_ca_file;  // PEM; empty: the system's
  int32_t embedding_dimension = 0;    // of the URL's vectors
  bool embedding_shorten = false;     // asks the URL for vectors of that dimension
  std::string embedding_revision;     // the operator's name for what the URL serves
  int32_t embedding_timeout_ms = 20;  // of a question that is looked up
  int32_t embedding_threads = 1;      // of the model; 0: one per core

  // What instances share
  std::string cache_url;  // as ParseRedisUrl reads it; empty: this process alone
  std::string cache_namespace = "nextgate";
  int32_t cache_max_stale_s =
      60;  // without a word from Redis, after which nothing stored is served
  std::string cache_secret_file, cache_secret;      // the second is the first's text. Never logged
  std::string cache_password_file, cache_password;  // likewise
  std::string cache_tls_ca_file;                    // PEM; empty: the system's
  std::string cache_encryption_key_file, cache_encryption_keys;  // likewise; empty: not encrypted
};

}  // namespace nextgate::gateway
