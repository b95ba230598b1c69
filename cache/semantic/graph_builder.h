// The thread that does for a question index what takes long: making and extending graphs, writing groups
// anew without what is dead, freeing what is large. One job at a time.
//
// It never takes a lock: a thread of low priority that held one could be kept from running while
// every lookup waits. Jobs are handed over by an atomic pointer each way.
//
// Threads: Idle, Start, TakeDone and Cancel under the owner's lock.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>

#include "cache/semantic/question_table.h"
#include "cache/semantic/vector_graph.h"

namespace nextgate::cache {

class GraphBuilder {
 public:
  explicit GraphBuilder(const VectorGraph::Settings& settings);
  ~GraphBuilder();  // gives up the job it is at

  bool idle() const { return state_.load(std::memory_order_acquire) == State::kIdle; }
  // REQUIRES: idle.
  void Start(std::unique_ptr<GraphJob> job);
  // The job that was started, if it is done (a job that only frees does not come back).
  std::unique_ptr<GraphJob> TakeDone();
  // The job that runs comes back soon, and not finished.
  void Cancel() { cancelled_.store(true, std::memory_order_relaxed); }

 private:
  enum class State : uint32_t { kIdle, kStarted, kDone, kStopped };

  void Run();
  void Build(GraphJob& job) const;
  void WriteAnew(GraphJob& job) const;

  const VectorGraph::Settings settings_;
  std::atomic<State> state_ = State::kIdle;
  std::atomic<bool> cancelled_ = false;
  std::atomic<bool> stopping_ = false;
  std::unique_ptr<GraphJob> job_;  // the builder's while kStarted, else the owner's
  std::thread thread_;
};

}  // namespace nextgate::cache
