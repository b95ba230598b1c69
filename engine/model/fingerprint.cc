#include "engine/model/fingerprint.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <vector>

#include "base/hash.h"

namespace nextgate::engine {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kWholeBytesMax = 1'000'000'000;
constexpr int64_t kSampleBytes = 64 << 10;
constexpr int64_t kSamples = 64;
constexpr int64_t kChunkBytes = 8 << 20;
constexpr int64_t kHeaderMax = 100'000'000;

// Appends the hash of `length` bytes of a file from `offset` on.
Status AddRange(std::string& material, std::ifstream& file, const std::string& path, int64_t offset,
                int64_t length) {
  std::string buffer(static_cast<size_t>(length), '\0');
  file.seekg(offset);
  if (!file.read(buffer.data(), length))
    return DataLoss(fmt::format("{}: could not be read", path));
  material += HashBytes(buffer).Hex();
  return {};
}

Status AddFile(std::string& material, const std::string& path, int64_t size, bool whole) {
  material += fmt::format("\n{} {} ", fs::path(path).filename().string(), size);
  std::ifstream file(path, std::ios::binary);
  if (!whole && size > 8) {
    unsigned char bytes[8] = {};
    file.read(reinterpret_cast<char*>(bytes), sizeof bytes);
    uint64_t header = 0;
    for (int i = 7; i >= 0; --i) header = header << 8 | bytes[i];
    const auto length = static_cast<int64_t>(std::min<uint64_t>(header, kHeaderMax));
    RETURN_IF_ERROR(AddRange(material, file, path, 8, std::min(length, size - 8)));
  }
  const int64_t length = whole ? kChunkBytes : kSampleBytes;
  const int64_t step = whole ? kChunkBytes : std::max(kSampleBytes, size / kSamples);
  for (int64_t offset = 0; offset < size; offset += step) {
    RETURN_IF_ERROR(AddRange(material, file, path, offset, std::min(length, size - offset)));
  }
  return {};
}

}  // namespace

Result<std::string> Fingerprint(const std::string& dir, const std::string& hf_overrides,
                                bool dummy_weights) {
  struct Item {
    std::string path;
    int64_t size;
    bool weights;
  };
  std::vector<Item> items;
  int64_t weight_bytes = 0;
  std::error_code error;
  // The forms that take an error code: a checkpoint's links may loop, and nothing here may throw.
  for (fs::directory_iterator at(dir, error), end; !error && at != end; at.increment(error)) {
    const fs::directory_entry& entry = *at;
    const std::string extension = entry.path().extension();
    const bool weights = extension == ".safetensors";
    if (!weights && extension != ".json" && extension != ".jinja") continue;
    std::error_code unreadable;
    if ((weights && dummy_weights) || !entry.is_regular_file(unreadable)) continue;
    const auto size = static_cast<int64_t>(entry.file_size(unreadable));
    if (unreadable)
      return DataLoss(fmt::format("{}: {}", entry.path().string(), unreadable.message()));
    if (weights) weight_bytes += size;
    items.push_back({entry.path(), size, weights});
  }
  if (error) return NotFound(fmt::format("{}: {}", dir, error.message()));
  std::ranges::sort(items, {}, &Item::path);
  std::string material =
      fmt::format("nextgate 1\n{}\n{}", dummy_weights ? "dummy" : "files", hf_overrides);
  for (const Item& item : items) {
    RETURN_IF_ERROR(
        AddFile(material, item.path, item.size, !item.weights || weight_bytes <= kWholeBytesMax));
  }
  return HashBytes(material).Hex();
}

}  // namespace nextgate::engine
