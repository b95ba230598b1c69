// No policy: what endless memory and a state at every 64th position would reuse. Nobody who resumes on
// that grid does better, so the distance to it is what a policy still leaves.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <unordered_set>

#include "base/hash.h"
#include "bench/prefix_sim/policy.h"

namespace nextgate::prefix_sim {

class Limit final : public Policy {
 public:
  explicit Limit(std::string name) : name_(std::move(name)) {}

  const std::string& name() const override { return name_; }
  int64_t TokensMax() const override { return std::numeric_limits<int64_t>::max(); }
  int32_t Serve(const Request& request) override;
  Usage usage() const override;
  void check_integrity() const override {}

 private:
  std::string name_;
  std::unordered_set<Hash128> blocks_;
};

}  // namespace nextgate::prefix_sim
