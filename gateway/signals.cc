#include "gateway/signals.h"

#include <pthread.h>

#include <chrono>
#include <cstdlib>
#include <optional>
#include <utility>

#include "base/log.h"

namespace nextgate::gateway {

using std::chrono::steady_clock;

namespace {

constexpr std::chrono::seconds kSameSignal(1);

std::string_view NameOf(int signal) { return signal == SIGTERM ? "SIGTERM" : "SIGINT"; }

}  // namespace

Signals::Signals(bool watch_hangup) {
  sigemptyset(&set_);
  sigaddset(&set_, SIGTERM);
  sigaddset(&set_, SIGINT);
  if (watch_hangup) sigaddset(&set_, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  thread_ = std::thread([this] { Watch(); });
}

Signals::~Signals() {
  ending_ = true;
  // Blocked in that thread, whose sigwait takes it.
  pthread_kill(thread_.native_handle(), SIGTERM);  // NOLINT(bugprone-bad-signal-to-kill-thread)
  thread_.join();
}

void Signals::Started(std::function<void()> reload) {
  reload_ = std::move(reload);
  started_ = true;
}

std::string_view Signals::Wait() { return NameOf(received_.get_future().get()); }

void Signals::Watch() {
  pthread_setname_np(pthread_self(), "signals");
  std::optional<steady_clock::time_point> told;
  for (;;) {
    int signal = 0;
    sigwait(&set_, &signal);
    if (ending_) return;
    if (signal == SIGHUP) {
      // Not once the end was asked for: what would be reloaded may be gone.
      if (started_ && reload_ && !told) {
        reload_();
      } else {
        LogInfo("signal=SIGHUP {}: ignored", told ? "while stopping" : "while starting");
      }
      continue;
    }
    if (!started_) {
      // Nothing is lost: no client is there yet, and what a download got is kept for the next one.
      LogInfo("signal={} while starting: stopped", NameOf(signal));
      std::_Exit(0);
    }
    if (!told) {
      told = steady_clock::now();
      received_.set_value(signal);
    } else if (steady_clock::now() - *told >= kSameSignal) {
      LogWarning("signal={} again: stopped at once", NameOf(signal));
      std::_Exit(1);
    }
  }
}

}  // namespace nextgate::gateway
