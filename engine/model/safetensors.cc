#include "engine/model/safetensors.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>
#include <utility>

#include "engine/model/json_file.h"

namespace nextgate::engine {
namespace {

using nlohmann::json;

constexpr uint64_t kHeaderMax = 100'000'000;  // as the format's reference reader has it
constexpr int64_t kIndexMax = 64 << 20;
constexpr size_t kRankMax = 8;

struct TypeSize {
  const char* name;
  uint64_t bytes;
};
constexpr TypeSize kTypes[] = {{"F64", 8}, {"I64", 8}, {"U64", 8},     {"F32", 4},
                               {"I32", 4}, {"U32", 4}, {"F16", 2},     {"BF16", 2},
                               {"I16", 2}, {"U16", 2}, {"F8_E4M3", 1}, {"F8_E5M2", 1},
                               {"I8", 1},  {"U8", 1},  {"BOOL", 1}};

Result<std::span<const std::byte>> MapFile(const std::string& path) {
  // O_NONBLOCK: opening a pipe that nobody writes would wait for ever.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return NotFound(fmt::format("{}: {}", path, std::strerror(errno)));
  struct stat info {};
  if (::fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(descriptor);
    return DataLoss(fmt::format("{}: not a regular file", path));
  }
  const auto size = static_cast<size_t>(info.st_size);
  if (size < 8) {
    ::close(descriptor);
    return DataLoss(
        fmt::format("{}: truncated: {} bytes, a safetensors file has at least 8", path, size));
  }
  void* mapping = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  const int error = errno;
  ::close(descriptor);
  if (mapping == MAP_FAILED) return DataLoss(fmt::format("{}: {}", path, std::strerror(error)));
  return std::span(static_cast<const std::byte*>(mapping), size);
}

// One entry of the header against the data section of `data_bytes`.
Result<RawTensor> ReadEntry(const json& entry, std::span<const std::byte> data) {
  const auto fail = [](std::string what) { return DataLoss(std::move(what)); };
  if (!entry.is_object() || !entry.contains("dtype") || !entry.contains("shape") ||
      !entry.contains("data_offsets"))
    return fail("expected an object with dtype, shape and data_offsets");
  const json& dtype = entry["dtype"];
  const json& shape = entry["shape"];
  const json& offsets = entry["data_offsets"];
  const auto type =
      std::ranges::find_if(kTypes, [&](const TypeSize& t) { return dtype == t.name; });
  if (type == std::end(kTypes))
    return fail(
        fmt::format("unknown dtype {}", dtype.dump(-1, ' ', true, json::error_handler_t::replace)));
  if (!shape.is_array() || shape.size() > kRankMax)
    return fail("shape: expected a list of at most 8 sizes");
  RawTensor tensor{.dtype = type->name};
  uint64_t bytes = type->bytes;
  for (const json& size : shape) {
    if (!size.is_number_unsigned() || size.get<uint64_t>() > INT64_MAX ||
        __builtin_mul_overflow(bytes, size.get<uint64_t>(), &bytes))
      return fail("shape: sizes are not whole numbers, or too large");
    tensor.shape.push_back(static_cast<int64_t>(size.get<uint64_t>()));
  }
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
      !offsets[1].is_number_unsigned())
    return fail("data_offsets: expected two whole numbers");
  const auto begin = offsets[0].get<uint64_t>();
  const auto end = offsets[1].get<uint64_t>();
  if (begin > end || end > data.size())
    return fail(fmt::format("data_offsets [{}, {}] leave the file's {} bytes of data: truncated?",
                            begin, end, data.size()));
  if (end - begin != bytes)
    return fail(fmt::format("{} {} takes {} bytes, data_offsets span {}", tensor.dtype,
                            ShapeText(tensor.shape), bytes, end - begin));
  tensor.data = data.subspan(begin, end - begin);
  return tensor;
}

// The tensors cover `data` exactly, as the format's own reader demands: what belongs to no tensor
// could be anything.
Status CheckLayout(const std::map<std::string, RawTensor>& tensors, std::span<const std::byte> data,
                   const std::string& path) {
  std::vector<std::pair<std::span<const std::byte>, const std::string*>> ranges;
  for (const auto& [name, tensor] : tensors)
    if (!tensor.data.empty()) ranges.emplace_back(tensor.data, &name);
  std::ranges::sort(ranges, {}, [](const auto& range) { return range.first.data(); });
  const std::byte* end = data.data();
  const std::string* before = nullptr;
  for (const auto& [range, name] : ranges) {
    if (range.data() < end)
      return DataLoss(fmt::format("{}: tensors {} and {} overlap", path, *before, *name));
    if (range.data() > end)
      return DataLoss(fmt::format("{}: {} bytes before tensor {} belong to no tensor", path,
                                  range.data() - end, *name));
    end = range.data() + range.size();
    before = name;
  }
  if (end != data.data() + data.size())
    return DataLoss(fmt::format("{}: the last {} bytes belong to no tensor", path,
                                data.data() + data.size() - end));
  return {};
}

// Shards named by an index; sorted, each once.
Result<std::set<std::string>> ShardNames(const json& index, const std::string& path) {
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object())
    return DataLoss(fmt::format("{}: expected an object with weight_map", path));
  std::set<std::string> names;
  for (const auto& [tensor, shard] : index["weight_map"].items()) {
    if (!shard.is_string())
      return DataLoss(fmt::format("{}: weight_map.{}: expected a file name", path, tensor));
    const auto name = shard.get<std::string>();
    if (name.empty() || name.find('/') != std::string::npos ||
        name.find('\0') != std::string::npos || name == "." || name == "..")
      return DataLoss(fmt::format("{}: weight_map.{}: {} is not a file name inside the directory",
                                  path, tensor, name));
    names.insert(name);
  }
  return names;
}

}  // namespace

std::string ShapeText(std::span<const int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

SafetensorsFile::~SafetensorsFile() {
  ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

Result<std::unique_ptr<SafetensorsFile>> SafetensorsFile::Open(const std::string& path) {
  ASSIGN_OR_RETURN(const auto bytes, MapFile(path));
  std::unique_ptr<SafetensorsFile> file(new SafetensorsFile(path, bytes));
  RETURN_IF_ERROR(file->ReadHeader());
  return file;
}

Status SafetensorsFile::ReadHeader() {
  uint64_t length = 0;
  for (int i = 7; i >= 0; --i)
    length = length << 8 | std::to_integer<uint64_t>(bytes_[static_cast<size_t>(i)]);
  if (length > kHeaderMax || length > bytes_.size() - 8)
    return DataLoss(
        fmt::format("{}: header of {} bytes, the file has {}: truncated, or not safetensors", path_,
                    length, bytes_.size()));
  const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + 8, length);
  ASSIGN_OR_RETURN(const json header, ParseJson(text, path_ + " (header)", RepeatedKeys::kError));
  if (!header.is_object()) return DataLoss(fmt::format("{}: header: expected an object", path_));
  const auto data = bytes_.subspan(8 + length);
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    auto tensor = ReadEntry(entry, data);
    if (!tensor)
      return DataLoss(fmt::format("{}: tensor {}: {}", path_, name, tensor.error().message));
    tensors_.emplace(name, std::move(*tensor));
  }
  return CheckLayout(tensors_, data, path_);
}

Result<std::unique_ptr<Checkpoint>> Checkpoint::Open(const std::string& dir) {
  auto checkpoint = std::make_unique<Checkpoint>();
  const std::string index_path = dir + "/model.safetensors.index.json";
  std::set<std::string> shards = {"model.safetensors"};
  json index;
  std::error_code error;
  if (std::filesystem::exists(index_path, error)) {
    ASSIGN_OR_RETURN(index, ReadJsonFile(index_path, kIndexMax, RepeatedKeys::kError));
    ASSIGN_OR_RETURN(shards, ShardNames(index, index_path));
  }
  for (const std::string& shard : shards) {
    ASSIGN_OR_RETURN(auto file, SafetensorsFile::Open(fmt::format("{}/{}", dir, shard)));
    for (const auto& [name, tensor] : file->tensors()) {
      if (index.is_object() && index["weight_map"].value(name, "") != shard)
        return DataLoss(fmt::format("{}: tensor {} stands in {}, the index says otherwise",
                                    index_path, name, shard));
      checkpoint->tensors_.emplace(name, &tensor);
    }
    checkpoint->files_.push_back(std::move(file));
  }
  if (index.is_object()) {
    for (const auto& [name, shard] : index["weight_map"].items())
      if (!checkpoint->tensors_.contains(name))
        return DataLoss(
            fmt::format("{}: tensor {} is not in {}", index_path, name, shard.get<std::string>()));
  }
  return checkpoint;
}

const RawTensor* Checkpoint::Find(const std::string& name) const {
  const auto at = tensors_.find(name);
  return at == tensors_.end() ? nullptr : at->second;
}

int64_t Checkpoint::bytes() const {
  int64_t total = 0;
  for (const auto& file : files_) total += static_cast<int64_t>(file->bytes().size());
  return total;
}

}  // namespace nextgate::engine
