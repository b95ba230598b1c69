#include <cstring>

#include "engine/prefix/tier_store.h"

namespace nextgate::engine {
namespace {

// The parts of a block in order: for every full-attention layer K, then V.
template <class Visit>
void ForEachPart(const KvStorage& kv, int32_t block, const Visit& visit) {
  const auto& s = kv.k.shape;
  const size_t bytes = static_cast<size_t>(s[2] * s[3] * s[4]) * sizeof(float);
  for (int64_t layer = 0; layer < s[0]; ++layer)
    for (const auto* half : {&kv.k, &kv.v}) visit(half->at(layer, block), bytes);
}

}  // namespace

int64_t DevicePools::block_bytes() const {
  const auto& s = kv.k.shape;
  return 2 * s[0] * s[2] * s[3] * s[4] * static_cast<int64_t>(sizeof(float));
}

void DevicePools::ReadBlock(int32_t block, std::byte* to) const {
  ForEachPart(kv, block, [&](const float* part, size_t bytes) {
    std::memcpy(to, part, bytes);
    to += bytes;
  });
}

void DevicePools::WriteBlock(int32_t block, const std::byte* from) const {
  ForEachPart(kv, block, [&](float* part, size_t bytes) {
    std::memcpy(part, from, bytes);
    from += bytes;
  });
}

}  // namespace nextgate::engine
