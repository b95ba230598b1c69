// SIGTERM and SIGINT, from the first moment on: while the server starts (a download, weights) the first
// ends the process at once; afterwards the first asks for an orderly stop, and another one, a second or
// more later, cuts it short. (Sooner: Ctrl-C reaches a script and us, and the script tells us again.)
//
// SIGHUP, if it is watched, asks for a reload; while the server starts it is ignored. Else it is the
// system's: the end.
//
// Threads: construct in main before any other thread starts: it blocks the signals for all of them.
// One thread inside ("signals").
#pragma once

#include <atomic>
#include <csignal>
#include <functional>
#include <future>
#include <string_view>
#include <thread>

namespace nextgate::gateway {

class Signals {
 public:
  explicit Signals(bool watch_hangup = false);
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  // The server is up: the next signal is Wait's; SIGHUP is `reload`'s, which runs on the inner thread.
  void Started(std::function<void()> reload = nullptr);
  // Blocks until a signal comes; its name.
  std::string_view Wait();

 private:
  void Watch();

  sigset_t set_;
  std::function<void()> reload_;  // written before started_, read after
  std::atomic<bool> started_ = false;
  std::atomic<bool> ending_ = false;
  std::promise<int> received_;
  std::thread thread_;  // last: starts when everything above exists
};

}  // namespace nextgate::gateway
