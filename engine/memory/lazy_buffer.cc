#include "engine/memory/lazy_buffer.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace nextgate::engine {
namespace {

thread_local int32_t opens_until_refused = -1;  // negative: none is

}  // namespace

void LazyBuffer::Refuse(int32_t open) { opens_until_refused = open; }

Result<LazyBuffer> LazyBuffer::Open(size_t bytes, const char* what) {
  LazyBuffer buffer;
  if (bytes == 0) return buffer;
  const bool refused = opens_until_refused >= 0 && opens_until_refused-- == 0;
  errno = ENOMEM;
  void* data = refused ? MAP_FAILED
                       : mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED)
    return MakeError(
        ErrorCode::kResourceExhausted,
        fmt::format("cannot reserve {} bytes for {}: {}", bytes, what, std::strerror(errno)));
  buffer.data_ = data;
  buffer.bytes_ = bytes;
  return buffer;
}

LazyBuffer::~LazyBuffer() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

LazyBuffer::LazyBuffer(LazyBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

LazyBuffer& LazyBuffer::operator=(LazyBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

}  // namespace nextgate::engine
