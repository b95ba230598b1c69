// Where an answer was found.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace nextgate::cache {

enum class Tier : uint8_t { kExact, kNormalised, kCoalesced, kSemantic, kDraft };
inline constexpr size_t kNumTiers = 5;
std::string_view TierName(Tier tier);  // "exact", …: X-Cache-Tier
// Whether anything is answered from it; tables leave those out that are not built yet.
constexpr bool TierIsBuilt(Tier tier) { return tier < Tier::kDraft; }

}  // namespace nextgate::cache
