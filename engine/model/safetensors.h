// Read-only access to safetensors files by mmap. Nothing in a file is trusted: the header's length,
// its JSON, every dtype, shape and offset are checked before a byte of data is touched; tensors
// cover the data section without overlap or gap, and none is named twice. Format:
// github.com/huggingface/safetensors (8-byte little-endian header length, JSON header, data).
//
// Threads: immutable after Open. Tensors borrow the mapping: they live as long as the file object.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"

namespace nextgate::engine {

struct RawTensor {
  std::string dtype;           // as written: BF16, F16, F32, F8_E4M3, …
  std::vector<int64_t> shape;  // dims ≥ 0
  std::span<const std::byte> data;
};

// "[3, 4]"
std::string ShapeText(std::span<const int64_t> shape);

class SafetensorsFile {
 public:
  static Result<std::unique_ptr<SafetensorsFile>> Open(const std::string& path);
  ~SafetensorsFile();
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  const std::map<std::string, RawTensor>& tensors() const { return tensors_; }
  std::span<const std::byte> bytes() const { return bytes_; }
  const std::string& path() const { return path_; }

 private:
  SafetensorsFile(std::string path, std::span<const std::byte> bytes)
      : path_(std::move(path)), bytes_(bytes) {}
  Status ReadHeader();

  std::string path_;
  std::span<const std::byte> bytes_;
  std::map<std::string, RawTensor> tensors_;
};

// All tensors of a checkpoint directory: model.safetensors, or the shards that
// model.safetensors.index.json names. A shard's name must be a plain file name; a symbolic link to
// elsewhere (as the hub's local cache uses) is followed.
class Checkpoint {
 public:
  static Result<std::unique_ptr<Checkpoint>> Open(const std::string& dir);

  const RawTensor* Find(const std::string& name) const;
  const std::map<std::string, const RawTensor*>& tensors() const { return tensors_; }
  const std::vector<std::unique_ptr<SafetensorsFile>>& files() const { return files_; }
  int64_t bytes() const;

 private:
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, const RawTensor*> tensors_;
};

}  // namespace nextgate::engine
