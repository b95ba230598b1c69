// SGLang's prefix cache for hybrid models (`extra_buffer`), as of 0.5.16. The bytes are divided once:
// 0.9 parts for states (fp32 as shipped) and 1 part for KV. A running request takes three slots: its
// own state and two that states are kept in while it runs. A state is kept
//   - once a prefill chunk: at the chunk's end rounded down to 64, or instead of it at the branch, the
//     last position with KV in the tree, where that lies within the chunk;
//   - while decoding at every multiple of 256, of which the last one counts when the request ends.
// The tree gets the tokens up to a kept state and no further: the KV behind it is given back.
//
// One request runs at a time, which is kinder than a full batch: three slots, not three a request.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "bench/prefix_sim/policy.h"
#include "bench/prefix_sim/sglang_tree.h"

namespace nextgate::prefix_sim {

struct SglangExtraBufferConfig {
  std::string name;
  int64_t chunk_tokens = 8192;  // prefill budget
  int64_t track_interval = 256;
  double state_share = 0.9 / 1.9;
};

class SglangExtraBuffer final : public Policy {
 public:
  // REQUIRES: room for six states.
  SglangExtraBuffer(SglangExtraBufferConfig config, const Budget& budget);

  const std::string& name() const override { return config_.name; }
  int64_t TokensMax() const override;
  int32_t Serve(const Request& request) override;
  Usage usage() const override;
  void check_integrity() const override { tree_.check_integrity(); }

  int64_t slots_total() const { return slots_; }
  int64_t pages_total() const { return pages_; }

 private:
  // A request that runs: where its lock is, and what of the pools is its own.
  struct Running {
    SglangTree::Node* node = nullptr;
    int64_t tree_pages = 0;  // of its prefix
    int64_t own_pages = 0;
    int64_t own_slots = 0;
  };

  void Prefill(Running* running, std::span<const Hash128> pages, int64_t branch, int64_t end,
               int64_t prompt);
  void TakePages(Running* running, int64_t end);
  void TakeSlot(Running* running);
  void Keep(Running* running, std::span<const Hash128> pages);

  SglangExtraBufferConfig config_;
  Budget budget_;
  int64_t slots_;
  int64_t pages_;
  SglangTree tree_;
};

}  // namespace nextgate::prefix_sim
