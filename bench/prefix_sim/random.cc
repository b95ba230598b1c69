#include "bench/prefix_sim/random.h"

#include <algorithm>

namespace nextgate::prefix_sim {
namespace {

constexpr int32_t kVocabulary = 151'936;

}  // namespace

uint64_t Random::Next() {
  uint64_t z = state_ += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

int32_t Random::Length(Range range) {
  int32_t doublings = 0;
  while (int64_t{range.low} << (doublings + 1) <= range.high) ++doublings;
  const int32_t low = range.low << Below(doublings + 1);
  return Uniform({low, std::min(range.high, 2 * low)});
}

int32_t Random::Zipf(int32_t n) {
  constexpr int64_t kUnit = 1 << 20;
  int64_t weights = 0;
  for (int32_t k = 0; k < n; ++k) weights += kUnit / (k + 1);
  auto drawn = static_cast<int64_t>(Next() % static_cast<uint64_t>(weights));
  int32_t k = 0;
  while ((drawn -= kUnit / (k + 1)) >= 0) ++k;
  return k;
}

void Random::AppendTokens(int32_t count, std::vector<int32_t>* tokens) {
  for (int32_t i = 0; i < count; ++i) tokens->push_back(Below(kVocabulary));
}

}  // namespace nextgate::prefix_sim
