// A directory with one file a record. Below `dir` there is one folder for each identity, so that
// nothing is ever resumed into another model; a file is written beside its place and renamed, so that
// whoever finds it finds all of it, and its checksum tells when the disk does not.
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <random>
#include <unordered_set>
#include <utility>

#include "base/log.h"
#include "engine/prefix/tier_file.h"
#include "engine/prefix/tier_store.h"

namespace nextgate::engine {
namespace {

constexpr char kSuffix[] = ".prefix";
constexpr int64_t kBlocksMax = (int64_t{1} << 24) / kBlockTokens;  // of a record
constexpr int64_t kStaleS = 3600;  // what a process that died was writing

class Fd {
 public:
  Fd(const std::string& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0600)) {}
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  bool ok() const { return fd_ >= 0; }

  bool Write(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  // Up to `count` bytes from the start; fewer at the end of the file. False: an error.
  bool Read(size_t count, std::string* bytes) const {
    bytes->resize(count);
    size_t got = 0;
    while (got < count) {
      const ssize_t n = ::read(fd_, bytes->data() + got, count - got);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return false;
      if (n == 0) break;
      got += static_cast<size_t>(n);
    }
    bytes->resize(got);
    return true;
  }
  // −1: not a regular file.
  int64_t Size() const {
    struct stat info {};
    return ::fstat(fd_, &info) == 0 && S_ISREG(info.st_mode) ? info.st_size : -1;
  }

 private:
  const int fd_;
};

std::unexpected<Error> Trouble(const std::string& what, const std::string& path) {
  return MakeError(ErrorCode::kUnavailable,
                   fmt::format("cannot {} {}: {}", what, path, std::strerror(errno)));
}

class DiskStore final : public TierStore {
 public:
  DiskStore(const DevicePools& device, std::string dir, int64_t bytes)
      : device_(device), dir_(std::move(dir)), bytes_max_(bytes) {}
  ~DiskStore() override { DeleteFreed(); }

  const char* name() const override { return "disk"; }
  int64_t RecordBytes(int32_t blocks) const override {
    return static_cast<int64_t>(kTierHeaderBytes) +
           int64_t{blocks} * kBlockTokens * static_cast<int64_t>(sizeof(int32_t)) +
           static_cast<int64_t>(PayloadBytes(blocks));
  }
  int64_t bytes_max() const override { return bytes_max_; }

  void Reserve(const TierRecord&) override {}
  void Free(const TierRecord& record) override {
    std::lock_guard lock(mutex_);
    freed_.push_back(record.key);
  }

  Status Write(const TierRecord& record, const DevicePlace& from) override;
  Status Read(const TierRecord& record, const DevicePlace& to) override;
  std::vector<TierRecordPtr> Discover() override;

 private:
  size_t PayloadBytes(int32_t blocks) const {
    return static_cast<size_t>(device_.checkpoints.layout.Bytes() + blocks * device_.block_bytes());
  }
  std::string PathOf(const BlockKey& key) const {
    return fmt::format("{}/{}{}", dir_, key.Hex(), kSuffix);
  }
  void DeleteFreed();
  TierRecordPtr Look(const std::string& name);

  const DevicePools device_;
  const std::string dir_;
  const int64_t bytes_max_;
  std::mutex mutex_;
  std::vector<BlockKey> freed_;  // GUARDED_BY(mutex_)
  // Of the worker.
  std::unordered_set<std::string> seen_;  // names
  const uint64_t instance_ = uint64_t{std::random_device()()} << 32 | std::random_device()();
  uint64_t drafts_ = 0;
  std::string buffer_;
};

// On the worker: an engine thread does not wait for a disk.
void DiskStore::DeleteFreed() {
  std::vector<BlockKey> freed;
  {
    std::lock_guard lock(mutex_);
    freed.swap(freed_);
  }
  for (const BlockKey& key : freed) {
    ::unlink(PathOf(key).c_str());
    seen_.erase(key.Hex() + kSuffix);
  }
}

Status DiskStore::Write(const TierRecord& record, const DevicePlace& from) {
  DeleteFreed();
  buffer_.resize(PayloadBytes(record.blocks()));
  auto* to = reinterpret_cast<std::byte*>(buffer_.data());
  const int64_t state_bytes = device_.checkpoints.layout.Bytes();
  std::memcpy(to, device_.checkpoints.at(from.slot), static_cast<size_t>(state_bytes));
  to += state_bytes;
  for (const int32_t block : from.blocks) {
    device_.ReadBlock(block, to);
    to += device_.block_bytes();
  }
  const std::string path = PathOf(record.key);
  const std::string draft = fmt::format("{}.{:016x}.{}.draft", path, instance_, ++drafts_);
  seen_.insert(record.key.Hex() + kSuffix);
  {
    const Fd file(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW);
    if (!file.ok()) return Trouble("create", draft);
    if (!file.Write(TierFileHead(record, buffer_)) || !file.Write(buffer_)) {
      const Status error = Trouble("write", draft);
      ::unlink(draft.c_str());
      return error;
    }
  }
  if (::rename(draft.c_str(), path.c_str()) != 0) {
    const Status error = Trouble("rename to", path);
    ::unlink(draft.c_str());
    return error;
  }
  return {};
}

Status DiskStore::Read(const TierRecord& record, const DevicePlace& to) {
  DeleteFreed();
  const std::string path = PathOf(record.key);
  const Fd file(path, O_RDONLY | O_NONBLOCK);  // what is no file would be waited for
  if (!file.ok() && errno == ENOENT)
    return MakeError(ErrorCode::kNotFound, fmt::format("{} is gone", path));
  if (!file.ok()) return Trouble("open", path);
  if (file.Size() < 0) return MakeError(ErrorCode::kNotFound, fmt::format("{} is no file", path));
  const auto bytes = static_cast<size_t>(RecordBytes(record.blocks()));
  if (!file.Read(bytes + 1, &buffer_)) return Trouble("read", path);
  const auto info = ReadTierFileHead(buffer_, buffer_.size());
  // What follows trusts its size.
  if (info && info->payload_bytes != PayloadBytes(record.blocks()))
    return MakeError(ErrorCode::kNotFound, fmt::format("{} is damaged: its size is wrong", path));
  Status whole = info ? CheckTierFile(buffer_, *info) : Status(std::unexpected(info.error()));
  if (whole && (info->record.key != record.key || info->record.above != record.above ||
                info->record.tokens != record.tokens))
    whole = MakeError(ErrorCode::kDataLoss, "it is another record");
  if (!whole)
    return MakeError(ErrorCode::kNotFound,
                     fmt::format("{} is damaged: {}", path, whole.error().message));
  const auto* from = reinterpret_cast<const std::byte*>(buffer_.data()) + info->payload_offset;
  const int64_t state_bytes = device_.checkpoints.layout.Bytes();
  if (to.slot >= 0)
    std::memcpy(device_.checkpoints.at(to.slot), from, static_cast<size_t>(state_bytes));
  from += state_bytes;
  for (const int32_t block : to.blocks) {
    if (block >= 0) device_.WriteBlock(block, from);
    from += device_.block_bytes();
  }
  return {};
}

// A record whose head can be read, or null and one line in the log.
TierRecordPtr DiskStore::Look(const std::string& name) {
  const std::string path = dir_ + "/" + name;
  const Fd file(path, O_RDONLY | O_NONBLOCK);
  if (!file.ok() && errno == ENOENT) return nullptr;  // somebody made room
  std::string head;
  const int64_t size = file.ok() ? file.Size() : -1;
  if (size < 0 || !file.Read(kTierHeaderBytes, &head)) {
    LogWarning("prefix cache: {} is left out: it cannot be read", path);
    return nullptr;
  }
  // The size tells how many token ids there are, if it is one of ours.
  const int64_t fixed = static_cast<int64_t>(kTierHeaderBytes) + device_.checkpoints.layout.Bytes();
  const int64_t a_block =
      device_.block_bytes() + kBlockTokens * static_cast<int64_t>(sizeof(int32_t));
  const int64_t blocks = std::min((size - fixed) / a_block, kBlocksMax);
  std::string tokens;
  if (blocks > 0) {
    if (!file.Read(static_cast<size_t>(blocks) * kBlockTokens * sizeof(int32_t), &tokens))
      return nullptr;
  }
  auto info = ReadTierFileHead(head + tokens, static_cast<size_t>(size));
  Status fits = info ? Status() : Status(std::unexpected(info.error()));
  if (fits && (info->payload_bytes != PayloadBytes(info->record.blocks()) ||
               name != info->record.key.Hex() + kSuffix))
    fits = MakeError(ErrorCode::kDataLoss, "it belongs elsewhere");
  if (!fits) {
    LogWarning("prefix cache: {} is left out: {}", path, fits.error().message);
    return nullptr;
  }
  return std::make_shared<const TierRecord>(std::move(info->record));
}

std::vector<TierRecordPtr> DiskStore::Discover() {
  DeleteFreed();
  std::vector<TierRecordPtr> records;
  DIR* dir = ::opendir(dir_.c_str());
  if (dir == nullptr) return records;
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(dir)) names.emplace_back(entry->d_name);
  ::closedir(dir);
  for (const std::string& name : names) {
    if (name.ends_with(".draft")) {
      struct stat info {};
      const std::string path = dir_ + "/" + name;
      if (::stat(path.c_str(), &info) == 0 && ::time(nullptr) - info.st_mtime > kStaleS)
        ::unlink(path.c_str());
    } else if (name.ends_with(kSuffix) && seen_.insert(name).second) {
      if (TierRecordPtr record = Look(name)) records.push_back(std::move(record));
    }
  }
  std::sort(records.begin(), records.end(),
            [](const auto& a, const auto& b) { return a->to < b->to; });
  return records;
}

}  // namespace

Result<std::unique_ptr<TierStore>> OpenDiskStore(const DevicePools& device, const std::string& dir,
                                                 const std::string& identity, int64_t bytes) {
  const std::string folder = dir + "/" + identity;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (!error)  // it tells what was asked
    std::filesystem::permissions(folder, std::filesystem::perms::owner_all, error);
  if (error || ::access(folder.c_str(), R_OK | W_OK | X_OK) != 0)
    return InvalidArgument(
        fmt::format("--prefix-disk-dir: {} must be a directory that can be written: {}", folder,
                    error ? error.message() : std::strerror(errno)),
        "--prefix-disk-dir");
  return std::make_unique<DiskStore>(device, folder, bytes);
}

}  // namespace nextgate::engine
