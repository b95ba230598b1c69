#include "engine/prefix/state_pool.h"

#include "base/check.h"

namespace nextgate::engine {
namespace {

int64_t RecurrentFloats(const ModelConfig& c) {
  return c.num_linear_layers() * c.linear_num_value_heads * c.linear_key_head_dim *
         c.linear_value_head_dim;
}
int64_t ConvFloats(const ModelConfig& c) {
  return c.num_linear_layers() * c.conv_channels() * (c.linear_conv_kernel_dim - 1);
}

}  // namespace

int64_t StatePool::SlotBytes(const ModelConfig& config) {
  return (RecurrentFloats(config) + ConvFloats(config)) * static_cast<int64_t>(sizeof(float));
}

Result<std::unique_ptr<StatePool>> StatePool::Open(const ModelConfig& config, int32_t slots) {
  std::unique_ptr<StatePool> pool(new StatePool);
  const int64_t bytes = SlotBytes(config) * slots;
  ASSIGN_OR_RETURN(pool->memory_, LazyBuffer::Open(static_cast<size_t>(bytes), "states"));
  float* data = pool->memory_.floats();
  pool->storage_.recurrent = {data,
                              {slots, config.num_linear_layers(), config.linear_num_value_heads,
                               config.linear_key_head_dim, config.linear_value_head_dim}};
  pool->storage_.conv = {data + pool->storage_.recurrent.size(),
                         {slots, config.num_linear_layers(), config.conv_channels(),
                          config.linear_conv_kernel_dim - 1}};
  pool->held_.assign(static_cast<size_t>(slots), 0);
  pool->free_.reserve(static_cast<size_t>(slots));
  for (int32_t slot = slots; slot-- > 0;) pool->free_.push_back(slot);
  return pool;
}

int32_t StatePool::Take() {
  CHECK(!free_.empty(), "no free state slot");
  const int32_t slot = free_.back();
  free_.pop_back();
  CHECK(held_[slot] == 0, "slot %d was free and held", slot);
  held_[slot] = 1;
  return slot;
}

void StatePool::GiveBack(int32_t slot) {
  CHECK(slot >= 0 && slot < slots_total() && held_[slot] == 1, "slot %d is not held", slot);
  held_[slot] = 0;
  free_.push_back(slot);
}

void StatePool::check_integrity() const {
  std::vector<uint8_t> seen(held_);
  for (const int32_t slot : free_) {
    CHECK(slot >= 0 && slot < slots_total(), "free slot %d of %d", slot, slots_total());
    CHECK(seen[slot] == 0, "slot %d is free twice, or free and held", slot);
    seen[slot] = 1;
  }
  for (int32_t slot = 0; slot < slots_total(); ++slot)
    CHECK(seen[slot] == 1, "slot %d is lost", slot);
}

}  // namespace nextgate::engine
