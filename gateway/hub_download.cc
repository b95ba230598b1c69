#include "gateway/hub_download.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "base/log.h"
#include "gateway/hub_blob.h"
#include "gateway/hub_client.h"

namespace nextgate::gateway {
namespace {

namespace fs = std::filesystem;

// A name for the file that is renamed to `target` once it is whole: nobody else's, neither of
// another process nor of another download in this one.
fs::path FreshName(const fs::path& target) {
  static std::atomic<uint64_t> count = 0;
  return target.parent_path() /
         fmt::format(".{}.{}.{}", target.filename().string(), ::getpid(), ++count);
}

class Downloader {
 public:
  Downloader(const std::string& id, const std::string& revision, const HubConfig& config)
      : id_(id), revision_(revision), config_(config) {
    std::string folder = "models--" + id;
    if (const size_t slash = folder.find('/'); slash != std::string::npos)
      folder.replace(slash, 1, "--");
    storage_ = fs::path(config.cache_dir) / folder;
    locks_ = fs::path(config.cache_dir) / ".locks" / folder;
  }

  // The whole story: what is there, the small files, which weights they name, the weights, the ref.
  Result<std::string> Run() {
    ASSIGN_OR_RETURN(client_, HubClient::Open(config_, stop_));
    const std::string what = fmt::format("{} at {}", id_, revision_);
    LogInfo("{}: not in {}, downloading from {}", what, config_.cache_dir, config_.endpoint);
    ASSIGN_OR_RETURN(const std::string answer,
                     client_->GetText(fmt::format("/api/models/{}/revision/{}?blobs=true", id_,
                                                  PercentEncode(revision_)),
                                      what));
    auto manifest = ParseManifest(answer);
    if (!manifest) return Named(std::move(manifest.error()), what);
    commit_ = manifest->commit;
    snapshot_ = storage_ / "snapshots" / commit_;
    RETURN_IF_ERROR(MakeFolders());

    std::vector<HubFile> small, weights;
    for (HubFile& file : manifest->files)
      (file.name.ends_with(".safetensors") ? weights : small).push_back(std::move(file));
    if (std::ranges::find(small, "config.json", &HubFile::name) == small.end())
      return NotFound(fmt::format("{} has no config.json: it is no checkpoint", what));
    RETURN_IF_ERROR(DownloadAll(std::move(small)));
    if (!config_.weights) return Finish();
    ASSIGN_OR_RETURN(weights, ChooseWeights(std::move(weights), what));
    RETURN_IF_ERROR(DownloadAll(std::move(weights)));
    return Finish();
  }

 private:
  Result<std::string> Finish() const {
    RETURN_IF_ERROR(WriteRef());
    return snapshot_.string();
  }

  static std::unexpected<Error> Named(Error error, const std::string& what) {
    error.message = what + ": " + error.message;
    return std::unexpected(std::move(error));
  }

  Status MakeFolders() const {
    std::error_code error;
    for (const fs::path& path : {storage_ / "blobs", snapshot_, locks_}) {
      fs::create_directories(path, error);
      if (error) return FileError(path, error.value());
    }
    return {};
  }

  // The shards the index names; without an index model.safetensors, or whatever there is.
  Result<std::vector<HubFile>> ChooseWeights(std::vector<HubFile> all,
                                             const std::string& what) const {
    std::ifstream in(snapshot_ / "model.safetensors.index.json", std::ios::binary);
    if (!in) {
      const auto whole = std::ranges::find(all, "model.safetensors", &HubFile::name);
      if (whole != all.end()) return std::vector{*whole};
      if (all.empty()) return NotFound(fmt::format("{} has no safetensors weights", what));
      return all;
    }
    auto shards = ShardsOfIndex(std::string(std::istreambuf_iterator<char>(in), {}));
    if (!shards) return Named(std::move(shards.error()), what);
    std::vector<HubFile> chosen;
    for (const std::string& shard : *shards) {
      const auto found = std::ranges::find(all, shard, &HubFile::name);
      if (found == all.end())
        return DataLoss(
            fmt::format("{}: the index names {}, which the repository does not have", what, shard));
      chosen.push_back(*found);
    }
    return chosen;
  }

  std::string ResolvePath(const HubFile& file) const {
    return fmt::format("/{}/resolve/{}/{}", id_, commit_, PercentEncode(file.name));
  }

  // Asks the file itself where the listing did not say (mirrors may leave out sizes and hashes).
  Status FillIn(HubFile& file) const {
    if (!file.hash.empty() && file.size >= 0) return {};
    ASSIGN_OR_RETURN(const HttpResponse head, client_->GetHead(ResolvePath(file), file.name));
    const auto first_of = [&](const char* linked, const char* plain) {
      const std::string_view value = FindHeader(head.headers, linked);
      return value.empty() && head.status < 300 ? FindHeader(head.headers, plain) : value;
    };
    std::string_view etag = first_of("X-Linked-Etag", "ETag");
    if (etag.starts_with("W/")) etag.remove_prefix(2);
    if (etag.size() >= 2 && etag.front() == '"') etag = etag.substr(1, etag.size() - 2);
    const std::string_view size = first_of("X-Linked-Size", "Content-Length");
    const auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), file.size);
    const bool is_hex = std::ranges::all_of(
        etag, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
    if (!is_hex || (etag.size() != 40 && etag.size() != 64) || error != std::errc() ||
        end != size.data() + size.size() || file.size < 0)
      return DataLoss(fmt::format("{}: the hub gives no hash and size to check it by", file.name));
    file.hash = etag;
    return {};
  }

  // What lies in the cache of this file already: the blob, or a part of it.
  int64_t BytesPresent(const HubFile& file) const {
    std::error_code error;
    const fs::path blob = storage_ / "blobs" / file.hash;
    const auto whole = fs::file_size(blob, error);
    if (!error && static_cast<int64_t>(whole) == file.size) return file.size;
    const auto part = fs::file_size(blob.string() + ".incomplete", error);
    return error ? 0 : std::min(static_cast<int64_t>(part), file.size);
  }

  Status CheckSpace(const std::vector<HubFile>& files) const {
    int64_t needed = 0;
    for (const HubFile& file : files) needed += file.size - BytesPresent(file);
    struct statvfs disk {};
    if (::statvfs(storage_.c_str(), &disk) != 0) return {};
    const int64_t free = static_cast<int64_t>(disk.f_bavail) * static_cast<int64_t>(disk.f_frsize);
    if (needed <= free) return {};
    return MakeError(ErrorCode::kResourceExhausted,
                     fmt::format("{} needs {:.2f} GB more in {}, which has {:.2f} GB free", id_,
                                 static_cast<double>(needed) / 1e9, config_.cache_dir,
                                 static_cast<double>(free) / 1e9));
  }

  Status DownloadAll(std::vector<HubFile> files) {
    for (HubFile& file : files) RETURN_IF_ERROR(FillIn(file));
    RETURN_IF_ERROR(CheckSpace(files));
    counters_.bytes_done = counters_.received = files_done_ = 0;
    next_ = 0;
    HubProgress progress{.files_total = static_cast<int64_t>(files.size())};
    for (const HubFile& file : files) progress.bytes_total += file.size;

    running_ = std::clamp(config_.num_connections, 1, static_cast<int>(files.size()) + 1);
    std::vector<std::thread> workers;
    for (int i = 0, n = running_; i < n; ++i) workers.emplace_back([this, &files] { Work(files); });
    Report(progress);
    for (std::thread& worker : workers) worker.join();
    if (first_error_) return std::unexpected(*first_error_);
    return {};
  }

  // One worker: the next file nobody took, until there is none or somebody failed.
  void Work(const std::vector<HubFile>& files) {
    while (!stop_) {
      const size_t i = next_.fetch_add(1);
      if (i >= files.size()) break;
      Status status = DownloadFile(files[i]);
      if (status) {
        ++files_done_;
        continue;
      }
      std::lock_guard lock(mutex_);
      if (!stop_) first_error_ = std::move(status.error());
      stop_ = true;
    }
    std::lock_guard lock(mutex_);
    if (--running_ == 0) finished_.notify_all();
  }

  // Tells of the progress until the workers are done.
  void Report(HubProgress progress) {
    const std::chrono::milliseconds interval(std::max<int64_t>(config_.progress_interval_ms, 1));
    auto last_time = std::chrono::steady_clock::now();
    int64_t last_received = 0;
    const auto tell = [&] {
      const auto now = std::chrono::steady_clock::now();
      const double seconds = std::chrono::duration<double>(now - last_time).count();
      const int64_t received = counters_.received;
      const double speed = static_cast<double>(received - last_received) / std::max(seconds, 1e-3);
      progress.bytes_per_s =
          progress.bytes_per_s == 0 ? speed : 0.5 * (progress.bytes_per_s + speed);
      progress.bytes_done = counters_.bytes_done;
      progress.files_done = files_done_;
      last_time = now;
      last_received = received;
      if (config_.on_progress) {
        config_.on_progress(progress);
      } else {
        LogInfo("downloading {}: {}", id_, FormatProgress(progress));
      }
    };
    std::unique_lock lock(mutex_);
    while (!finished_.wait_for(lock, interval, [&] { return running_ == 0; })) {
      lock.unlock();
      tell();
      lock.lock();
    }
    lock.unlock();
    if (!stop_) tell();
  }

  Status DownloadFile(const HubFile& file) {
    const fs::path blob = storage_ / "blobs" / file.hash;
    const fs::path lock_path = locks_ / (file.hash + ".lock");
    const Fd lock(lock_path, O_RDWR | O_CREAT);
    if (lock.get() < 0) return FileError(lock_path, errno);
    RETURN_IF_ERROR(AwaitLock(lock.get(), file));

    std::error_code error;
    const auto present = fs::file_size(blob, error);
    if (!error && static_cast<int64_t>(present) == file.size) {
      counters_.bytes_done += file.size;
    } else {
      RETURN_IF_ERROR(
          FetchBlob(*client_, config_, file, ResolvePath(file), blob, stop_, counters_));
    }
    return LinkSnapshot(file);
  }

  Status AwaitLock(int fd, const HubFile& file) const {
    bool told = false;
    while (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK && errno != EINTR) return {};  // no flock here: rename stays atomic
      if (stop_) return MakeError(ErrorCode::kCancelled, "stopped");
      if (!std::exchange(told, true))
        LogInfo("{}: another process is downloading it, waiting", file.name);
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return {};
  }

  // snapshots/<commit>/<name> → ../../blobs/<hash>, put in place whole.
  Status LinkSnapshot(const HubFile& file) const {
    const fs::path link = snapshot_ / file.name;
    const fs::path fresh = FreshName(link);
    std::error_code error;
    fs::remove(fresh, error);
    fs::create_symlink(fs::path("../../blobs") / file.hash, fresh, error);
    if (error) fs::create_hard_link(storage_ / "blobs" / file.hash, fresh, error);
    if (error) return FileError(fresh, error.value());
    if (::rename(fresh.c_str(), link.c_str()) != 0) return FileError(link, errno);
    return {};
  }

  // Last of all: from now on others find the snapshot by its branch or tag.
  Status WriteRef() const {
    if (revision_ == commit_) return {};
    const fs::path ref = storage_ / "refs" / revision_;
    const fs::path fresh = FreshName(ref);
    std::error_code error;
    fs::create_directories(ref.parent_path(), error);
    if (error) return FileError(ref.parent_path(), error.value());
    std::ofstream out(fresh, std::ios::binary | std::ios::trunc);
    out << commit_;
    out.close();
    if (!out) return FileError(fresh, EIO);
    if (::rename(fresh.c_str(), ref.c_str()) != 0) return FileError(ref, errno);
    return {};
  }

  const std::string id_, revision_;
  const HubConfig& config_;
  fs::path storage_, locks_, snapshot_;
  std::string commit_;
  std::unique_ptr<HubClient> client_;

  std::atomic<bool> stop_ = false;
  std::atomic<size_t> next_ = 0;
  std::atomic<int64_t> files_done_ = 0;
  TransferCounters counters_;
  std::mutex mutex_;  // guards running_ and first_error_
  std::condition_variable finished_;
  int running_ = 0;
  std::optional<Error> first_error_;
};

}  // namespace

Result<std::string> DownloadSnapshot(const std::string& id, const std::string& revision,
                                     const HubConfig& config) {
  return Downloader(id, revision, config).Run();
}

}  // namespace nextgate::gateway
