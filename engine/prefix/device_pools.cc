#include <cstring>

#include "engine/prefix/kv_pool.h"
#include "engine/prefix/tier_store.h"

namespace nextgate::engine {
namespace {

// The parts of a block in order: for every full-attention layer K, then V.
template <class Visit>
void ForEachPart(const KvStorage& kv, int32_t block, const Visit& visit) {
  const int64_t layers = kv.k.shape[0];
  const auto bytes = static_cast<size_t>(KvBlockBytes(kv.k.shape) / (2 * layers));
  for (int64_t layer = 0; layer < layers; ++layer)
    for (const auto* half : {&kv.k, &kv.v}) visit(half->at(layer, block), bytes);
}

}  // namespace

int64_t DevicePools::block_bytes() const { return KvBlockBytes(kv.k.shape); }

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
