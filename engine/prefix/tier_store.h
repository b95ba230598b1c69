// Where one lower tier keeps its records' bytes: host memory or a directory.
//
// A record's bytes are its state (one checkpoint) and then its blocks in order, each as BlockBytes() of
// KvPool: for every full-attention layer K, then V.
//
// Threads: Reserve and Free on the engine thread, Write and Read on the tiers' worker. The engine
// guarantees that blocks and slots named in a payload are left alone until its job is done.
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

class TierStore {
 public:
  virtual ~TierStore() = default;
  virtual const char* name() const = 0;
  // What a record of so many blocks takes of bytes_max().
  virtual int64_t RecordBytes(int32_t blocks) const = 0;
  virtual int64_t bytes_max() const = 0;

  // Before Write. REQUIRES: RecordBytes fit.
  virtual void Reserve(const TierRecord& record) = 0;
  // It is not wanted any more; also after a Write that failed.
  virtual void Free(const TierRecord& record) = 0;

  virtual Status Write(const TierRecord& record, const DevicePlace& from) = 0;
  // kNotFound: it is gone or damaged. Other errors: the tier is in trouble.
  virtual Status Read(const TierRecord& record, const DevicePlace& to) = 0;

  // Records of an earlier run, each after the one it continues; and those that other instances have
  // written since. Worker; the first call at start.
  virtual std::vector<TierRecordPtr> Discover() { return {}; }
};

// `bytes` of host memory, reserved at once and backed when used. The device pools outlive it.
Result<std::unique_ptr<TierStore>> OpenHostStore(const DevicePools& device, int64_t bytes);

// Files below `dir`, which other instances may share. `identity` names everything a record's bytes
// depend on: model, types, shapes, format.
Result<std::unique_ptr<TierStore>> OpenDiskStore(const DevicePools& device, const std::string& dir,
                                                 const std::string& identity, int64_t bytes);

}  // namespace nextgate::engine
