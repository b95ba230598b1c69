// The vectors of one group of questions, as those see them who search or build while others write:
// numbered rows in blocks. A row never changes once it can be seen; new ones come after it, and
// whether it still lives stands in a ticket that outlives it.
//
// Threads: GroupView is immutable and shared. A row is written before the number of rows that
// includes it is handed out (under the owner's lock), so readers need no lock.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "base/hash.h"

namespace nextgate::cache {

class VectorGraph;
struct QuestionGroup;

// What an item's rows have in common: one of them, the newest, lives. Reused, never freed while the
// table lives.
struct QuestionTicket {
  std::atomic<uint32_t> generation = 0;  // rises when what it stood for is erased or replaced
  // All below is the owner's, under its lock.
  QuestionGroup* group = nullptr;  // null: free
  Hash128 id;
  int64_t expires_unix_ms = 0;
  std::multimap<int64_t, QuestionTicket*>::iterator by_position;
};

struct QuestionRow {
  Hash128 id;
  int64_t expires_unix_ms = 0;
  int64_t position = 0;
  const QuestionTicket* ticket = nullptr;  // null: a row that fills a block and never lived
  uint32_t generation = 0;

  bool alive() const {
    return ticket != nullptr && ticket->generation.load(std::memory_order_acquire) == generation;
  }
};

// Rows side by side. [capacity] rows, [capacity, width] halves.
struct QuestionBlock {
  static constexpr uint32_t kRows =
      256;  // of every block but a group's only one, which may be smaller

  QuestionBlock(uint32_t capacity, size_t width) : rows(capacity), halves(capacity * width) {}
  std::vector<QuestionRow> rows;
  std::vector<uint16_t> halves;
};

// All of a group at one instant. Rows [0, graph_rows) are found through the graph (those that lived
// when it was built), the rest by looking at each.
struct GroupView {
  using Blocks = std::vector<std::shared_ptr<QuestionBlock>>;

  size_t width = 0;  // halves per row: the padded dimension
  Blocks blocks;
  std::shared_ptr<const VectorGraph> graph;  // null: none
  uint32_t graph_rows = 0;

  const QuestionRow& row(uint32_t r) const {
    return blocks[r / QuestionBlock::kRows]->rows[r % QuestionBlock::kRows];
  }
  const uint16_t* halves(uint32_t r) const {
    return blocks[r / QuestionBlock::kRows]->halves.data() + r % QuestionBlock::kRows * width;
  }
};

}  // namespace nextgate::cache
