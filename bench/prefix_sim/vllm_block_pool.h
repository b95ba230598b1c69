// The one pool of equally large blocks that vLLM keeps attention KV and recurrent states in. A block
// that nobody uses waits in a queue and can still be found under its hash until it is taken.
//
// Invariants: (1) a block is in the queue exactly while nobody uses it; (2) a block has at most one
// name (group and hash), and a name may have several blocks: what is computed twice is stored twice.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "base/hash.h"

namespace nextgate::prefix_sim {

class VllmBlockPool {
 public:
  static constexpr int32_t kNone = -1;

  VllmBlockPool(int32_t blocks, int32_t groups);

  int32_t blocks_total() const { return queue_; }
  int32_t blocks_free() const { return free_; }
  int32_t blocks_named(int32_t group) const { return named_[group]; }

  // The block of that name that has it longest, or kNone.
  int32_t Find(int32_t group, const Hash128& hash) const;

  // One more user.
  void Touch(int32_t block);

  // The block that has been free longest, for one user and without a name. REQUIRES: a free one.
  int32_t Take();

  // REQUIRES: in use and without a name.
  void Name(int32_t block, int32_t group, const Hash128& hash);

  // One user less. A free block queues at the end, one without a name at the front.
  void Release(int32_t block);

  // Aborts if an invariant does not hold.
  void check_integrity() const;

 private:
  struct Block {
    int32_t users = 0;
    int32_t group = kNone;  // kNone: no name
    Hash128 hash;
    int32_t before = kNone;  // in the queue
    int32_t after = kNone;
  };

  void Link(int32_t block, int32_t before);
  void Unlink(int32_t block);
  void Forget(int32_t block);

  std::vector<Block> blocks_;  // and one more at the end: the queue's head and tail
  int32_t queue_;
  int32_t free_ = 0;
  std::vector<int32_t> named_;                                              // [groups]
  std::vector<std::unordered_map<Hash128, std::vector<int32_t>>> by_name_;  // [groups]
};

}  // namespace nextgate::prefix_sim
