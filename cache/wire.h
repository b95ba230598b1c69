// Bytes that instances exchange: unsigned varints (LEB128), zigzag for signed ones, and strings with
// their length before them. What is read is never trusted: a reader that ran past its end, or met a
// varint of more than 64 bits, stays failed and returns zeros and empty views.
//
// Threads: values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace nextgate::cache {

class WireWriter {
 public:
  void Unsigned(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }
  void Signed(int64_t value) {
    Unsigned((static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63));
  }
  void Text(std::string_view text) {
    Unsigned(text.size());
    bytes_ += text;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : rest_(bytes) {}

  uint64_t Unsigned();
  int64_t Signed() {
    const uint64_t raw = Unsigned();
    return static_cast<int64_t>(raw >> 1) ^ -static_cast<int64_t>(raw & 1);
  }
  // A view into the bytes given.
  std::string_view Text();

  // A count of things that take at least one byte each; fails if there cannot be so many.
  size_t Count();

  bool failed() const { return failed_; }
  // Everything was read, and all of it was well formed.
  bool Done() const { return !failed_ && rest_.empty(); }

 private:
  void Fail() {
    failed_ = true;
    rest_ = {};
  }
  std::string_view rest_;
  bool failed_ = false;
};

}  // namespace nextgate::cache
