// The KV of every full-attention layer, in blocks of 64 tokens, and who holds which block. A block
// id means the same block in every layer; a block's bytes lie together, so that it can be moved.
//
// Blocks lie in pages (page_pool.h), which may be shared with checkpoints: a page whose blocks are all
// free goes back, and one that has few can be vacated.
//
// Invariants: (1) every block is either free or has one owner: a sequence, or the prefix cache, which
// shares it among sequences that only read; (2) the block given back last
// is taken first, so that memory no load has needed is never touched; (3) open pages, those with both
// free and held blocks, are in one list, and none is ours without a held block.
//
// Threads: the engine thread.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/status.h"
#include "engine/model/config.h"
#include "engine/model/step.h"
#include "engine/prefix/page_pool.h"

namespace nextgate::engine {

// Blocks that cover `tokens`.
constexpr int64_t BlocksFor(int64_t tokens) { return (tokens + kBlockTokens - 1) / kBlockTokens; }

// Bytes of one block, K and V, all layers, where K and V have this shape.
int64_t KvBlockBytes(const std::array<int64_t, 5>& shape);

class KvPool {
 public:
  // The same for this model.
  static int64_t BlockBytes(const ModelConfig& config);

  // With memory of its own.
  static Result<std::unique_ptr<KvPool>> Open(const ModelConfig& config, int32_t blocks);
  // In pages that others use too. REQUIRES: a page is a whole number of blocks.
  static std::unique_ptr<KvPool> OpenIn(const ModelConfig& config, std::shared_ptr<PagePool> pages);

  int32_t blocks_total() const { return static_cast<int32_t>(held_.size()); }
  // That could be taken now: with those in pages that nobody has.
  int32_t blocks_free() const { return open_blocks_ + pages_->pages_free() * page_blocks_; }
  int32_t blocks_used() const { return used_; }
  int32_t page_blocks() const { return page_blocks_; }
  const PagePool* pages() const { return pages_.get(); }

  // Appends `count` blocks to the table. REQUIRES: count <= blocks_free().
  void Take(int32_t count, std::vector<int32_t>* table);
  // Takes the table's blocks from index `first` on back and shortens it.
  void GiveBack(std::vector<int32_t>* table, size_t first = 0);
  void GiveBack(int32_t block);

  // Moves the blocks of a page into open ones, so that the page comes free: of those whose held blocks
  // may all be moved the one with the fewest. False: there is none, or too few blocks are free.
  // REQUIRES: no page is free.
  bool VacatePage(const std::function<bool(int32_t block)>& may_move,
                  const std::function<void(int32_t from, int32_t to)>& moved);

  const KvStorage& storage() const { return storage_; }

  // Aborts if an invariant does not hold.
  void check_integrity() const;

 private:
  static constexpr int32_t kNone = -1;
  struct Page {
    int32_t used = 0;            // blocks; 0: not ours
    int32_t first_free = kNone;  // of its blocks
    int32_t before = kNone;      // in the list of open pages
    int32_t after = kNone;
  };

  KvPool() = default;
  int32_t PageOf(int32_t block) const { return block / page_blocks_; }
  bool IsOpen(const Page& page) const { return page.used > 0 && page.used < page_blocks_; }
  int32_t TakeOne();
  void Link(int32_t page);
  void Unlink(int32_t page);
  std::optional<int32_t> EmptiestPage(const std::function<bool(int32_t)>& may_move) const;

  std::shared_ptr<PagePool> pages_;
  KvStorage storage_;
  int32_t page_blocks_ = 1;
  std::vector<Page> page_;          // [pages]
  std::vector<uint8_t> held_;       // [blocks]
  std::vector<int32_t> next_free_;  // [blocks] in its page
  int32_t open_ = kNone;            // the list's head
  int32_t open_blocks_ = 0;         // free ones in open pages
  int32_t used_ = 0;
};

}  // namespace nextgate::engine
