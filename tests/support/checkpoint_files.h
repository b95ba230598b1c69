// Checkpoint directories written by hand, whole or broken in one place: for tests of the loader.
// The writer shares nothing with the reader under test but the format.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace nextgate::testing {

// A directory of its own below the system's temporary one; removed with the object.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string path() const { return path_.string(); }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

std::string ReadText(const std::filesystem::path& path);
void WriteText(const std::filesystem::path& path, const std::string& text);

struct StoredTensor {
  std::string dtype;  // as safetensors writes it: BF16, F32, …
  std::vector<int64_t> shape;
  std::string data;
};
using TensorMap = std::map<std::string, StoredTensor>;

// Tensor of zeros.
StoredTensor Zeros(const std::string& dtype, std::vector<int64_t> shape);

// The pieces of a safetensors file, to be edited before they are put together.
struct SafetensorsParts {
  nlohmann::json header;
  std::string data;

  // 8 bytes of length, `text` or the header, data.
  std::string File() const { return File(header.dump()); }
  std::string File(const std::string& text) const;
};
SafetensorsParts PartsOf(const TensorMap& tensors);

// One of the checkpoints of tests/golden/data/models, in memory.
struct CheckpointFiles {
  nlohmann::json config;
  TensorMap tensors;

  static CheckpointFiles Golden(const std::string& name);
  // config.json and model.safetensors.
  void Write(const TempDir& dir) const;
  // config.json, `shards` files and their index, which `edit` may change before it is written.
  void WriteSharded(const TempDir& dir, int shards,
                    const std::function<void(nlohmann::json& index)>& edit = {}) const;
};

}  // namespace nextgate::testing
