#include "bench/prefix_sim/limit.h"

#include "bench/prefix_sim/block_hash.h"

namespace nextgate::prefix_sim {

int32_t Limit::Serve(const Request& request) {
  const std::vector<Hash128> hashes = BlockHashes(request, kBlockTokens);
  const auto reusable = (static_cast<int64_t>(request.prompt.size()) - 1) / kBlockTokens;
  int64_t reused = 0;
  while (reused < reusable && blocks_.contains(hashes[reused])) ++reused;
  blocks_.insert(hashes.begin(), hashes.end());
  return static_cast<int32_t>(reused * kBlockTokens);
}

Usage Limit::usage() const {
  const auto blocks = static_cast<int64_t>(blocks_.size());
  return {.kv_bytes = blocks * kKvBlockBytes, .state_bytes = blocks * StateBytes(2)};
}

}  // namespace nextgate::prefix_sim
