#include "engine/prefix/kv_pool.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace nextgate::engine {

namespace {

// Of K, and of V.
std::array<int64_t, 5> ShapeOf(const ModelConfig& config, int64_t blocks) {
  return {config.num_full_layers(), blocks, config.num_key_value_heads, kBlockTokens,
          config.head_dim};
}

}  // namespace

int64_t KvBlockBytes(const std::array<int64_t, 5>& shape) {
  return 2 * shape[0] * shape[2] * shape[3] * shape[4] * static_cast<int64_t>(sizeof(float));
}

int64_t KvPool::BlockBytes(const ModelConfig& config) { return KvBlockBytes(ShapeOf(config, 1)); }

Result<std::unique_ptr<KvPool>> KvPool::Open(const ModelConfig& config, int32_t blocks) {
  ASSIGN_OR_RETURN(auto pages, PagePool::Open(BlockBytes(config), blocks, "KV blocks"));
  return OpenIn(config, std::move(pages));
}

std::unique_ptr<KvPool> KvPool::OpenIn(const ModelConfig& config, std::shared_ptr<PagePool> pages) {
  const int64_t bytes = BlockBytes(config);
  CHECK(pages->page_bytes() % bytes == 0, "pages of no whole number of blocks");
  std::unique_ptr<KvPool> pool(new KvPool);
  pool->page_blocks_ = static_cast<int32_t>(pages->page_bytes() / bytes);
  const int64_t blocks = int64_t{pages->pages_total()} * pool->page_blocks_;
  const std::array<int64_t, 5> shape = ShapeOf(config, blocks);
  // Of a block: for each layer K, then V.
  const int64_t part = shape[2] * shape[3] * shape[4];
  const std::array<int64_t, 5> stride = {2 * part, 2 * part * shape[0], shape[3] * shape[4],
                                         shape[4], 1};
  pool->storage_.k = {pages->floats(), shape, stride};
  pool->storage_.v = {pages->floats() + part, shape, stride};
  pool->page_.assign(static_cast<size_t>(pages->pages_total()), {});
  pool->held_.assign(static_cast<size_t>(blocks), 0);
  pool->next_free_.assign(static_cast<size_t>(blocks), kNone);
  pool->pages_ = std::move(pages);
  return pool;
}

void KvPool::Link(int32_t id) {
  page_[id].before = kNone;
  page_[id].after = std::exchange(open_, id);
  if (page_[id].after != kNone) page_[page_[id].after].before = id;
  open_blocks_ += page_blocks_ - page_[id].used;
}

void KvPool::Unlink(int32_t id) {
  const Page& page = page_[id];
  (page.before == kNone ? open_ : page_[page.before].after) = page.after;
  if (page.after != kNone) page_[page.after].before = page.before;
  open_blocks_ -= page_blocks_ - page.used;
}

// From the page opened last, or from a new one.
int32_t KvPool::TakeOne() {
  int32_t id = open_;
  if (id != kNone) {
    Unlink(id);
  } else {
    id = pages_->Take();
    const int32_t first = id * page_blocks_;
    for (int32_t i = 0; i < page_blocks_; ++i)
      next_free_[first + i] = i + 1 < page_blocks_ ? first + i + 1 : kNone;
    page_[id].first_free = first;
  }
  Page& page = page_[id];
  const int32_t block = page.first_free;
  page.first_free = next_free_[block];
  ++page.used;
  if (IsOpen(page)) Link(id);
  CHECK(held_[block] == 0, "block %d was free and held", block);
  held_[block] = 1;
  ++used_;
  return block;
}

void KvPool::Take(int32_t count, std::vector<int32_t>* table) {
  CHECK(count <= blocks_free(), "%d blocks wanted, %d free", count, blocks_free());
  for (int32_t i = 0; i < count; ++i) table->push_back(TakeOne());
}

void KvPool::GiveBack(std::vector<int32_t>* table, size_t first) {
  // Backwards, so that the same blocks come out in the same order next time.
  for (; table->size() > first; table->pop_back()) GiveBack(table->back());
}

void KvPool::GiveBack(int32_t block) {
  CHECK(held_[block] == 1, "block %d given back twice", block);
  held_[block] = 0;
  --used_;
  const int32_t id = PageOf(block);
  Page& page = page_[id];
  if (IsOpen(page)) Unlink(id);
  next_free_[block] = page.first_free;
  page.first_free = block;
  if (--page.used == 0) {
    pages_->GiveBack(id);
  } else {
    Link(id);
  }
}

std::optional<int32_t> KvPool::EmptiestPage(const std::function<bool(int32_t)>& may_move) const {
  std::optional<int32_t> emptiest;
  for (int32_t id = 0; id < pages_->pages_total(); ++id) {
    const int32_t used = page_[id].used;
    if (used == 0 || (emptiest && used >= page_[*emptiest].used)) continue;
    bool movable = true;
    for (int32_t block = id * page_blocks_; movable && block < (id + 1) * page_blocks_; ++block)
      movable = held_[block] == 0 || may_move(block);
    if (movable) emptiest = id;
  }
  return emptiest;
}

bool KvPool::VacatePage(const std::function<bool(int32_t block)>& may_move,
                        const std::function<void(int32_t from, int32_t to)>& moved) {
  CHECK(pages_->pages_free() == 0, "there is a free page");
  if (open_blocks_ < page_blocks_) return false;
  const std::optional<int32_t> page = EmptiestPage(may_move);
  if (!page) return false;
  const int64_t floats = storage_.k.stride[1];
  if (IsOpen(page_[*page])) Unlink(*page);  // so that none of its own blocks is taken
  for (int32_t from = *page * page_blocks_; from < (*page + 1) * page_blocks_; ++from) {
    if (held_[from] == 0) continue;
    const int32_t to = TakeOne();
    std::memcpy(pages_->floats() + to * floats, pages_->floats() + from * floats,
                static_cast<size_t>(floats) * sizeof(float));
    held_[from] = 0;
    moved(from, to);
  }
  used_ -= std::exchange(page_[*page].used, 0);
  pages_->GiveBack(*page);
  return true;
}

void KvPool::check_integrity() const {
  pages_->check_integrity();
  int32_t used = 0;
  int32_t open = 0;
  int32_t open_blocks = 0;
  for (size_t id = 0; id < page_.size(); ++id) {
    const Page& page = page_[id];
    const auto first = held_.begin() + static_cast<int64_t>(id) * page_blocks_;
    CHECK(page.used == std::count(first, first + page_blocks_, 1), "page %zu miscounts", id);
    used += page.used;
    if (page.used == 0) continue;
    int32_t free = 0;
    for (int32_t block = page.first_free; block != kNone; block = next_free_[block], ++free)
      CHECK(PageOf(block) == static_cast<int32_t>(id) && held_[block] == 0 && free < page_blocks_,
            "block %d is free twice, or free and held", block);
    CHECK(page.used + free == page_blocks_, "page %zu lost a block", id);
    open += IsOpen(page) ? 1 : 0;
    open_blocks += free;
  }
  for (int32_t id = open_; id != kNone; id = page_[id].after, --open)
    CHECK(IsOpen(page_[id]), "page %d is in the wrong list", id);
  CHECK(open == 0 && open_blocks == open_blocks_ && used == used_, "blocks are lost");
}

}  // namespace nextgate::engine
