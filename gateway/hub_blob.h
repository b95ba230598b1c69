// Bringing one blob of the hub into the cache: resumed, checked by size and hash, named last.
//
// Threads: FetchBlob may run on several threads for different blobs.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "base/status.h"
#include "gateway/hub.h"
#include "gateway/hub_client.h"
#include "gateway/hub_download.h"

namespace nextgate::gateway {

// The error of a failed call on `path`: kResourceExhausted if the disk is full, else kUnavailable.
std::unexpected<Error> FileError(const std::string& path, int error_number);

// A file descriptor that closes itself; a flock on it ends with it.
class Fd {
 public:
  Fd(const std::string& path, int flags);
  ~Fd();
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

struct TransferCounters {
  std::atomic<int64_t> bytes_done = 0;  // resumed and received; falls when a file starts over
  std::atomic<int64_t> received = 0;    // from the network
};

// Downloads `file` from `url_path` (below the endpoint) into `blob_path` by way of
// <blob_path>.incomplete, which is kept if it fails for a reason that trying again may cure. Ends
// early if `stop` is set. REQUIRES: the caller holds the blob's lock; file.hash and file.size are
// known.
Status FetchBlob(const HubClient& client, const HubConfig& config, const HubFile& file,
                 const std::string& url_path, const std::string& blob_path,
                 const std::atomic<bool>& stop, TransferCounters& counters);

}  // namespace nextgate::gateway
