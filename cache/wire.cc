#include "cache/wire.h"

namespace nextgate::cache {

uint64_t WireReader::Unsigned() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    const uint64_t bits = byte & 0x7f;
    if (shift == 63 && bits > 1) break;
    value |= bits << shift;
    if (byte < 0x80) return value;
  }
  Fail();
  return 0;
}

std::string_view WireReader::Text() {
  const size_t size = Count();
  const std::string_view text = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return text;
}

size_t WireReader::Count() {
  const uint64_t count = Unsigned();
  if (count <= rest_.size()) return static_cast<size_t>(count);
  Fail();
  return 0;
}

}  // namespace nextgate::cache
