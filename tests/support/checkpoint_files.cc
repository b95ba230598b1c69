#include "tests/support/checkpoint_files.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "base/check.h"

namespace nextgate::testing {

using nlohmann::json;
namespace fs = std::filesystem;

TempDir::TempDir() {
  std::string pattern = (fs::temp_directory_path() / "nextgate-test-XXXXXX").string();
  CHECK(::mkdtemp(pattern.data()) != nullptr);
  path_ = pattern;
}
TempDir::~TempDir() {
  std::error_code error;
  fs::remove_all(path_, error);
}

std::string ReadText(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  CHECK(file.good(), "%s", path.c_str());
  return {std::istreambuf_iterator<char>(file), {}};
}
void WriteText(const fs::path& path, const std::string& text) {
  std::error_code error;
  fs::remove(path, error);  // a new file: ext4 flushes one that is cut and written again, for 3 ms
  std::ofstream(path, std::ios::binary) << text;
}

StoredTensor Zeros(const std::string& dtype, std::vector<int64_t> shape) {
  const size_t width = dtype == "F32" ? 4 : dtype == "F8_E4M3" ? 1 : 2;
  size_t count = 1;
  for (const int64_t size : shape) count *= static_cast<size_t>(size);
  return {dtype, std::move(shape), std::string(count * width, '\0')};
}

std::string SafetensorsParts::File(const std::string& text) const {
  std::string file;
  for (int i = 0; i < 8; ++i)
    file += static_cast<char>(static_cast<uint64_t>(text.size()) >> (8 * i));
  return file + text + data;
}

SafetensorsParts PartsOf(const TensorMap& tensors) {
  SafetensorsParts parts{.header = json::object()};
  for (const auto& [name, tensor] : tensors) {
    const size_t begin = parts.data.size();
    parts.data += tensor.data;
    parts.header[name] = {{"dtype", tensor.dtype},
                          {"shape", tensor.shape},
                          {"data_offsets", {begin, parts.data.size()}}};
  }
  return parts;
}

CheckpointFiles CheckpointFiles::Golden(const std::string& name) {
  const fs::path dir = fs::path(NEXTGATE_SOURCE_DIR "/tests/golden/data/models") / name;
  CheckpointFiles files{.config = json::parse(ReadText(dir / "config.json"))};
  const std::string file = ReadText(dir / "model.safetensors");
  uint64_t length = 0;
  for (size_t i = 8; i-- > 0;) length = length << 8 | static_cast<unsigned char>(file[i]);
  const json header = json::parse(file.substr(8, length));
  for (const auto& [tensor, entry] : header.items()) {
    if (tensor == "__metadata__") continue;
    const auto begin = entry["data_offsets"][0].get<size_t>();
    const auto end = entry["data_offsets"][1].get<size_t>();
    files.tensors[tensor] = {entry["dtype"], entry["shape"],
                             file.substr(8 + length + begin, end - begin)};
  }
  return files;
}

void CheckpointFiles::Write(const TempDir& dir) const {
  WriteText(dir / "config.json", config.dump(1));
  WriteText(dir / "model.safetensors", PartsOf(tensors).File());
}

void CheckpointFiles::WriteSharded(const TempDir& dir, int shards,
                                   const std::function<void(json& index)>& edit) const {
  WriteText(dir / "config.json", config.dump(1));
  std::vector<TensorMap> parts(static_cast<size_t>(shards));
  json index = {{"metadata", json::object()}, {"weight_map", json::object()}};
  size_t at = 0;
  for (const auto& [name, tensor] : tensors) {
    const size_t shard = at++ % parts.size();
    parts[shard].emplace(name, tensor);
    index["weight_map"][name] =
        fmt::format("model-{:05}-of-{:05}.safetensors", shard + 1, parts.size());
  }
  for (size_t i = 0; i < parts.size(); ++i)
    WriteText(dir / fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, parts.size()),
              PartsOf(parts[i]).File());
  if (edit) edit(index);
  WriteText(dir / "model.safetensors.index.json", index.dump(1));
}

}  // namespace nextgate::testing
