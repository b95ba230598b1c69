#include "engine/prefix/tier_worker.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

namespace nextgate::engine {

using std::chrono::milliseconds;

std::unique_lock<std::mutex> TierJob::Device() {
  std::unique_lock lock(mutex_);
  if (given_up_) lock.unlock();
  return lock;
}

bool TierJob::Beat() {
  ++beats_;
  return !given_up_;
}

void TierBell::Ring() {
  std::lock_guard lock(mutex_);
  rang_ = true;
  rings_.notify_all();
}

void TierBell::Wait(int64_t ms) {
  std::unique_lock lock(mutex_);
  rings_.wait_for(lock, milliseconds(ms), [this] { return rang_; });
  rang_ = false;
}

TierWorker::TierWorker(std::shared_ptr<TierBell> bell, const Clock& clock)
    : clock_(clock), shared_(std::make_shared<Shared>(std::move(bell))) {
  std::thread([shared = shared_] { Work(shared); }).detach();
}

TierWorker::~TierWorker() {
  TakeBack();
  std::unique_lock lock(shared_->mutex);
  shared_->stop = true;
  shared_->work.notify_all();
  shared_->ended.wait_for(lock, milliseconds(kPartingMs), [&] { return shared_->has_ended; });
}

void TierWorker::Work(const std::shared_ptr<Shared>& shared) {
  pthread_setname_np(pthread_self(), "prefix-tier");
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), 19);  // never before a step
  std::unique_lock lock(shared->mutex);
  while (!shared->stop) {
    auto& queue = shared->urgent.empty() ? shared->others : shared->urgent;
    if (queue.empty()) {
      shared->work.wait(lock);
      continue;
    }
    JobPtr job = std::move(queue.front());
    queue.pop_front();
    shared->running = job;
    lock.unlock();
    job->result_ = job->run_(*job);
    lock.lock();
    shared->running = nullptr;
    if (!shared->running_given_up) shared->done.push_back(std::move(job));
    shared->running_given_up = false;
    shared->bell->Ring();
  }
  shared->has_ended = true;
  shared->ended.notify_all();
}

void TierWorker::Push(TierJob::Run run, TierJob::Done done, bool urgent) {
  ++wanted_;
  auto job = std::make_shared<TierJob>(std::move(run), std::move(done));
  std::lock_guard lock(shared_->mutex);
  (urgent ? shared_->urgent : shared_->others).push_back(std::move(job));
  shared_->work.notify_one();
}

void TierWorker::CallDone() {
  std::vector<JobPtr> done;
  {
    std::lock_guard lock(shared_->mutex);
    done.swap(shared_->done);
  }
  for (const JobPtr& job : done) {
    --wanted_;
    job->done_(job->result_);
  }
}

bool TierWorker::Poll() {
  CallDone();
  std::lock_guard lock(shared_->mutex);
  return !Hangs(shared_->running_given_up ? nullptr : shared_->running);
}

bool TierWorker::Hangs(const JobPtr& running) {
  const int64_t now = clock_.MonotonicNs() / 1'000'000;
  // Of a time in which nobody looked not all counts: the worker may have stood still, too.
  const int64_t passed = std::min(now - std::exchange(looked_ms_, now), kPatienceMs / 2);
  still_ms_ += passed;
  if (!running || running != watched_ || running->beats_ != beats_) {
    watched_ = running;
    beats_ = running ? running->beats_.load() : 0;
    still_ms_ = 0;
  }
  return still_ms_ >= kPatienceMs;
}

// The jobs that wait or run. None of them touches the device any more.
std::vector<TierWorker::JobPtr> TierWorker::TakeBack() {
  std::vector<JobPtr> jobs;
  JobPtr running;
  {
    std::lock_guard lock(shared_->mutex);
    for (auto* queue : {&shared_->urgent, &shared_->others}) {
      jobs.insert(jobs.end(), queue->begin(), queue->end());
      queue->clear();
    }
    if (!shared_->running_given_up) running = shared_->running;
    if (running) shared_->running_given_up = true;
  }
  if (running) {
    std::lock_guard copying(running->mutex_);  // between two memories: not for long
    running->given_up_ = true;
    jobs.push_back(running);
  }
  return jobs;
}

void TierWorker::GiveUp(const Error& error) {
  for (const JobPtr& job : TakeBack()) {
    --wanted_;
    job->done_(std::unexpected(error));
  }
  CallDone();  // what was done in the meantime
}

bool TierWorker::left_behind() const {
  std::lock_guard lock(shared_->mutex);
  return shared_->running_given_up;
}

}  // namespace nextgate::engine
