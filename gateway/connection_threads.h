// The threads that an HTTP server's connections run on: one each while it is open, started when nobody is
// idle, kept for the next one for a while. A job never waits for another's end while a thread can be had,
// however long the others take: connections are kept, and streams last.
//
// Stacks are a little under 2 MiB: where huge pages are on for everything, one of 2 MiB or more would
// become one with its first touch, and thousands of streams would take gigabytes.
//
// Threads: all methods may be called from any thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

namespace nextgate::gateway {

class ConnectionThreads {
 public:
  struct Options {
    size_t threads_max = 8192;
    std::chrono::milliseconds idle{10'000};  // then a thread without a job ends
    size_t stack_bytes = size_t{2} << 20;    // with its guard page
  };
  explicit ConnectionThreads(Options options);
  ~ConnectionThreads();  // stops
  ConnectionThreads(const ConnectionThreads&) = delete;
  ConnectionThreads& operator=(const ConnectionThreads&) = delete;

  // Runs `job` on a thread of its own. It waits for one if threads_max are busy or the system has no
  // more; false, and it never runs, if there is none at all, or after Stop.
  bool Run(std::function<void()> job);

  // For a job that from now on needs little stack, and for long: what lies below its caller's frame is given
  // back to the system until it is used again.
  static void ReleaseStack();

  // Takes no more jobs; returns when all have ended, those that waited too.
  void Stop();

 private:
  struct Pool;
  std::shared_ptr<Pool> pool_;  // each thread holds it too
};

}  // namespace nextgate::gateway
