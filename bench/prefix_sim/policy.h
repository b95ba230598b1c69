// What a prefix-cache policy is to the simulator: it is shown requests one after the other and says
// how many tokens of each prompt it did not have to compute. No model and no storage: a policy
// keeps an index and counts bytes. The figures of the real 80B model stand here.
//
// Threads: a policy belongs to one thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace nextgate::prefix_sim {

constexpr int64_t kGiB = int64_t{1} << 30;

// Qwen3-Next-80B. KV: 12 layers, 2 heads of 256, K and V, bf16.
constexpr int64_t kBlockTokens = 64;
constexpr int64_t kKvBytesPerToken = 12 * 2 * 256 * 2 * 2;
constexpr int64_t kKvBlockBytes = kBlockTokens * kKvBytesPerToken;

// One state: 36 layers of 32 heads of 128 x 128, and three rows of 8,192 conv inputs as bf16.
constexpr int64_t StateBytes(int64_t bytes_per_element) {
  return 36 * (32 * 128 * 128 * bytes_per_element + 8192 * 3 * 2);
}

// Token ids are synthetic; ids that are equal up to a position are a shared beginning.
struct Request {
  std::vector<int32_t> prompt;   // at least one
  std::vector<int32_t> borders;  // where messages end, ascending, the last at the prompt's end
  std::vector<int32_t> answer;   // generated after it; the last one is sampled, never computed
};

// Tokens whose KV and state exist when the request ends.
inline int64_t ComputedTokens(const Request& request) {
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  const auto answer = static_cast<int64_t>(request.answer.size());
  return prompt + (answer > 0 ? answer - 1 : 0);
}

// What a policy divides as its original would. What a running request works in counts too.
struct Budget {
  int64_t bytes = 0;
  int64_t block_bytes = kKvBlockBytes;  // KV of 64 tokens
  int64_t state_bytes = StateBytes(2);  // one stored state
};

// What the policy holds for later requests.
struct Usage {
  int64_t kv_bytes = 0;
  int64_t state_bytes = 0;
  int64_t total_bytes() const { return kv_bytes + state_bytes; }
};

class Policy {
 public:
  virtual ~Policy() = default;

  virtual const std::string& name() const = 0;

  // The longest prompt with its answer that fits into the budget alone.
  virtual int64_t TokensMax() const = 0;

  // Looks the prompt up, computes the rest of it, generates the answer and keeps what the policy
  // keeps. Returns the tokens reused, less than the prompt's.
  // REQUIRES: prompt and answer of at most TokensMax() tokens.
  virtual int32_t Serve(const Request& request) = 0;

  virtual Usage usage() const = 0;

  // Aborts if the policy's books do not balance.
  virtual void check_integrity() const = 0;
};

}  // namespace nextgate::prefix_sim
