// Where one lower tier keeps its records' bytes: host memory or a directory.
//
// A record's bytes are its blocks in order, each as BlockBytes() of KvPool (for every full-attention
// layer K, then V), and then its state (one checkpoint).
//
// Threads: those that take a TierJob, and Flush, on the tier's worker, one at a time; all others on the
// engine thread. Blocks and slots named in a place are left alone as long as the job's Device() is had.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/model/config.h"
#include "engine/model/step.h"
#include "engine/prefix/tier_index.h"
#include "engine/prefix/tier_worker.h"

namespace nextgate::engine {

// The device's pools.
struct DevicePools {
  KvStorage kv;
  CheckpointStorage checkpoints;

  int64_t block_bytes() const;
  void ReadBlock(int32_t block, std::byte* to) const;
  void WriteBlock(int32_t block, const std::byte* from) const;
};

// A record's place on the device. −1: not wanted.
struct DevicePlace {
  int32_t slot = -1;
  std::vector<int32_t> blocks;  // [record.blocks()]
};

// What a store holds that nobody told it to.
struct TierDiscovery {
  std::vector<TierRecordPtr> records;  // the latest used first, each after the one it continues
  std::vector<BlockKey> gone;          // known before, and not there any more
};

class TierStore {
 public:
  virtual ~TierStore() = default;
  virtual const char* name() const = 0;
  // What a record of so many blocks takes of bytes_max().
  virtual int64_t RecordBytes(int32_t blocks) const = 0;
  virtual int64_t bytes_max() const = 0;

  // Before Write. A record is named by its address until it is freed. REQUIRES: RecordBytes fit.
  virtual void Reserve(const TierRecord& record) = 0;
  // It is not wanted any more; also after a Write that failed.
  virtual void Free(const TierRecord& record) = 0;

  // kCancelled: the job was given up; kDataLoss: something else has its place; kResourceExhausted: there is
  // no room for more; other errors: the tier is in trouble.
  virtual Status Write(const TierRecord& record, const DevicePlace& from, TierJob& job) = 0;
  // kCancelled: as Write; kNotFound: it is gone; kDataLoss: it is damaged; other errors: the tier is in
  // trouble.
  virtual Status Read(const TierRecord& record, const DevicePlace& to, TierJob& job) = 0;

  // Whether others (an earlier run, other instances) leave something that Discover finds.
  virtual bool is_shared() const { return false; }
  // What changed since the last call. Beats.
  virtual TierDiscovery Discover(TierJob&) { return {}; }
  // What was freed is gone for others, too.
  virtual void Flush() {}
};

// `bytes` of host memory, reserved at once and backed when used. The device pools outlive it.
Result<std::unique_ptr<TierStore>> OpenHostStore(const DevicePools& device, int64_t bytes);

// Files below `dir`, which other instances may share. `identity` names everything a record's bytes
// depend on: model, types, shapes, format.
Result<std::unique_ptr<TierStore>> OpenDiskStore(const DevicePools& device, const std::string& dir,
                                                 const std::string& identity, int64_t bytes);

}  // namespace nextgate::engine
