// MODEL on the command line: a directory, or the id of a model on the Hugging Face hub
// ("org/name"), which is looked up in the hub's local cache layout, else downloaded into it. Other
// programs find what we downloaded and we find what they did:
//
//   <cache>/models--org--name/refs/<revision>            the commit a branch or tag stood at
//                            /blobs/<sha256 | git sha1>   contents, named by their hash
//                            /snapshots/<commit>/<file>   relative links into blobs/
//   <cache>/.locks/models--org--name/<hash>.lock         flock: one process downloads a blob
//
// A snapshot counts as found if config.json, tokenizer.json and all weights (where they are wanted:
// HubConfig::weights) are there; then nothing is asked of the network. So a branch that moved on is not noticed; name the commit with
// --revision to get it. Only files the loader needs are downloaded, the small ones first, the
// weights last.
//
// Every file's size and hash (sha256 of large files, git's sha1 of small ones) are checked before
// it gets its name; what broke off is kept as <blob>.incomplete and resumed. Nothing the server
// says becomes a path unchecked. The token goes to the endpoint's own origin only, never to where
// it redirects, and into no log.
//
// Threads: ResolveModel is called by one thread and runs num_connections of its own. Processes may
// call it at the same time on one cache.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace nextgate::gateway {

struct HubProgress {
  int64_t bytes_done = 0;  // verified, resumed and newly received
  int64_t bytes_total = 0;
  int64_t files_done = 0;
  int64_t files_total = 0;
  double bytes_per_s = 0;  // received, over the last few seconds
};

// "3.21 of 162.70 GB, 0.85 GB/s, 3 min 8 s remaining (4 of 51 files)".
std::string FormatProgress(const HubProgress& progress);

struct HubConfig {
  std::string endpoint = "https://huggingface.co";  // HF_ENDPOINT
  std::string cache_dir;                            // HF_HUB_CACHE, else HF_HOME/hub
  std::string token;     // HF_TOKEN, else the file HF_TOKEN_PATH or HF_HOME/token. Never logged
  bool offline = false;  // HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE
  bool weights = true;   // false (--load-format dummy): neither looked for nor downloaded
  std::string http_proxy, https_proxy, no_proxy;  // the variables of these names, small or capital

  int num_connections = 8;
  int attempts_max = 6;          // in a row without a byte of progress
  int64_t retry_delay_ms = 500;  // doubled at each further attempt, up to 30 s
  int64_t read_timeout_ms = 30'000;
  int64_t progress_interval_ms = 2000;
  // Called from ResolveModel's thread; empty: a log line.
  std::function<void(const HubProgress&)> on_progress;
};

// Reads the variables named above through `get_env` (nullptr if unset).
HubConfig HubConfigFromEnvironment(const std::function<const char*(const char*)>& get_env);
HubConfig HubConfigFromEnvironment();

// The directory to load: `model` itself if it is a directory, else the snapshot of the hub id
// `model` at `revision` ("" = main). Errors say what was looked for and what to do: no such
// directory, one the file system refuses, or a malformed id (kInvalidArgument); not in the cache and offline, or no such model or
// revision (kNotFound); needs a token (kUnauthenticated) or acceptance of its conditions
// (kPermissionDenied); hub not reachable (kUnavailable); disk full (kResourceExhausted); sizes,
// hashes or names that are not what they should be (kDataLoss).
Result<std::string> ResolveModel(std::string_view model, std::string_view revision,
                                 const HubConfig& config);

// "org/name" or "name" of letters, digits, - _ . (no "--" or "..", at most 96 characters a part).
Status CheckHubId(std::string_view id);
// A branch, tag or commit that is safe as a path below refs/.
Status CheckRevision(std::string_view revision);

// The snapshot directory of `id` in the cache if it is complete (without `weights`: if all else is);
// kNotFound says what is missing.
Result<std::string> FindInCache(std::string_view id, std::string_view revision,
                                const std::string& cache_dir, bool weights = true);

}  // namespace nextgate::gateway
