// Zeroed memory straight from the system, reserved whole and backed page by page on first touch.
// What the memory plan promises is reserved at start; what no request has used costs nothing.
//
// Threads: a value with one owner.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/status.h"

namespace nextgate::engine {

class LazyBuffer {
 public:
  // `what` names it in the error. kResourceExhausted: the system refuses.
  static Result<LazyBuffer> Open(size_t bytes, const char* what);
  LazyBuffer() = default;
  ~LazyBuffer();
  LazyBuffer(LazyBuffer&& other) noexcept;
  LazyBuffer& operator=(LazyBuffer&& other) noexcept;

  // Fault injection: of the calls of Open on this thread from now on, number `open` (from 0) is refused.
  static void Refuse(int32_t open);

  float* floats() const { return static_cast<float*>(data_); }
  size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace nextgate::engine
