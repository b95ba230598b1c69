// Memory in pages of equal size that KV blocks and checkpoints share: a page is a checkpoint's slot, or it
// holds as many blocks as fit. Which of the two are worth more shows only in what is asked for, so neither
// has a part of its own. The pools above say what is in a page; this one knows only which are free.
//
// Invariants: every page is either free or taken once; the page given back last is taken first, so
// that memory no load has needed is never touched.
//
// Threads: the engine thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/status.h"
#include "engine/memory/lazy_buffer.h"

namespace nextgate::engine {

class PagePool {
 public:
  // Shared by the pools above it, whichever ends first. `what` names it in the error.
  static Result<std::shared_ptr<PagePool>> Open(int64_t page_bytes, int32_t pages,
                                                const char* what);

  int32_t pages_total() const { return static_cast<int32_t>(taken_.size()); }
  int32_t pages_free() const { return static_cast<int32_t>(free_.size()); }
  int64_t page_bytes() const { return page_bytes_; }
  float* floats() const { return memory_.floats(); }  // page i at i · page_bytes()

  // REQUIRES: a free page. Its content is whatever was there.
  int32_t Take();
  void GiveBack(int32_t page);

  // Aborts if a page is lost.
  void check_integrity() const;

 private:
  PagePool() = default;

  LazyBuffer memory_;
  int64_t page_bytes_ = 0;
  std::vector<int32_t> free_;   // a stack
  std::vector<uint8_t> taken_;  // [pages]
};

}  // namespace nextgate::engine
