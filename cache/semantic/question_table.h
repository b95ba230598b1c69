// The books of a QuestionIndex: groups, their rows, which of them live, in what order they go, and what
// the builder shall do. See question_index.h for what it all is.
//
// Threads: one at a time (the index' lock); nothing here waits or takes longer than moving some pointers,
// or 256 rows. Views and jobs that it hands out are read by others meanwhile; they hold the table, whose
// tickets their rows name.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "base/status.h"
#include "cache/semantic/question_index.h"
#include "cache/semantic/question_rows.h"

namespace nextgate::cache {

struct QuestionGroup {
  Hash128 key;
  uint64_t serial = 0;  // of all groups ever, so that a job knows its group from a later one
  std::shared_ptr<const GroupView> view;
  uint32_t size = 0;      // rows that are written
  uint32_t live = 0;      // of these
  bool waiting = false;   // in the queue for the builder
  bool building = false;  // the builder has its rows' numbers in hand
};

// What the builder does next, and what came of it.
struct GraphJob {
  // To do. Null view: only free what is in `garbage`.
  std::shared_ptr<const QuestionTable> owner;  // keeps the tickets
  Hash128 group;
  uint64_t serial = 0;
  std::shared_ptr<const GroupView> view;
  uint32_t end = 0;      // of the rows to be in the graph
  bool compact = false;  // write the living of [0, end) anew; end is a multiple of a block's rows
  bool with_graph = false;
  std::vector<std::shared_ptr<const void>> garbage;  // freed there, since it takes long

  // Done.
  bool finished = false;
  std::shared_ptr<const VectorGraph> graph;
  GroupView::Blocks blocks;  // compact: what stands in for the first end rows; all of them full
};

class QuestionTable {
 public:
  explicit QuestionTable(const QuestionIndex::Options& options);

  // The item's vector as halves, [width]; empty: it has none, what its id had goes.
  void Insert(const QuestionIndex::Item& item, std::span<const uint16_t> halves);
  bool Erase(const Hash128& id);
  // At most `max` of them; how many there were.
  int64_t EraseBefore(int64_t position, int64_t max);
  // Looks at `max` tickets from `cursor` on, and moves it; how many had expired. Done: cursor == tickets().
  int64_t RemoveExpired(int64_t now_unix_ms, size_t& cursor, size_t max);
  size_t tickets() const { return tickets_.size(); }

  struct Found {
    std::shared_ptr<const GroupView> view;  // null: there is no such group
    uint32_t size = 0;
  };
  Found Find(const Hash128& group) const;

  // The next thing to build or to free, if there is any; not while one is out.
  std::unique_ptr<GraphJob> NextJob();
  void Install(GraphJob& job);
  // Frees it on the builder's thread, once nobody else holds it.
  void Retire(std::shared_ptr<const void> thing);
  bool waiting() const { return !queue_.empty(); }

  // Until there are at most entries_max.
  void RemoveOldest();

  // For a snapshot: every group's key.
  std::vector<Hash128> GroupKeys() const;
  // From a snapshot: a group of rows that are written already but for their tickets; dead ones have
  // expires_unix_ms == kDead. REQUIRES: no such group yet; all blocks but the last are full.
  static constexpr int64_t kDead = INT64_MIN;
  void Restore(const Hash128& group, GroupView view, uint32_t size);

  // builds, compactions, evictions and refused go on from where `other` is.
  void InheritCounters(const QuestionTable& other);
  QuestionIndex::Stats stats() const;
  Status CheckIntegrity() const;

 private:
  // So many small maps that none ever takes long to grow. Chosen by the bits that std::hash ignores.
  template <class Map>
  class Sharded {
   public:
    Map& Of(const Hash128& key) { return maps_[key.high >> 56]; }
    const Map& Of(const Hash128& key) const { return maps_[key.high >> 56]; }
    auto begin() const { return maps_.begin(); }
    auto end() const { return maps_.end(); }

   private:
    std::array<Map, 256> maps_;
  };

  QuestionGroup& GroupOf(const Hash128& key);
  QuestionTicket* TicketOf(const QuestionGroup& group, const Hash128& id) const;
  QuestionTicket& NewTicket(QuestionGroup& group, const Hash128& id);
  void Append(QuestionGroup& group, const QuestionRow& row, std::span<const uint16_t> halves);
  void Grow(QuestionGroup& group);
  void Remove(QuestionTicket& ticket);
  void SetView(QuestionGroup& group, std::shared_ptr<const GroupView> view, uint32_t size,
               uint32_t live);
  void Count(const QuestionGroup& group, int64_t sign);
  bool MustCompact(const QuestionGroup& group) const;
  bool MustBuild(const QuestionGroup& group) const;
  void QueueIfNeeded(QuestionGroup& group);
  QuestionGroup* FindGroup(const Hash128& key, uint64_t serial);
  size_t BytesOf(const GroupView& view) const;

  const QuestionIndex::Options options_;
  const size_t width_;
  std::deque<QuestionTicket> tickets_;  // addresses stay
  std::vector<QuestionTicket*> free_tickets_;
  std::multimap<int64_t, QuestionTicket*> by_position_;
  Sharded<std::unordered_multimap<Hash128, QuestionTicket*>> by_id_;
  Sharded<std::unordered_map<Hash128, QuestionGroup>> groups_;
  std::deque<std::pair<Hash128, uint64_t>> queue_;  // groups the builder shall look at, by serial
  std::vector<std::shared_ptr<const void>> retired_;
  uint64_t next_serial_ = 1;
  QuestionIndex::Stats stats_;
};

}  // namespace nextgate::cache
