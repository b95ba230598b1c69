#include "cache/semantic/graph_builder.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace nextgate::cache {
namespace {

constexpr uint32_t kRows = QuestionBlock::kRows;

// Low, so that whoever answers goes first. Not the lowest: on a machine that is never idle, where others are at 0,
// the builder still gets a tenth of a processor, and 100 new items a second take a twentieth.
constexpr int kNice = 10;

// For this thread alone: Linux keeps a nice value per thread (setpriority(2), NOTES).
void LowerPriority() { (void)setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kNice); }

}  // namespace

GraphBuilder::GraphBuilder(const VectorGraph::Settings& settings)
    : settings_(settings), thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), "question-graph");
}

GraphBuilder::~GraphBuilder() {
  stopping_.store(true);
  cancelled_.store(true);
  // If it is at a job, it looks at stopping_ after it; else it sleeps until the state is another.
  if (state_.load() != State::kStarted) state_.store(State::kStopped);
  state_.notify_all();
  thread_.join();
}

void GraphBuilder::Start(std::unique_ptr<GraphJob> job) {
  CHECK(idle());
  job_ = std::move(job);
  cancelled_.store(false, std::memory_order_relaxed);
  state_.store(State::kStarted, std::memory_order_release);
  state_.notify_one();
}

std::unique_ptr<GraphJob> GraphBuilder::TakeDone() {
  if (state_.load(std::memory_order_acquire) != State::kDone) return nullptr;
  std::unique_ptr<GraphJob> job = std::move(job_);
  state_.store(State::kIdle, std::memory_order_release);
  return job;
}

void GraphBuilder::Run() {
  LowerPriority();
  while (!stopping_.load()) {
    const State state = state_.load(std::memory_order_acquire);
    if (state != State::kStarted) {
      state_.wait(state, std::memory_order_acquire);
      continue;
    }
    job_->garbage.clear();
    const bool only_freed = job_->view == nullptr;
    if (only_freed)
      job_.reset();
    else
      Build(*job_);
    state_.store(only_freed ? State::kIdle : State::kDone, std::memory_order_release);
  }
}

void GraphBuilder::Build(GraphJob& job) const {
  if (job.compact) WriteAnew(job);
  if (job.with_graph) {
    const GroupView anew = {.width = job.view->width, .blocks = job.blocks};
    job.graph = job.compact
                    ? VectorGraph::Extend(nullptr, anew, 0,
                                          static_cast<uint32_t>(job.blocks.size() * kRows),
                                          settings_, cancelled_)
                    : VectorGraph::Extend(job.view->graph.get(), *job.view, job.view->graph_rows,
                                          job.end, settings_, cancelled_);
  }
  job.finished = !job.with_graph || job.graph != nullptr;
}

// The living of rows [0, end), in their order, in full blocks: the rest of the last never lived.
void GraphBuilder::WriteAnew(GraphJob& job) const {
  const GroupView& old = *job.view;
  uint32_t size = 0;
  for (uint32_t r = 0; r < job.end; ++r) {
    if (!old.row(r).alive()) continue;
    if (size % kRows == 0) job.blocks.push_back(std::make_shared<QuestionBlock>(kRows, old.width));
    QuestionBlock& block = *job.blocks.back();
    const uint32_t slot = size++ % kRows;
    block.rows[slot] = old.row(r);
    std::copy_n(old.halves(r), old.width, block.halves.data() + slot * old.width);
  }
}

}  // namespace nextgate::cache
