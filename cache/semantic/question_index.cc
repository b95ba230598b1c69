#include "cache/semantic/question_index.h"

#include <algorithm>
#include <cmath>
#include <thread>
#include <utility>

#include "base/check.h"
#include "cache/semantic/graph_builder.h"
#include "cache/semantic/half_vector.h"
#include "cache/semantic/question_table.h"
#include "cache/semantic/vector_graph.h"

namespace nextgate::cache {
namespace {

// How many items are swept out under one hold of the lock.
constexpr int64_t kBatch = 256;
// A walk that met mostly tombstones is repeated with more candidates, up to so many; then all is looked at.
constexpr size_t kEfMax = 2'048;

QuestionIndex::Options Checked(const QuestionIndex::Options& options) {
  CHECK(options.dimension >= 1 && options.dimension <= 65'536 && options.entries_max >= 1);
  CHECK(options.graph_rows_min >= 1 && options.tail_rows_min >= 1 && options.tail_share >= 1);
  CHECK(options.build_rows_max >= 1 && options.links >= 2 && options.ef_construction >= 1 &&
        options.ef_search >= 1);
  return options;
}

bool AllZero(std::span<const uint16_t> halves) {
  return std::all_of(halves.begin(), halves.end(), [](uint16_t h) { return (h & 0x7fff) == 0; });
}

// [PaddedDimension]; empty if it has no direction.
std::vector<float> PaddedQuery(std::span<const float> query) {
  std::vector<float> padded(PaddedDimension(query.size()));
  double squares = 0;
  for (size_t i = 0; i < query.size(); ++i) {
    padded[i] = query[i];
    squares += static_cast<double>(query[i]) * query[i];
  }
  if (!std::isfinite(squares) || squares == 0) padded.clear();
  return padded;
}

}  // namespace

// One search: the best k so far, of rows that live.
struct QuestionIndex::Scan {
  Scan(const GroupView& v, const float* q, size_t best_max, int64_t now_ms)
      : view(v), query(q), k(best_max), now_unix_ms(now_ms) {}

  const GroupView& view;
  const float* query;
  size_t k;
  int64_t now_unix_ms;
  std::vector<Neighbour> best;  // best first
  std::vector<uint32_t> rows;   // of these

  static bool Before(const Neighbour& a, const Neighbour& b) {
    return a.cosine != b.cosine ? a.cosine > b.cosine : a.id < b.id;
  }

  bool Lives(uint32_t r) const {
    const QuestionRow& row = view.row(r);
    return row.alive() && now_unix_ms < row.expires_unix_ms;
  }

  // The books of a row are looked at only if its cosine is good enough.
  void Offer(uint32_t r, float cosine) {
    if (best.size() == k && cosine < best.back().cosine) return;
    if (!Lives(r)) return;
    const Neighbour one = {.id = view.row(r).id, .cosine = cosine};
    const auto at = std::lower_bound(best.begin(), best.end(), one, Before);
    if (at == best.end() && best.size() == k) return;
    rows.insert(rows.begin() + (at - best.begin()), r);
    best.insert(at, one);
    if (best.size() <= k) return;
    best.pop_back();
    rows.pop_back();
  }

  void TakeVectors(size_t dimension) {
    for (size_t i = 0; i < best.size(); ++i) {
      best[i].vector.resize(dimension);
      std::transform(view.halves(rows[i]), view.halves(rows[i]) + dimension, best[i].vector.begin(),
                     HalfToFloat);
    }
  }

  void LookAtAll(uint32_t begin, uint32_t end) {
    for (uint32_t r = begin; r < end; ++r) Offer(r, Dot(query, view.halves(r), view.width));
  }

  void Walk(size_t ef, GraphScratch& scratch) {
    std::vector<VectorGraph::Candidate> found;
    const size_t nodes = view.graph->num_nodes();
    for (ef = std::max(ef, 2 * k);; ef *= 4) {
      const size_t num_found = view.graph->Search(view, query, ef, scratch, found);
      const auto living = static_cast<size_t>(std::count_if(
          found.begin(), found.end(), [&](const auto& candidate) { return Lives(candidate.row); }));
      // Less than asked for: the walk was cut off at ef, or there are no more.
      if (living >= k || num_found == nodes) break;
      if (ef >= kEfMax || num_found < ef) return LookAtAll(0, view.graph_rows);
    }
    for (const VectorGraph::Candidate& candidate : found) Offer(candidate.row, candidate.cosine);
  }
};

QuestionIndex::QuestionIndex(const Options& options)
    : options_(Checked(options)),
      scratch_(std::make_unique<GraphScratchPool>()),
      table_(std::make_shared<QuestionTable>(options_)),
      builder_(std::make_unique<GraphBuilder>(
          VectorGraph::Settings{.links = static_cast<int>(options_.links),
                                .ef_construction = static_cast<int>(options_.ef_construction)})) {}

QuestionIndex::~QuestionIndex() = default;

// Takes what the builder has done, and gives it what is next. REQUIRES: mutex_ is held.
void QuestionIndex::Step() const {
  if (std::unique_ptr<GraphJob> done = builder_->TakeDone()) {
    if (done->owner == table_)
      table_->Install(*done);
    else
      table_->Retire(std::shared_ptr<GraphJob>(std::move(done)));
  }
  if (!builder_->idle()) return;
  std::unique_ptr<GraphJob> job = table_->NextJob();
  if (job == nullptr) return;
  job->owner = table_;
  builder_->Start(std::move(job));
}

void QuestionIndex::Insert(const Item& item) {
  CHECK(static_cast<int64_t>(item.vector.size()) == options_.dimension);
  std::vector<uint16_t> halves = ToHalves(item.vector);
  if (AllZero(halves)) halves.clear();
  std::lock_guard lock(mutex_);
  table_->Insert(item, halves);
  Step();
}

bool QuestionIndex::Erase(const Hash128& id) {
  std::lock_guard lock(mutex_);
  const bool erased = table_->Erase(id);
  Step();
  return erased;
}

std::vector<QuestionIndex::Neighbour> QuestionIndex::Search(const Hash128& group,
                                                            std::span<const float> query, size_t k,
                                                            int64_t now_unix_ms) const {
  CHECK(static_cast<int64_t>(query.size()) == options_.dimension);
  const std::vector<float> padded = PaddedQuery(query);
  if (k == 0 || padded.empty()) return {};
  std::shared_ptr<const QuestionTable> table;  // keeps the tickets
  QuestionTable::Found found;
  {
    std::lock_guard lock(mutex_);
    Step();
    table = table_;
    found = table_->Find(group);
  }
  if (found.view == nullptr) return {};
  Scan scan(*found.view, padded.data(), std::min<size_t>(k, found.size), now_unix_ms);
  if (found.view->graph != nullptr) {
    GraphScratchPtr scratch = scratch_->Take();
    scan.Walk(static_cast<size_t>(options_.ef_search), *scratch);
    scratch_->Give(std::move(scratch));
  }
  scan.LookAtAll(found.view->graph_rows, found.size);
  scan.TakeVectors(query.size());
  return std::move(scan.best);
}

int64_t QuestionIndex::EraseBefore(int64_t position) {
  int64_t count = 0;
  while (true) {
    std::lock_guard lock(mutex_);
    const int64_t erased = table_->EraseBefore(position, kBatch);
    Step();
    count += erased;
    if (erased < kBatch) return count;
  }
}

int64_t QuestionIndex::RemoveExpired(int64_t now_unix_ms) {
  int64_t count = 0;
  size_t cursor = 0;
  while (true) {
    std::lock_guard lock(mutex_);
    count += table_->RemoveExpired(now_unix_ms, cursor, kBatch);
    Step();
    if (cursor >= table_->tickets()) return count;
  }
}

void QuestionIndex::Clear() {
  auto table = std::make_shared<QuestionTable>(options_);
  std::lock_guard lock(mutex_);
  table->InheritCounters(*table_);
  table_.swap(table);
  builder_->Cancel();
}

QuestionIndex::Stats QuestionIndex::stats() const {
  std::lock_guard lock(mutex_);
  Step();
  Stats stats = table_->stats();
  if (!builder_->idle()) ++stats.builds_waiting;
  return stats;
}

Status QuestionIndex::CheckIntegrity() const {
  std::lock_guard lock(mutex_);
  Step();
  return table_->CheckIntegrity();
}

bool QuestionIndex::WaitForBuilder(std::chrono::milliseconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (true) {
    {
      std::lock_guard lock(mutex_);
      Step();
      if (builder_->idle() && !table_->waiting()) return true;
    }
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace nextgate::cache
