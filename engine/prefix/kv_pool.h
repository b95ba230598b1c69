// The KV of every full-attention layer, in blocks of 64 tokens, and who holds which block. A block
// id means the same block in every layer.
//
// Invariants: (1) every block is either free or has one owner: a sequence, or the prefix cache, which
// shares it among sequences that only read; (2) the block given back last
// is taken first, so that memory no load has needed is never touched.
//
// Threads: the engine thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/status.h"
#include "engine/memory/lazy_buffer.h"
#include "engine/model/config.h"
#include "engine/model/step.h"

namespace nextgate::engine {

// Blocks that cover `tokens`.
constexpr int64_t BlocksFor(int64_t tokens) { return (tokens + kBlockTokens - 1) / kBlockTokens; }

// Bytes of one block, K and V, all layers, where K and V have this shape.
int64_t KvBlockBytes(const std::array<int64_t, 5>& shape);

class KvPool {
 public:
  // The same for this model.
  static int64_t BlockBytes(const ModelConfig& config);

  static Result<std::unique_ptr<KvPool>> Open(const ModelConfig& config, int32_t blocks);

  int32_t blocks_total() const { return static_cast<int32_t>(held_.size()); }
  int32_t blocks_free() const { return static_cast<int32_t>(free_.size()); }
  int32_t blocks_used() const { return blocks_total() - blocks_free(); }

  // Appends `count` blocks to the table. REQUIRES: count <= blocks_free().
  void Take(int32_t count, std::vector<int32_t>* table);
  // Takes the table's blocks from index `first` on back and shortens it.
  void GiveBack(std::vector<int32_t>* table, size_t first = 0);
  void GiveBack(int32_t block);

  const KvStorage& storage() const { return storage_; }

  // Aborts if invariant 1 does not hold.
  void check_integrity() const;

 private:
  KvPool() = default;

  LazyBuffer memory_;
  KvStorage storage_;
  std::vector<int32_t> free_;  // a stack
  std::vector<uint8_t> held_;  // [blocks]
};

}  // namespace nextgate::engine
