// Finds the stored questions nearest to a question: approximate nearest neighbours by cosine, among the
// questions of one group only. A group is what may be compared at all (scope, model, embedder, and all
// of the request but its last user text, as one hash), so there may be a million groups of one item,
// and groups of 10^5.
//
// A group's rows lie side by side in half precision. Up to graph_rows_min they are all looked at. Above
// that an HNSW graph (FAISS) leads to them, but for the newest, the tail, which are looked at. The one
// builder thread of an index copies the graph, adds a part of the tail to the copy, and hands it over; so
// graphs are immutable segments that are swapped by a pointer. What is erased stays as a tombstone until
// a fifth of the group is that; then the builder writes the living ones anew.
//
// Every cosine that Search returns is computed from the stored vector, so a graph can only overlook an
// item, never misplace one. The same items in the same order give the same answers, but for what the
// graph overlooks, which depends on when it was built (recall is measured: bench/semantic_index).
//
// Threads: all methods may be called from any thread. One lock, held for pointer moves; nobody who holds
// it waits for the builder, and the builder never takes it (it runs at a low priority).
//
// Invariants:
// 1. Search returns nothing expired, erased or replaced before it began, nothing twice, nothing of
//    another group.
// 2. At most entries_max items; those with the lowest positions go first.
// 3. An id has at most one living item in a group.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/status.h"

namespace nextgate::cache {

class GraphBuilder;
class GraphScratchPool;
class QuestionTable;
struct GraphJob;
struct GroupView;

class QuestionIndex {
 public:
  struct Options {
    int64_t dimension = 0;  // D
    int64_t entries_max = 1'000'000;
    // A group with fewer living rows has no graph.
    int64_t graph_rows_min = 10'000;
    // The builder takes a tail of tail_rows_min rows or 1/tail_share of the graph's, whichever is more,
    int64_t tail_rows_min = 2'048;
    int64_t tail_share = 32;
    // and adds at most so many before it hands over.
    int64_t build_rows_max = 8'192;
    // HNSW (Malkov and Yashunin, 2016): links per node (twice as many at the bottom), and how many
    // candidates are kept while a node is added, and while one searches.
    int64_t links = 16;
    int64_t ef_construction = 80;
    int64_t ef_search = 96;
  };

  struct Item {
    Hash128 group;
    Hash128 id;
    std::span<const float> vector;  // [D], of length 1 or 0
    int64_t expires_unix_ms = 0;
    int64_t position = 0;  // of the log record that made it; ascending in practice
  };

  struct Neighbour {
    Hash128 id;
    float cosine = 0;
    std::vector<float> vector = {};  // [D], as it is stored
  };

  struct Stats {
    int64_t entries = 0;
    int64_t groups = 0;
    int64_t bytes = 0;           // of vectors, rows, books and graphs; approximate
    int64_t graphs = 0;          // groups that have one
    int64_t graph_rows = 0;      // rows they lead to
    int64_t tail_rows = 0;       // rows after them
    int64_t tombstones = 0;      // rows that are dead
    int64_t builds = 0;          // graphs made or extended since the start
    int64_t compactions = 0;     // groups written anew
    int64_t builds_waiting = 0;  // groups the builder will come to, or is at
    int64_t evictions = 0;       // items that went because there were entries_max
    int64_t refused = 0;         // items whose vector was 0 or not finite
  };

  // REQUIRES: 1 <= dimension <= 65,536; entries_max >= 1; the rest positive.
  explicit QuestionIndex(const Options& options);
  ~QuestionIndex();

  const Options& options() const { return options_; }

  // Replaces what `id` had in that group. A vector of length 0 (which is like nothing) or with a value
  // that is not finite is not kept; what `id` had goes all the same. REQUIRES: vector.size() == D.
  void Insert(const Item& item);

  // What `id` has, in every group. False if there was nothing.
  bool Erase(const Hash128& id);

  // The at most k items of `group` with the highest cosines, best first, equal ones by id. A query of
  // length 0, or not finite, has no neighbours. REQUIRES: query.size() == D.
  std::vector<Neighbour> Search(const Hash128& group, std::span<const float> query, size_t k,
                                int64_t now_unix_ms) const;

  // Items with a position below `position`, and items that expired; how many there were.
  int64_t EraseBefore(int64_t position);
  int64_t RemoveExpired(int64_t now_unix_ms);
  void Clear();

  Stats stats() const;
  Status CheckIntegrity() const;

  // True as soon as the builder has nothing to do; false after `timeout`. For tests and benchmarks.
  bool WaitForBuilder(std::chrono::milliseconds timeout);

  // Writes everything to `path`: to a file beside it, which is synced and renamed. `header` comes back
  // from Load. Others may go on: what was inserted before the call is in the file, what is inserted or
  // erased meanwhile may be or not, so `header` names a position of the log from before the call.
  // kUnavailable: the file cannot be written; a file that was at `path` is then as it was.
  Status Save(const std::string& path, std::string_view header) const;

  // Replaces everything by what Save wrote; returns the header. kNotFound: no file. kDataLoss: it is
  // damaged, of another version or another dimension. After an error the index is as it was. The checksum
  // tells accidents; a file made on purpose is checked field by field too, and cannot do more than be wrong.
  Result<std::string> Load(const std::string& path);

 private:
  struct Scan;
  void Step() const;

  const Options options_;
  const std::unique_ptr<GraphScratchPool> scratch_;
  mutable std::mutex mutex_;  // guards table_
  std::shared_ptr<QuestionTable> table_;
  const std::unique_ptr<GraphBuilder> builder_;
};

}  // namespace nextgate::cache
