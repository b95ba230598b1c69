#include "base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace nextgate {
namespace {

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

const char* KindOf(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

}  // namespace

Result<std::string> ReadFile(const std::string& path, int64_t bytes_max) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));  // a pipe would wait else
  struct stat info {};
  if (file.get() < 0 && errno == ENXIO)  // a socket cannot be opened
    return DataLoss(fmt::format("{}: expected a regular file, it is a socket or device", path));
  if (file.get() < 0 || ::fstat(file.get(), &info) != 0)
    return NotFound(fmt::format("{}: {}", path, std::strerror(errno)));
  if (!S_ISREG(info.st_mode))
    return DataLoss(
        fmt::format("{}: expected a regular file, it is {}", path, KindOf(info.st_mode)));
  if (info.st_size > bytes_max)
    return DataLoss(
        fmt::format("{}: {} bytes, at most {} are read", path, info.st_size, bytes_max));
  std::string text(static_cast<size_t>(info.st_size), '\0');
  for (size_t done = 0; done < text.size();) {
    const ssize_t size = ::read(file.get(), text.data() + done, text.size() - done);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return DataLoss(fmt::format("{}: {}", path, std::strerror(errno)));
    if (size == 0) return DataLoss(fmt::format("{}: became shorter while it was read", path));
    done += static_cast<size_t>(size);
  }
  return text;
}

void RaiseOpenFilesLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);  // refused: as many as before
}

}  // namespace nextgate
