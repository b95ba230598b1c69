#include "cache/semantic/vector_graph.h"

#include <faiss/impl/AuxIndexStructures.h>
#include <faiss/impl/DistanceComputer.h>
#include <faiss/impl/HNSW.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "cache/semantic/half_vector.h"

// FAISS' random.cpp, from which its graph takes a generator, also names BLAS' matrix product, for a function
// that is not used. A library of hundreds of kilobytes, which may be one that starts threads when it is loaded,
// is not linked for that. Hidden: nobody outside of this program finds it; weak: a BLAS in it would go before.
extern "C" __attribute__((weak, visibility("hidden"))) void sgemm_() {
  CHECK(false);  // there is no BLAS in this program
}

namespace nextgate::cache {
namespace {

constexpr uint32_t kLinksMin = 2;
constexpr uint32_t kLinksMax = 256;

using Id = faiss::DistanceComputer::idx_t;

// The less alike, the larger: minus the cosine.
class RowDistance final : public faiss::DistanceComputer {
 public:
  RowDistance(const GroupView& rows, const std::vector<uint32_t>& node_rows)
      : rows_(rows), node_rows_(node_rows) {}

  // [width], padded; borrowed.
  void set_query(const float* query) override { query_ = query; }
  void SetQueryNode(Id node) {
    ToFloats(node, own_query_);
    query_ = own_query_.data();
  }
  float operator()(Id i) override { return -Dot(query_, halves(i), rows_.width); }
  // FAISS asks for many i with the same j in turn.
  float symmetric_dis(Id i, Id j) override {
    if (j != other_node_) ToFloats(j, other_);
    other_node_ = j;
    return -Dot(other_.data(), halves(i), rows_.width);
  }

 private:
  const uint16_t* halves(Id node) const { return rows_.halves(node_rows_[node]); }
  void ToFloats(Id node, std::vector<float>& floats) const {
    floats.resize(rows_.width);
    const uint16_t* from = halves(node);
    for (size_t i = 0; i < floats.size(); ++i) floats[i] = HalfToFloat(from[i]);
  }

  const GroupView& rows_;
  const std::vector<uint32_t>& node_rows_;
  const float* query_ = nullptr;
  std::vector<float> own_query_;
  std::vector<float> other_;
  Id other_node_ = -1;
};

// One thread builds, so nobody waits for them; FAISS' builder wants them.
class NodeLocks {
 public:
  explicit NodeLocks(size_t n) : locks(n) {
    for (omp_lock_t& lock : locks) omp_init_lock(&lock);
  }
  ~NodeLocks() {
    for (omp_lock_t& lock : locks) omp_destroy_lock(&lock);
  }
  NodeLocks(const NodeLocks&) = delete;
  NodeLocks& operator=(const NodeLocks&) = delete;
  std::vector<omp_lock_t> locks;
};

// On how many levels a node lies, at least 1: geometric, as if drawn, but the same wherever it is built.
int LevelsOf(const Hash128& id, const faiss::HNSW& hnsw, int links) {
  const uint64_t mixed = (id.high ^ id.low >> 1) * 0x9e3779b97f4a7c15U;
  const double drawn = (static_cast<double>(mixed >> 11) + 1) * 0x1p-53;  // (0, 1]
  const int level = static_cast<int>(-std::log(drawn) / std::log(links));
  return 1 + std::min(level, static_cast<int>(hnsw.assign_probas.size()) - 1);
}

std::string_view RowBytes(const GroupView& rows, uint32_t row) {
  return {reinterpret_cast<const char*>(rows.halves(row)), rows.width * sizeof(uint16_t)};
}

}  // namespace

struct GraphScratch {
  faiss::VisitedTable visited{0};
  std::vector<Id> nodes;
  std::vector<float> distances;
};

GraphScratchPool::GraphScratchPool() = default;
GraphScratchPool::~GraphScratchPool() = default;

void GraphScratchDelete::operator()(GraphScratch* scratch) const { delete scratch; }

GraphScratchPtr GraphScratchPool::Take() {
  {
    std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      GraphScratchPtr scratch = std::move(free_.back());
      free_.pop_back();
      return scratch;
    }
  }
  return GraphScratchPtr(new GraphScratch);
}

void GraphScratchPool::Give(GraphScratchPtr scratch) {
  std::lock_guard lock(mutex_);
  if (free_.size() < kKept) free_.push_back(std::move(scratch));
}

struct VectorGraph::Parts {
  explicit Parts(int links_per_node) : links(links_per_node), hnsw(links_per_node) {}

  int links;
  faiss::HNSW hnsw;
  std::vector<uint32_t> node_rows;                            // [nodes]
  std::unordered_map<uint32_t, std::vector<uint32_t>> twins;  // node -> further rows with its bits

  // Every link on a level leads to a node that is on that level; those that lead nowhere are the last,
  // which FAISS takes for granted where a list is full by its last.
  bool LinksAreSound() const {
    for (size_t node = 0; node < node_rows.size(); ++node) {
      for (int level = 0; level < hnsw.levels[node]; ++level) {
        size_t begin = 0;
        size_t end = 0;
        hnsw.neighbor_range(static_cast<Id>(node), level, &begin, &end);
        bool ended = false;
        for (size_t i = begin; i < end; ++i) {
          const int link = hnsw.neighbors[i];
          if (link == -1) {
            ended = true;
            continue;
          }
          if (ended || link < 0 || static_cast<size_t>(link) >= node_rows.size()) return false;
          if (hnsw.levels[link] <= level) return false;
        }
      }
    }
    return true;
  }
};

VectorGraph::VectorGraph(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
VectorGraph::~VectorGraph() = default;

std::shared_ptr<const VectorGraph> VectorGraph::Extend(const VectorGraph* base,
                                                       const GroupView& rows, uint32_t begin,
                                                       uint32_t end, const Settings& settings,
                                                       const std::atomic<bool>& cancelled) {
  auto parts = base != nullptr ? std::make_unique<Parts>(*base->parts_)
                               : std::make_unique<Parts>(settings.links);
  faiss::HNSW& hnsw = parts->hnsw;
  hnsw.efConstruction = settings.ef_construction;
  std::vector<uint32_t>& node_rows = parts->node_rows;
  const auto first_new = static_cast<uint32_t>(node_rows.size());

  std::unordered_multimap<uint64_t, uint32_t> nodes_by_hash;
  nodes_by_hash.reserve(first_new + (end - begin));
  for (uint32_t node = 0; node < first_new; ++node)
    nodes_by_hash.emplace(HashBytes(RowBytes(rows, node_rows[node])).low, node);
  for (uint32_t row = begin; row < end; ++row) {
    if (!rows.row(row).alive()) continue;
    const std::string_view bytes = RowBytes(rows, row);
    const uint64_t hash = HashBytes(bytes).low;
    const auto [from, to] = nodes_by_hash.equal_range(hash);
    const auto equal = std::find_if(from, to, [&](const auto& seen) {
      return RowBytes(rows, node_rows[seen.second]) == bytes;
    });
    if (equal != to) {
      parts->twins[equal->second].push_back(row);
      continue;
    }
    nodes_by_hash.emplace(hash, static_cast<uint32_t>(node_rows.size()));
    node_rows.push_back(row);
    hnsw.levels.push_back(LevelsOf(rows.row(row).id, hnsw, parts->links));
  }
  nodes_by_hash.clear();

  const size_t num_nodes = node_rows.size();
  hnsw.prepare_level_tab(num_nodes - first_new, /*preset_levels=*/true);
  NodeLocks locks(num_nodes);
  faiss::VisitedTable visited(static_cast<int>(num_nodes));
  RowDistance distance(rows, node_rows);
  for (size_t node = first_new; node < num_nodes; ++node) {
    if (cancelled.load(std::memory_order_relaxed)) return nullptr;
    distance.SetQueryNode(static_cast<Id>(node));
    hnsw.add_with_locks(distance, hnsw.levels[node] - 1, static_cast<int>(node), locks.locks,
                        visited);
  }
  return std::shared_ptr<const VectorGraph>(new VectorGraph(std::move(parts)));
}

size_t VectorGraph::Search(const GroupView& rows, const float* query, size_t ef,
                           GraphScratch& scratch, std::vector<Candidate>& found) const {
  found.clear();
  const std::vector<uint32_t>& node_rows = parts_->node_rows;
  const auto wanted = static_cast<int>(std::min(ef, node_rows.size()));
  if (wanted == 0) return 0;
  if (scratch.visited.visited.size() < node_rows.size())
    scratch.visited = faiss::VisitedTable(static_cast<int>(node_rows.size()));
  scratch.nodes.assign(wanted, -1);
  scratch.distances.assign(wanted, 0);
  RowDistance distance(rows, node_rows);
  distance.set_query(query);
  faiss::SearchParametersHNSW parameters;
  parameters.efSearch = wanted;
  parts_->hnsw.search(distance, wanted, scratch.nodes.data(), scratch.distances.data(),
                      scratch.visited, &parameters);
  size_t num_found = 0;
  for (int i = 0; i < wanted; ++i) {
    if (scratch.nodes[i] < 0) continue;
    const auto node = static_cast<uint32_t>(scratch.nodes[i]);
    const float cosine = -scratch.distances[i];
    ++num_found;
    found.push_back({.row = node_rows[node], .cosine = cosine});
    if (const auto twins = parts_->twins.find(node); twins != parts_->twins.end())
      for (const uint32_t row : twins->second) found.push_back({.row = row, .cosine = cosine});
  }
  return num_found;
}

size_t VectorGraph::num_nodes() const { return parts_->node_rows.size(); }

size_t VectorGraph::bytes() const {
  const faiss::HNSW& hnsw = parts_->hnsw;
  return hnsw.neighbors.size() * sizeof(hnsw.neighbors[0]) +
         num_nodes() * (sizeof(size_t) + sizeof(int) + sizeof(uint32_t)) +
         parts_->twins.size() * 64;
}

// u32 links, u32 nodes, i32 entry point, per node {u32 row, u8 levels}, all links (i32, -1: none), u32 twins,
// per twin {u32 node, u32 row}. How many links a node has follows from its levels.
void VectorGraph::Write(const std::function<void(std::string_view)>& sink) const {
  const auto number = [&](auto value) {
    sink({reinterpret_cast<const char*>(&value), sizeof(value)});
  };
  const faiss::HNSW& hnsw = parts_->hnsw;
  number(static_cast<uint32_t>(parts_->links));
  number(static_cast<uint32_t>(num_nodes()));
  number(static_cast<int32_t>(hnsw.entry_point));
  for (size_t node = 0; node < num_nodes(); ++node) {
    number(parts_->node_rows[node]);
    number(static_cast<uint8_t>(hnsw.levels[node]));
  }
  sink({reinterpret_cast<const char*>(hnsw.neighbors.data()),
        hnsw.neighbors.size() * sizeof(hnsw.neighbors[0])});
  size_t num_twins = 0;
  for (const auto& [node, rows] : parts_->twins) num_twins += rows.size();
  number(static_cast<uint32_t>(num_twins));
  for (const auto& [node, rows] : parts_->twins) {
    for (const uint32_t row : rows) {
      number(node);
      number(row);
    }
  }
}

Result<std::shared_ptr<const VectorGraph>> VectorGraph::Read(std::string_view& bytes,
                                                             uint32_t num_rows) {
  const auto broken = [] { return DataLoss("not a graph"); };
  bool failed = false;
  const auto copy = [&](void* to, size_t size) {
    failed = failed || size > bytes.size();
    if (failed) return;
    std::memcpy(to, bytes.data(), size);
    bytes.remove_prefix(size);
  };
  const auto number = [&]<class T>(T value) {
    copy(&value, sizeof(value));
    return value;
  };
  const auto links = number(uint32_t{0});
  const auto num_nodes = number(uint32_t{0});
  const auto entry_point = number(int32_t{0});
  if (failed || links < kLinksMin || links > kLinksMax || num_nodes > num_rows) return broken();
  auto parts = std::make_unique<Parts>(static_cast<int>(links));
  faiss::HNSW& hnsw = parts->hnsw;
  const int levels_max = static_cast<int>(hnsw.assign_probas.size());
  int levels_found = 0;
  for (uint32_t node = 0; node < num_nodes; ++node) {
    const auto row = number(uint32_t{0});
    const auto levels = number(uint8_t{0});
    if (failed || row >= num_rows || levels < 1 || levels > levels_max) return broken();
    parts->node_rows.push_back(row);
    hnsw.levels.push_back(levels);
    hnsw.offsets.push_back(hnsw.offsets.back() + hnsw.cum_nb_neighbors(levels));
    levels_found = std::max<int>(levels_found, levels);
  }
  const bool has_entry = entry_point >= 0 && entry_point < static_cast<int64_t>(num_nodes);
  if (num_nodes == 0 ? entry_point != -1 : !has_entry || hnsw.levels[entry_point] != levels_found)
    return broken();
  hnsw.entry_point = entry_point;
  hnsw.max_level = levels_found - 1;
  if (hnsw.offsets.back() > bytes.size() / sizeof(int32_t)) return broken();
  hnsw.neighbors.resize(hnsw.offsets.back());
  copy(hnsw.neighbors.data(), hnsw.neighbors.size() * sizeof(int32_t));
  if (!parts->LinksAreSound()) return broken();
  for (auto left = number(uint32_t{0}); left > 0 && !failed; --left) {
    const auto node = number(uint32_t{0});
    const auto row = number(uint32_t{0});
    if (failed || node >= num_nodes || row >= num_rows) return broken();
    parts->twins[node].push_back(row);
  }
  if (failed) return broken();
  return std::shared_ptr<const VectorGraph>(new VectorGraph(std::move(parts)));
}

}  // namespace nextgate::cache
