// 128-bit content hash (XXH3). Not cryptographic: equality is always proven on the content itself.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace nextgate {

struct Hash128 {
  uint64_t high = 0;
  uint64_t low = 0;
  auto operator<=>(const Hash128&) const = default;
  std::string Hex() const;  // 32 lower-case digits, high first
};

Hash128 HashBytes(std::string_view bytes);

// The same of bytes that come in pieces.
class HashStream {
 public:
  HashStream();
  ~HashStream();
  HashStream(const HashStream&) = delete;
  HashStream& operator=(const HashStream&) = delete;
  void Add(std::string_view bytes);
  Hash128 hash() const;  // of all that was added

 private:
  struct State;
  const std::unique_ptr<State> state_;
};

// What Hex wrote; nothing if it is not 32 lower-case hex digits.
std::optional<Hash128> ParseHash128(std::string_view hex);

}  // namespace nextgate

template <>
struct std::hash<nextgate::Hash128> {
  size_t operator()(const nextgate::Hash128& h) const noexcept { return h.low; }
};
