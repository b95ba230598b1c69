// The policies by name, each with the state format that its original ships.
//
// Threads: pure.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "bench/prefix_sim/policy.h"

namespace nextgate::prefix_sim {

struct PolicyKind {
  std::string_view name;
  int64_t state_bytes;
  std::unique_ptr<Policy> (*make)(const std::string& name, const Budget& budget);
};

// The one that others are held beside.
constexpr std::string_view kReference = "vllm";

std::span<const PolicyKind> PolicyKinds();

// REQUIRES: at least kBudgetBytesMin.
constexpr int64_t kBudgetBytesMin = kGiB;
std::unique_ptr<Policy> MakePolicy(const PolicyKind& kind, int64_t budget_bytes);

}  // namespace nextgate::prefix_sim
