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
#include <functional>
#include <mutex>
#include <optional>
#include <random>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/log.h"
#include "engine/prefix/tier_file.h"
#include "engine/prefix/tier_store.h"

namespace nextgate::engine {
namespace {

constexpr std::string_view kSuffix = ".prefix";
constexpr std::string_view kDraft = ".draft";
constexpr int64_t kBlocksMax = (int64_t{1} << 24) / kBlockTokens;  // of a record
constexpr size_t kPieceBytes = size_t{1} << 20;                    // of a read or a write
constexpr int64_t kStaleS = 3600;  // what a process that died was writing

// What is new is not zeroed: that of a large record at the lowest priority would look like a disk that hangs.
void Resize(size_t count, std::string* bytes) {
  bytes->resize_and_overwrite(count, [count](char*, size_t) { return count; });
}

class Fd {
 public:
  Fd(const std::string& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0600)) {}
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  bool ok() const { return fd_ >= 0; }

  bool Write(std::string_view bytes, TierJob& job) const {
    while (!bytes.empty()) {
      job.Beat();
      const ssize_t n = ::write(fd_, bytes.data(), std::min(bytes.size(), kPieceBytes));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  // Up to `count` bytes from the start; fewer at the end of the file. False: an error.
  bool Read(size_t count, std::string* bytes, TierJob& job) const {
    Resize(count, bytes);
    size_t got = 0;
    while (got < count) {
      job.Beat();
      const ssize_t n = ::read(fd_, bytes->data() + got, std::min(count - got, kPieceBytes));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return false;
      if (n == 0) break;
      got += static_cast<size_t>(n);
    }
    bytes->resize(got);
    return true;
  }
  // Of a regular file, or nothing.
  std::optional<struct stat> Stat() const {
    struct stat info {};
    if (::fstat(fd_, &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
    return info;
  }
  void Touch() const { ::futimens(fd_, nullptr); }  // as far as we may

 private:
  const int fd_;
};

std::string NameOf(const BlockKey& key) { return key.Hex().append(kSuffix); }
std::optional<BlockKey> KeyOf(std::string_view name) {
  return ParseHash128(name.substr(0, name.size() - kSuffix.size()));
}

void DeleteIfStale(const std::string& draft) {
  struct stat info {};
  if (::stat(draft.c_str(), &info) == 0 && ::time(nullptr) - info.st_mtime > kStaleS)
    ::unlink(draft.c_str());
}

std::unexpected<Error> Trouble(const std::string& what, const std::string& path) {
  const bool full = errno == ENOSPC || errno == EDQUOT;
  return MakeError(full ? ErrorCode::kResourceExhausted : ErrorCode::kUnavailable,
                   fmt::format("cannot {} {}: {}", what, path, std::strerror(errno)));
}

struct Looked {
  TierRecordPtr record;
  int64_t used_ns = 0;  // by the file's time
};

// The latest used first, each after the one it continues: that was used with it.
std::vector<TierRecordPtr> LatestFirst(std::vector<Looked> files) {
  std::ranges::sort(files, std::greater{}, [](const Looked& f) { return f.record->to; });
  std::unordered_map<BlockKey, Looked*> by_key;
  for (Looked& file : files) by_key.emplace(file.record->key, &file);
  for (const Looked& file : files)  // the longest first
    if (const auto above = by_key.find(file.record->above); above != by_key.end())
      above->second->used_ns = std::max(above->second->used_ns, file.used_ns);
  std::ranges::sort(files, {}, [](const Looked& f) { return std::pair(-f.used_ns, f.record->to); });
  std::vector<TierRecordPtr> records;
  for (Looked& file : files) records.push_back(std::move(file.record));
  return records;
}

class DiskStore final : public TierStore {
 public:
  DiskStore(const DevicePools& device, std::string dir, int64_t bytes)
      : device_(device), dir_(std::move(dir)), bytes_max_(bytes) {}

  const char* name() const override { return "disk"; }
  int64_t RecordBytes(int32_t blocks) const override {
    return static_cast<int64_t>(kTierHeaderBytes) +
           int64_t{blocks} * kBlockTokens * static_cast<int64_t>(sizeof(int32_t)) +
           blocks * device_.block_bytes() + StateBytes();
  }
  int64_t bytes_max() const override { return bytes_max_; }

  void Reserve(const TierRecord&) override {}
  void Free(const TierRecord& record) override {
    std::lock_guard lock(mutex_);
    freed_.push_back(record.key);
  }

  Status Write(const TierRecord& record, const DevicePlace& from, TierJob& job) override;
  Status Read(const TierRecord& record, const DevicePlace& to, TierJob& job) override;
  bool is_shared() const override { return true; }
  TierDiscovery Discover(TierJob& job) override;
  void Flush() override;

 private:
  int64_t StateBytes() const { return device_.checkpoints.layout.Bytes(); }
  std::string PathOf(const std::string& name) const { return dir_ + "/" + name; }
  Status WriteFile(const std::string& path, std::string_view head, TierJob& job);
  Status CheckIs(const TierRecord& record, const Result<TierFileInfo>& info, TierJob& job) const;
  std::optional<Looked> Look(const std::string& name, TierJob& job);

  const DevicePools device_;
  const std::string dir_;
  const int64_t bytes_max_;
  std::mutex mutex_;
  std::vector<BlockKey> freed_;  // GUARDED_BY(mutex_)
  // Of the worker.
  std::unordered_set<std::string> seen_;  // names of files that we wrote or looked at
  const uint64_t instance_ = uint64_t{std::random_device()()} << 32 | std::random_device()();
  uint64_t drafts_ = 0;
  std::string buffer_;
};

void DiskStore::Flush() {
  std::vector<BlockKey> freed;
  {
    std::lock_guard lock(mutex_);
    freed.swap(freed_);
  }
  for (const BlockKey& key : freed) {
    ::unlink(PathOf(NameOf(key)).c_str());
    seen_.erase(NameOf(key));
  }
}

Status DiskStore::Write(const TierRecord& record, const DevicePlace& from, TierJob& job) {
  Flush();
  Resize(static_cast<size_t>(record.blocks() * device_.block_bytes() + StateBytes()), &buffer_);
  {
    const auto device = job.Device();
    if (!device) return JobGivenUp();
    auto* to = reinterpret_cast<std::byte*>(buffer_.data());
    for (const int32_t block : from.blocks) {
      job.Beat();
      device_.ReadBlock(block, to);
      to += device_.block_bytes();
    }
    std::memcpy(to, device_.checkpoints.at(from.slot), static_cast<size_t>(StateBytes()));
  }
  const std::string_view bytes = buffer_;
  const size_t state_at = bytes.size() - static_cast<size_t>(StateBytes());
  const std::string head =
      TierFileHead(record, bytes.substr(0, state_at), bytes.substr(state_at), [&] { job.Beat(); });
  RETURN_IF_ERROR(WriteFile(PathOf(NameOf(record.key)), head, job));
  seen_.insert(NameOf(record.key));
  return {};
}

// The head, then the buffer.
Status DiskStore::WriteFile(const std::string& path, std::string_view head, TierJob& job) {
  const std::string draft = fmt::format("{}.{:016x}.{}{}", path, instance_, ++drafts_, kDraft);
  Status written;
  {
    ::mkdir(dir_.c_str(), 0700);  // somebody may have emptied the directory above it
    const Fd file(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW);
    if (!file.ok()) return Trouble("create", draft);
    if (!file.Write(head, job) || !file.Write(buffer_, job)) written = Trouble("write", draft);
  }
  if (written && !job.Device()) written = JobGivenUp();
  if (written && ::rename(draft.c_str(), path.c_str()) != 0)
    written = errno == EISDIR ? DataLoss(fmt::format("{} is a directory", path))
                              : Status(Trouble("rename to", path));
  if (!written) ::unlink(draft.c_str());
  return written;
}

// Whether a file of the record's size is the record's. What follows trusts its sizes.
Status DiskStore::CheckIs(const TierRecord& record, const Result<TierFileInfo>& info,
                          TierJob& job) const {
  if (!info) return std::unexpected(info.error());
  const TierRecord& is = info->record;
  if (is.key != record.key || is.above != record.above || is.tokens != record.tokens ||
      is.scope_digest != record.scope_digest ||
      static_cast<int64_t>(info->state_bytes) != StateBytes())
    return DataLoss("it is another record");
  return CheckTierFile(buffer_, *info, [&] { job.Beat(); });
}

Status DiskStore::Read(const TierRecord& record, const DevicePlace& to, TierJob& job) {
  Flush();
  const std::string path = PathOf(NameOf(record.key));
  const Fd file(path, O_RDONLY | O_NONBLOCK);  // what is no file would be waited for
  if (!file.ok() && errno == ENOENT) return NotFound(fmt::format("{} is gone", path));
  if (!file.ok()) return Trouble("open", path);
  const int64_t bytes = RecordBytes(record.blocks());
  const auto stat = file.Stat();
  if (!stat || stat->st_size != bytes)
    return DataLoss(fmt::format("{} is damaged: it is no file of {} bytes", path, bytes));
  const int64_t wanted = to.slot >= 0 ? bytes : bytes - StateBytes();
  if (!file.Read(static_cast<size_t>(wanted), &buffer_, job)) return Trouble("read", path);
  const auto info = ReadTierFileHead(buffer_, static_cast<size_t>(bytes));
  if (const Status is = CheckIs(record, info, job); !is)
    return DataLoss(fmt::format("{} is damaged: {}", path, is.error().message));
  file.Touch();

  const auto device = job.Device();
  if (!device) return JobGivenUp();
  const auto* from = reinterpret_cast<const std::byte*>(buffer_.data()) + info->blocks_offset;
  for (const int32_t block : to.blocks) {
    job.Beat();
    if (block >= 0) device_.WriteBlock(block, from);
    from += device_.block_bytes();
  }
  if (to.slot >= 0)
    std::memcpy(device_.checkpoints.at(to.slot), from, static_cast<size_t>(StateBytes()));
  return {};
}

// A record whose head can be read, or nothing and one line in the log; what is damaged is deleted.
std::optional<Looked> DiskStore::Look(const std::string& name, TierJob& job) {
  const std::string path = PathOf(name);
  const Fd file(path, O_RDONLY | O_NONBLOCK);
  if (!file.ok() && errno == ENOENT) return std::nullopt;  // somebody made room
  std::string head;
  const auto stat = file.ok() ? file.Stat() : std::nullopt;
  if (!stat || !file.Read(kTierHeaderBytes, &head, job)) {
    LogWarning("prefix cache: {} is left out: it cannot be read", path);
    return std::nullopt;
  }
  // The size tells how many token ids there are, if it is one of ours.
  const int64_t fixed = static_cast<int64_t>(kTierHeaderBytes) + StateBytes();
  const int64_t a_block =
      device_.block_bytes() + kBlockTokens * static_cast<int64_t>(sizeof(int32_t));
  const int64_t blocks = std::clamp<int64_t>((stat->st_size - fixed) / a_block, 0, kBlocksMax);
  std::string tokens;
  if (!file.Read(static_cast<size_t>(blocks) * kBlockTokens * sizeof(int32_t), &tokens, job))
    return std::nullopt;
  auto info = ReadTierFileHead(head + tokens, static_cast<size_t>(stat->st_size));
  Status fits = info ? Status() : Status(std::unexpected(info.error()));
  if (fits &&
      (RecordBytes(info->record.blocks()) != stat->st_size ||
       static_cast<int64_t>(info->state_bytes) != StateBytes() || name != NameOf(info->record.key)))
    fits = DataLoss("it belongs elsewhere");
  if (!fits) {
    // It has a name of ours, takes room and may tell what was asked.
    const bool deleted = KeyOf(name) && ::unlink(path.c_str()) == 0;
    LogWarning("prefix cache: {} is {}: {}", path, deleted ? "deleted" : "left out",
               fits.error().message);
    return std::nullopt;
  }
  return Looked{.record = std::make_shared<const TierRecord>(std::move(info->record)),
                .used_ns = int64_t{stat->st_mtim.tv_sec} * 1'000'000'000 + stat->st_mtim.tv_nsec};
}

TierDiscovery DiskStore::Discover(TierJob& job) {
  Flush();
  DIR* dir = ::opendir(dir_.c_str());
  if (dir == nullptr && errno != ENOENT) return {};
  std::unordered_set<std::string> names;
  while (const dirent* entry = dir == nullptr ? nullptr : ::readdir(dir))
    names.emplace(entry->d_name);
  if (dir != nullptr) ::closedir(dir);

  std::vector<Looked> files;
  for (const std::string& name : names) {
    if (!job.Beat()) return {};
    if (name.ends_with(kDraft)) {
      DeleteIfStale(PathOf(name));
    } else if (name.ends_with(kSuffix) && !seen_.contains(name)) {
      if (auto looked = Look(name, job)) files.push_back(std::move(*looked));
    }
  }
  TierDiscovery discovery{.records = LatestFirst(std::move(files))};
  for (const std::string& name : seen_)
    if (const auto key = KeyOf(name); key && !names.contains(name)) discovery.gone.push_back(*key);
  std::erase_if(names, [](const std::string& name) { return !name.ends_with(kSuffix); });
  seen_ = std::move(names);
  return discovery;
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
