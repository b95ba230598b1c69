// An HNSW graph (Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using
// Hierarchical Navigable Small World graphs", 2016) over rows of a group: FAISS builds and walks it,
// distances are those of half_vector.h. The one wrapper of FAISS.
//
// It holds links, not vectors; so a graph can be copied and extended while the copied one is searched,
// and both read the same rows. Of rows with equal bits only the first is a node, the others are its
// twins: the same question asked and stored again does not wall the graph in.
//
// FAISS' functions that open parallel regions are not called: no thread is ever started by OpenMP.
//
// Threads: immutable once it is shared.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "cache/semantic/question_rows.h"

namespace nextgate::cache {

// What a search needs besides the graph: reused, since one takes a byte per node. One search at a time.
struct GraphScratch;
struct GraphScratchDelete {
  void operator()(GraphScratch* scratch) const;
};
using GraphScratchPtr = std::unique_ptr<GraphScratch, GraphScratchDelete>;

// As many as were ever needed at once; at most kKept are kept. Threads: any.
class GraphScratchPool {
 public:
  GraphScratchPool();
  ~GraphScratchPool();
  GraphScratchPtr Take();
  void Give(GraphScratchPtr scratch);

 private:
  static constexpr size_t kKept = 16;
  std::mutex mutex_;
  std::vector<GraphScratchPtr> free_;
};

class VectorGraph {
 public:
  struct Settings {
    int links = 16;
    int ef_construction = 80;
  };
  struct Candidate {
    uint32_t row = 0;
    float cosine = 0;
  };

  // What `base` (null: nothing) leads to, and those of the rows [begin, end) of `rows` that are alive.
  // Null if `cancelled` became true. A node's level comes from its id, so it does not depend on when
  // it was added.
  static std::shared_ptr<const VectorGraph> Extend(const VectorGraph* base, const GroupView& rows,
                                                   uint32_t begin, uint32_t end,
                                                   const Settings& settings,
                                                   const std::atomic<bool>& cancelled);
  ~VectorGraph();

  // The nearest min(ef, nodes) nodes to query ([width], padded) that the walk found, with their twins,
  // dead or alive, in any order. Returns the number of nodes among them. `rows` is a view that has the
  // rows the graph was built of.
  size_t Search(const GroupView& rows, const float* query, size_t ef, GraphScratch& scratch,
                std::vector<Candidate>& found) const;

  size_t num_nodes() const;
  size_t bytes() const;

  // The graph as bytes, little-endian, in pieces.
  void Write(const std::function<void(std::string_view)>& sink) const;
  // Reads it from the front of `bytes`, which is cut. kDataLoss: it is none, or leads to a row at or
  // beyond `num_rows`; whatever the bytes are, a graph that is returned can be walked.
  static Result<std::shared_ptr<const VectorGraph>> Read(std::string_view& bytes,
                                                         uint32_t num_rows);

 private:
  struct Parts;
  explicit VectorGraph(std::unique_ptr<Parts> parts);
  const std::unique_ptr<Parts> parts_;
};

}  // namespace nextgate::cache
