#include "engine/prefix/kv_pool.h"

#include "base/check.h"

namespace nextgate::engine {

namespace {

// Of K, and of V.
std::array<int64_t, 5> ShapeOf(const ModelConfig& config, int32_t blocks) {
  return {config.num_full_layers(), blocks, config.num_key_value_heads, kBlockTokens,
          config.head_dim};
}

}  // namespace

int64_t KvBlockBytes(const std::array<int64_t, 5>& shape) {
  return 2 * shape[0] * shape[2] * shape[3] * shape[4] * static_cast<int64_t>(sizeof(float));
}

int64_t KvPool::BlockBytes(const ModelConfig& config) { return KvBlockBytes(ShapeOf(config, 1)); }

Result<std::unique_ptr<KvPool>> KvPool::Open(const ModelConfig& config, int32_t blocks) {
  std::unique_ptr<KvPool> pool(new KvPool);
  const int64_t bytes = BlockBytes(config) * blocks;
  ASSIGN_OR_RETURN(pool->memory_, LazyBuffer::Open(static_cast<size_t>(bytes), "KV blocks"));
  const std::array<int64_t, 5> shape = ShapeOf(config, blocks);
  pool->storage_.k = {pool->memory_.floats(), shape};
  pool->storage_.v = {pool->memory_.floats() + pool->storage_.k.size(), shape};
  pool->held_.assign(static_cast<size_t>(blocks), 0);
  pool->free_.reserve(static_cast<size_t>(blocks));
  for (int32_t block = blocks; block-- > 0;) pool->free_.push_back(block);
  return pool;
}

void KvPool::Take(int32_t count, std::vector<int32_t>* table) {
  CHECK(count <= blocks_free(), "%d blocks wanted, %d free", count, blocks_free());
  for (int32_t i = 0; i < count; ++i) {
    const int32_t block = free_.back();
    free_.pop_back();
    CHECK(held_[block] == 0, "block %d was free and held", block);
    held_[block] = 1;
    table->push_back(block);
  }
}

void KvPool::GiveBack(std::vector<int32_t>* table, size_t first) {
  // Backwards, so that the same blocks come out in the same order next time.
  for (; table->size() > first; table->pop_back()) GiveBack(table->back());
}

void KvPool::GiveBack(int32_t block) {
  CHECK(held_[block] == 1, "block %d given back twice", block);
  held_[block] = 0;
  free_.push_back(block);
}

void KvPool::check_integrity() const {
  std::vector<uint8_t> seen(held_);
  for (const int32_t block : free_) {
    CHECK(block >= 0 && block < blocks_total(), "free block %d of %d", block, blocks_total());
    CHECK(seen[block] == 0, "block %d is free twice, or free and held", block);
    seen[block] = 1;
  }
  for (int32_t block = 0; block < blocks_total(); ++block)
    CHECK(seen[block] == 1, "block %d is lost", block);
}

}  // namespace nextgate::engine
