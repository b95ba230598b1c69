// Downloading one snapshot into the hub's cache layout (gateway/hub.h has the layout and the
// promises).
//
// Threads: DownloadSnapshot is called by one thread and runs config.num_connections of its own.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "gateway/hub.h"

namespace nextgate::gateway {

// A file of the repository as the hub describes it.
struct HubFile {
  std::string name;  // top-level file name
  std::string hash;  // lower-case hex: 64 digits, sha256 of the content; 40, git's sha1 of the blob
  int64_t size = 0;
};

struct HubManifest {
  std::string commit;          // 40 hex digits
  std::vector<HubFile> files;  // those a loader can use; hash and size may still be unknown
};

// Files the loader can use, by name: configuration, tokenizer, template, weights and their index.
bool IsWantedFile(std::string_view name);

// Reads the answer of GET /api/models/{id}/revision/{revision}?blobs=true. kDataLoss if it is not
// what the hub sends, or lists a name that would lie outside the snapshot.
Result<HubManifest> ParseManifest(std::string_view json);

// File names that model.safetensors.index.json refers to, each once. kDataLoss as above.
Result<std::vector<std::string>> ShardsOfIndex(std::string_view json);

// Downloads what is missing; returns the snapshot directory. REQUIRES: id and revision passed their
// checks.
Result<std::string> DownloadSnapshot(const std::string& id, const std::string& revision,
                                     const HubConfig& config);

}  // namespace nextgate::gateway
