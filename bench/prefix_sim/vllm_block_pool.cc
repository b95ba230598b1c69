#include "bench/prefix_sim/vllm_block_pool.h"

#include <algorithm>

#include "base/check.h"

namespace nextgate::prefix_sim {

VllmBlockPool::VllmBlockPool(int32_t blocks, int32_t groups)
    : blocks_(blocks + 1), queue_(blocks), named_(groups), by_name_(groups) {
  blocks_[queue_].before = blocks_[queue_].after = queue_;
  for (int32_t block = 0; block < blocks; ++block) Link(block, queue_);
}

int32_t VllmBlockPool::Find(int32_t group, const Hash128& hash) const {
  const auto found = by_name_[group].find(hash);
  return found == by_name_[group].end() ? kNone : found->second.front();
}

void VllmBlockPool::Touch(int32_t block) {
  if (blocks_[block].users++ == 0) Unlink(block);
}

int32_t VllmBlockPool::Take() {
  CHECK(free_ > 0, "no block is free of %d", blocks_total());
  const int32_t block = blocks_[queue_].after;
  Unlink(block);
  Forget(block);
  blocks_[block].users = 1;
  return block;
}

void VllmBlockPool::Name(int32_t block, int32_t group, const Hash128& hash) {
  CHECK(blocks_[block].users > 0 && blocks_[block].group == kNone);
  blocks_[block].group = group;
  blocks_[block].hash = hash;
  by_name_[group][hash].push_back(block);
  ++named_[group];
}

void VllmBlockPool::Release(int32_t block) {
  CHECK(blocks_[block].users > 0);
  if (--blocks_[block].users > 0) return;
  Link(block, blocks_[block].group == kNone ? blocks_[queue_].after : queue_);
}

void VllmBlockPool::Link(int32_t block, int32_t before) {
  const int32_t after = before;
  const int32_t front = blocks_[after].before;
  blocks_[block].before = front;
  blocks_[block].after = after;
  blocks_[front].after = blocks_[after].before = block;
  ++free_;
}

void VllmBlockPool::Unlink(int32_t block) {
  blocks_[blocks_[block].before].after = blocks_[block].after;
  blocks_[blocks_[block].after].before = blocks_[block].before;
  blocks_[block].before = blocks_[block].after = kNone;
  --free_;
}

void VllmBlockPool::Forget(int32_t block) {
  const int32_t group = blocks_[block].group;
  if (group == kNone) return;
  const auto found = by_name_[group].find(blocks_[block].hash);
  std::erase(found->second, block);
  if (found->second.empty()) by_name_[group].erase(found);
  --named_[group];
  blocks_[block].group = kNone;
}

void VllmBlockPool::check_integrity() const {
  int32_t queued = 0;
  for (int32_t b = blocks_[queue_].after; b != queue_; b = blocks_[b].after) {
    CHECK(blocks_[b].users == 0, "block %d waits in the queue and has users", b);
    ++queued;
  }
  const auto unused = std::count_if(blocks_.begin(), blocks_.end() - 1,
                                    [](const Block& block) { return block.users == 0; });
  CHECK(queued == free_ && unused == free_, "%d queued, %d unused, %d free", queued,
        static_cast<int>(unused), free_);
  for (size_t group = 0; group < by_name_.size(); ++group) {
    int32_t named = 0;
    for (const auto& [hash, blocks] : by_name_[group]) {
      for (const int32_t b : blocks) {
        CHECK(blocks_[b].group == static_cast<int32_t>(group) && blocks_[b].hash == hash);
        ++named;
      }
    }
    CHECK(named == named_[group], "%d blocks under their names, %d counted", named, named_[group]);
  }
}

}  // namespace nextgate::prefix_sim
