// The engine: tokens in, tokens out, continuous batching on one thread of its own. Read engine.cc's
// Engine::Step first: prefix lookup → schedule → forward → sample → commit.
//
// Threads: all methods of Engine from any thread. All scheduling state belongs to the engine thread,
// without locks; requests reach it through a bounded queue.
//
// Invariants: (1) a request that was accepted gets exactly one Finished event; (2) nothing is
// allocated in proportion to the model after Open; (3) on the CPU backend a request's tokens depend
// on nothing but the request, the model and its seed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/prefix/prefix_report.h"
#include "engine/request.h"

namespace nextgate::engine {

struct EngineConfig {
  std::string model_dir;              // a checkpoint directory (see model/weights.h)
  std::string load_format = "auto";   // auto | safetensors | dummy
  std::string hf_overrides;           // JSON object merged over config.json; empty: none
  std::string generation_config_dir;  // whose eos tokens count; empty: model_dir's, if it has any
  int32_t max_model_len = 0;  // 0: the checkpoint's max_position_embeddings, as memory allows
  int32_t max_num_seqs = 64;
  // Tokens in one step, at least max_num_seqs + 64. While a step lasts nobody else gets a token, a
  // client that left goes on and the heartbeat stands still, and activations for all of it are set
  // aside at the start. On a CPU a step of 8,192, right for a large GPU, would make these waits four
  // times as long; vLLM, too, takes 2,048 on CPUs.
  int32_t max_num_batched_tokens = 2048;
  bool enable_chunked_prefill = true;
  double memory_utilization = 0.9;  // share of the device's memory the plan may take
  int64_t kv_tokens = 0;            // KV pool size in tokens; 0: from the memory plan
  int32_t num_threads = 0;          // 0: one per core
  uint64_t seed = 0;                // for requests without one
  int32_t queue_capacity = 4096;    // requests waiting for the engine thread

  bool enable_prefix_caching = true;
  // Of the memory that is left for KV and checkpoints, what is meant for checkpoints. The two share it, but
  // for what kv_tokens or prefix_checkpoints ask for.
  double prefix_cache_fraction = 0.24;
  std::string prefix_state_format = "auto";  // auto (fp32 on the CPU) | fp32 | bf16 | int8
  int32_t prefix_checkpoints = -1;           // slots; -1: from the memory plan
  int64_t prefix_host_bytes = 0;             // the host tier; 0: none
  std::string prefix_disk_dir;               // the disk tier; empty: none
  int64_t prefix_disk_bytes = int64_t{16} << 30;
};

struct ModelInfo {
  int32_t vocab_size = 0;  // rows of the head; ids at or above the tokenizer's size have no string
  int32_t max_model_len = 0;  // prompt + answer, tokens
  std::vector<int32_t> eos_token_ids;
  std::string fingerprint;  // hex; weights index, config, tokenizer, template, generation config
  std::string dtype;        // of most weights
  int64_t parameters = 0;
  int64_t weight_bytes = 0;
};

struct PrefixTierStats {  // of a tier below the device: counters since start, gauges now
  std::string name;       // host | disk
  bool works = true;      // false: left alone after an error
  // works | full: nothing is written for a while | slow: nothing is read for a while | left alone: neither
  std::string state = "works";
  uint64_t stored = 0;  // records
  uint64_t store_failures = 0;
  uint64_t skipped = 0;  // too large, or nothing could go for them
  uint64_t evicted = 0;
  uint64_t loaded = 0;  // beginnings of prompts
  uint64_t load_failures = 0;
  uint64_t discovered = 0;  // of an earlier run, or of other instances
  int64_t records = 0;
  int64_t bytes = 0;
  int64_t bytes_max = 0;
};

// The prefix cache's figures. Of the prompt tokens that were looked up, those whose KV was there matched;
// those before the checkpoint were resumed, the rest of the matched ones were replayed (a checkpoint
// lay above) or lost (none did).
struct PrefixStats {  // counters since start, gauges now
  uint64_t lookups = 0;
  uint64_t lookups_limited =
      0;  // had to compute more than was there: their prompt's logits were wanted
  uint64_t queried_tokens = 0;
  uint64_t matched_tokens = 0;
  uint64_t resumed_tokens = 0;
  uint64_t replayed_tokens = 0;
  uint64_t lost_tokens = 0;
  uint64_t waits = 0;  // admissions put off for a beginning that was being computed
  uint64_t checkpoints_made = 0;
  uint64_t checkpoints_evicted = 0;
  uint64_t checkpoints_refused = 0;  // no slot was worth giving up
  uint64_t blocks_evicted = 0;
  int32_t block_tokens = 0;   // of one block
  int32_t blocks_cached = 0;  // in the tree
  int32_t blocks_idle = 0;    // of those, used by nobody
  int32_t checkpoints_used = 0;
  int32_t checkpoints_total = 0;
  int64_t checkpoint_bytes = 0;  // of one
  std::vector<PrefixTierStats> tiers;
};

struct EngineStats {  // counters since start, gauges now
  uint64_t steps = 0;
  uint64_t requests_submitted = 0;
  uint64_t requests_finished = 0;
  uint64_t requests_cancelled = 0;
  uint64_t prompt_tokens = 0;  // computed
  uint64_t generated_tokens = 0;
  uint64_t preemptions = 0;
  int32_t running = 0;
  int32_t waiting = 0;
  int32_t kv_blocks_used = 0;  // by running sequences
  int32_t kv_blocks_total = 0;
  int32_t state_slots_used = 0;
  int32_t state_slots_total = 0;
  PrefixStats prefix;
};

class Qwen3Next;

class Engine {
 public:
  // Loads the model, plans and prints memory, starts the engine thread.
  static Result<std::unique_ptr<Engine>> Open(const EngineConfig& config);

  // The same over a model that is already there. REQUIRES: it takes steps of max_num_batched_tokens
  // tokens, max_num_seqs sequences and max_num_seqs + 64 rows of logits, and positions up to
  // max_model_len. model_dir may be empty: then only the model's own eos tokens are known.
  static Result<std::unique_ptr<Engine>> Open(const EngineConfig& config,
                                              std::unique_ptr<Qwen3Next> model);
  virtual ~Engine() = default;  // stops at once; unfinished requests get Finished{kCancelled}

  // kInvalidArgument: the request could never run (says the arithmetic); kResourceExhausted: the
  // queue is full; kUnavailable: stopping.
  virtual Result<std::unique_ptr<Generation>> Submit(GenerationRequest request) = 0;

  virtual const ModelInfo& info() const = 0;
  virtual EngineStats Stats() const = 0;

  // Time since the engine thread last showed that it goes on: at least every 100 ms when idle, several
  // times a layer in a forward. A much larger age means that it hangs (/health turns red).
  virtual int64_t HeartbeatAgeMs() const = 0;

  // The next three are done by the engine thread between two steps: when idle within 100 ms, else after the
  // step that runs. kUnavailable: stopping; kDeadlineExceeded: it did not come round, and nothing was done.

  // What the prefix cache would do for this request now. Changes nothing. kInvalidArgument as Submit.
  virtual Result<PrefixExplanation> ExplainPrefix(const GenerationRequest& request) = 0;
  // Forgets all that no sequence uses, in the tiers below too, and says how many blocks that were.
  // kDeadlineExceeded also: it is forgotten, but its files are not deleted yet.
  virtual Result<int32_t> ResetPrefixCache() = 0;
  virtual Result<std::vector<PrefixNode>> PrefixMap(int32_t nodes_max) = 0;
};

}  // namespace nextgate::engine
