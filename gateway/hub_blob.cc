#include "gateway/hub_blob.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/log.h"

namespace nextgate::gateway {
namespace {

// The hash a hub names a blob by: sha256 of the content, or git's sha1 of "blob <size>\0" and the
// content.
class BlobHash {
 public:
  explicit BlobHash(const HubFile& file) : file_(file) { Reset(); }
  void Reset() {
    const bool sha256 = file_.hash.size() == 64;
    CHECK(EVP_DigestInit_ex(context_.get(), sha256 ? EVP_sha256() : EVP_sha1(), nullptr) == 1);
    if (sha256) return;
    const std::string header = fmt::format("blob {}", file_.size);
    Update({header.c_str(), header.size() + 1});
  }
  void Update(std::string_view bytes) {
    CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
  }
  // REQUIRES: called once after Reset.
  std::string Hex() {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    CHECK(EVP_DigestFinal_ex(context_.get(), digest, &size) == 1);
    std::string out;
    for (unsigned int i = 0; i < size; ++i) out += fmt::format("{:02x}", digest[i]);
    return out;
  }

 private:
  const HubFile& file_;
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_{EVP_MD_CTX_new(),
                                                                   &EVP_MD_CTX_free};
};

Status WriteAll(int fd, const std::string& path, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return FileError(path, errno);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return {};
}

// "bytes 5-9/10" begins at `offset` of `size` bytes; "*" for the size is allowed.
bool RangeMatches(std::string_view range, int64_t offset, int64_t size) {
  const std::string begin = fmt::format("bytes {}-", offset);
  const size_t slash = range.rfind('/');
  if (!range.starts_with(begin) || slash == std::string_view::npos) return false;
  const std::string_view total = range.substr(slash + 1);
  return total == "*" || total == std::to_string(size);
}

class BlobFetch {
 public:
  BlobFetch(const HubClient& client, const HubConfig& config, const HubFile& file,
            const std::string& url_path, const std::string& part, const std::atomic<bool>& stop,
            TransferCounters& counters)
      : client_(client),
        config_(config),
        file_(file),
        url_path_(url_path),
        part_(part),
        stop_(stop),
        counters_(counters),
        fd_(part, O_RDWR | O_CREAT),
        hash_(file) {}

  // Brings <blob>.incomplete to its full length, checks it, gives it its name.
  Status Run(const std::string& blob) {
    if (fd_.get() < 0) return FileError(part_, errno);
    RETURN_IF_ERROR(HashPart());
    bool fresh = offset_ == 0;  // nothing of it was left by somebody else
    while (true) {
      RETURN_IF_ERROR(Receive());
      const std::string came = hash_.Hex();
      if (came == file_.hash) break;
      // A part from elsewhere may be to blame: once more from the beginning, then it is the server.
      RETURN_IF_ERROR(StartOver());
      if (fresh) {
        ::unlink(part_.c_str());
        return DataLoss(fmt::format("{}: the content does not match its hash: expected {}, came {}",
                                    file_.name, file_.hash, came));
      }
      LogWarning("{}: the resumed download does not match its hash, starting over", file_.name);
      fresh = true;
    }
    if (::rename(part_.c_str(), blob.c_str()) != 0) return FileError(blob, errno);
    return {};
  }

  // Hashes what is there already; `offset_` becomes its length.
  Status HashPart() {
    std::vector<char> buffer(size_t{1} << 20);
    while (true) {
      const ssize_t size = ::read(fd_.get(), buffer.data(), buffer.size());
      if (size < 0 && errno == EINTR) continue;
      if (size < 0) return FileError(part_, errno);
      if (size == 0) break;
      hash_.Update({buffer.data(), static_cast<size_t>(size)});
      offset_ += size;
      counters_.bytes_done += size;
    }
    if (offset_ > file_.size) return StartOver();
    return {};
  }

  Status StartOver() {
    if (::ftruncate(fd_.get(), 0) != 0 || ::lseek(fd_.get(), 0, SEEK_SET) != 0)
      return FileError(part_, errno);
    hash_.Reset();
    counters_.bytes_done -= offset_;
    offset_ = 0;
    return {};
  }

  // Attempts until all bytes are there, each from where the last one broke off. Progress is a byte
  // never reached before, so that a server which breaks off and starts over for ever is given up.
  Status Receive() {
    Retry retry(config_);
    int64_t farthest = offset_;
    bool too_short = false;
    while (offset_ < file_.size) {
      const int64_t before = offset_;
      int64_t retry_after_ms = 0;
      Status status = ReceiveOnce(&retry_after_ms);
      if (stop_) return MakeError(ErrorCode::kCancelled, "stopped");
      if (offset_ > farthest) {
        farthest = offset_;
        retry.OnProgress();
      }
      if (!status && status.error().code == ErrorCode::kTooLarge) {
        if (std::exchange(too_short, true) || before == 0)
          return DataLoss(fmt::format("{}: the hub says {} bytes, its server has {}", file_.name,
                                      file_.size, before));
        RETURN_IF_ERROR(StartOver());  // our part may be of another file
      } else if (!status && status.error().code != ErrorCode::kUnavailable) {
        return status;
      }
      if (offset_ == file_.size) break;
      if (!retry.Wait(stop_, retry_after_ms))
        return MakeError(
            ErrorCode::kUnavailable,
            fmt::format("{}: gave up after {} attempts at byte {} of {}{}{}; run again to resume",
                        file_.name, config_.attempts_max, offset_, file_.size, status ? "" : ": ",
                        status ? "" : status.error().message));
    }
    return {};
  }

  Status ReceiveOnce(int64_t* retry_after_ms) {
    Status failed;
    HubClient::Call call{.path = url_path_, .what = file_.name};
    if (offset_ > 0) call.headers.emplace_back("Range", fmt::format("bytes={}-", offset_));
    call.on_head = [&](const HttpResponse& head) {
      failed = CheckHead(head);
      return failed.has_value();
    };
    call.on_body = [&](std::string_view piece) {
      if (static_cast<int64_t>(piece.size()) > file_.size - offset_) {
        failed = DataLoss(fmt::format("{}: the server sends more than the {} bytes it should have",
                                      file_.name, file_.size));
      } else {
        failed = WriteAll(fd_.get(), part_, piece);
      }
      if (!failed) return false;
      hash_.Update(piece);
      const auto size = static_cast<int64_t>(piece.size());
      offset_ += size;
      counters_.bytes_done += size;
      counters_.received += size;
      return !stop_;
    };
    const auto response = client_.Send(call, retry_after_ms);
    if (!failed) return failed;
    if (!response) return std::unexpected(response.error());
    if (offset_ < file_.size)
      return MakeError(ErrorCode::kUnavailable, fmt::format("{}: the answer ended at byte {} of {}",
                                                            file_.name, offset_, file_.size));
    return {};
  }

  // Is the body what was asked for? A whole file where a part was asked for starts over.
  Status CheckHead(const HttpResponse& head) {
    if (head.status == 206) {
      const std::string_view range = FindHeader(head.headers, "Content-Range");
      if (RangeMatches(range, offset_, file_.size)) return {};
      return DataLoss(fmt::format("{}: asked for bytes from {} of {}, came '{}'", file_.name,
                                  offset_, file_.size, range));
    }
    if (head.status != 200)
      return DataLoss(fmt::format("{}: unexpected status {}", file_.name, head.status));
    const std::string_view length = FindHeader(head.headers, "Content-Length");
    if (!length.empty() && length != std::to_string(file_.size))
      return DataLoss(fmt::format("{}: the hub says {} bytes, its server has {}", file_.name,
                                  file_.size, length));
    if (offset_ > 0) RETURN_IF_ERROR(StartOver());
    return {};
  }

  const HubClient& client_;
  const HubConfig& config_;
  const HubFile& file_;
  const std::string url_path_, part_;
  const std::atomic<bool>& stop_;
  TransferCounters& counters_;
  const Fd fd_;
  BlobHash hash_;
  int64_t offset_ = 0;  // bytes in the part, all of them hashed
};

}  // namespace

std::unexpected<Error> FileError(const std::string& path, int error_number) {
  const bool full = error_number == ENOSPC || error_number == EDQUOT;
  return MakeError(full ? ErrorCode::kResourceExhausted : ErrorCode::kUnavailable,
                   fmt::format("{}: {}", path, std::strerror(error_number)));
}

Fd::Fd(const std::string& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0664)) {}
Fd::~Fd() {
  if (fd_ >= 0) ::close(fd_);
}

Status FetchBlob(const HubClient& client, const HubConfig& config, const HubFile& file,
                 const std::string& url_path, const std::string& blob_path,
                 const std::atomic<bool>& stop, TransferCounters& counters) {
  return BlobFetch(client, config, file, url_path, blob_path + ".incomplete", stop, counters)
      .Run(blob_path);
}

}  // namespace nextgate::gateway
