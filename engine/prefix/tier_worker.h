// The thread that does one lower tier's jobs, one at a time. A disk may hang for good in a system call, and
// no thread can be taken out of one: then its jobs are given up, their places on the device with them,
// and the thread is left behind.
//
// Invariants: `done` of a job is called once, by Poll or GiveUp; after that the job touches nothing of the
// device.
//
// Threads: all methods of TierWorker on the engine thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/clock.h"
#include "base/status.h"

namespace nextgate::engine {

// What a job that was given up comes to.
inline std::unexpected<Error> JobGivenUp() {
  return MakeError(ErrorCode::kCancelled, "the job was given up");
}

class TierJob {
 public:
  using Run = std::function<Status(TierJob&)>;  // on the worker
  using Done = std::function<void(const Status&)>;

  TierJob(Run run, Done done) : run_(std::move(run)), done_(std::move(done)) {}

  // Worker, around whatever touches the device's pools. Without the lock: it was given up, and its places
  // are others' by now.
  std::unique_lock<std::mutex> Device();
  // Worker: it goes on; after each piece, for a slow disk or a busy machine is none that hangs. False: nobody
  // wants it any more.
  bool Beat();

 private:
  friend class TierWorker;
  const Run run_;
  const Done done_;
  Status result_;
  std::atomic<uint64_t> beats_ = 0;
  std::mutex mutex_;
  std::atomic<bool> given_up_ = false;  // set under mutex_
};

// Rung when a job of any tier is done.
class TierBell {
 public:
  void Ring();
  void Wait(int64_t ms);  // until it rings; at once if it did since the last wait

 private:
  std::mutex mutex_;
  std::condition_variable rings_;
  bool rang_ = false;  // GUARDED_BY(mutex_)
};

class TierWorker {
 public:
  static constexpr int64_t kPatienceMs = 5'000;  // a job that shows nothing for so long hangs
  static constexpr int64_t kPartingMs = 1'000;

  TierWorker(std::shared_ptr<TierBell> bell, const Clock& clock);
  // What is not done is dropped, its `done` never called. Waits kPartingMs for the job that runs, then leaves the
  // thread behind: a job owns what it uses, but for the device's pools.
  ~TierWorker();

  // Urgent jobs come before the others.
  void Push(TierJob::Run run, TierJob::Done done, bool urgent);
  // Calls what is done. False: the job that runs hangs.
  bool Poll();
  // Every job that is not done by now is done with `error`.
  void GiveUp(const Error& error);

  // No job is wanted.
  bool idle() const { return wanted_ == 0; }
  // It still runs a job that was given up.
  bool left_behind() const;

 private:
  using JobPtr = std::shared_ptr<TierJob>;
  struct Shared {
    explicit Shared(std::shared_ptr<TierBell> rung) : bell(std::move(rung)) {}
    const std::shared_ptr<TierBell> bell;
    std::mutex mutex;
    std::condition_variable work;
    std::condition_variable ended;
    std::deque<JobPtr> urgent;      // GUARDED_BY(mutex)
    std::deque<JobPtr> others;      // GUARDED_BY(mutex)
    JobPtr running;                 // GUARDED_BY(mutex)
    bool running_given_up = false;  // GUARDED_BY(mutex)
    std::vector<JobPtr> done;       // GUARDED_BY(mutex)
    bool stop = false;              // GUARDED_BY(mutex)
    bool has_ended = false;         // GUARDED_BY(mutex)
  };
  static void Work(const std::shared_ptr<Shared>& shared);
  std::vector<JobPtr> TakeBack();
  void CallDone();
  bool Hangs(const JobPtr& running);

  const Clock& clock_;
  const std::shared_ptr<Shared> shared_;  // with the thread, which may outlive this
  size_t wanted_ = 0;
  // What the running job showed when it was last looked at.
  JobPtr watched_;
  uint64_t beats_ = 0;
  int64_t still_ms_ = 0;
  int64_t looked_ms_ = 0;
};

}  // namespace nextgate::engine
