#include "gateway/signals.h"

#include <pthread.h>

#include <cstdlib>

#include "base/log.h"

namespace nextgate::gateway {
namespace {

std::string_view NameOf(int signal) { return signal == SIGTERM ? "SIGTERM" : "SIGINT"; }

}  // namespace

Signals::Signals() {
  sigemptyset(&set_);
  sigaddset(&set_, SIGTERM);
  sigaddset(&set_, SIGINT);
  pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  thread_ = std::thread([this] { Watch(); });
}

Signals::~Signals() {
  ending_ = true;
  pthread_kill(thread_.native_handle(), SIGTERM);
  thread_.join();
}

void Signals::Started() { started_ = true; }

std::string_view Signals::Wait() { return NameOf(received_.get_future().get()); }

void Signals::Watch() {
  pthread_setname_np(pthread_self(), "signals");
  for (bool told = false;; told = true) {
    int signal = 0;
    sigwait(&set_, &signal);
    if (ending_) return;
    if (!started_) {
      // Nothing is lost: no client is there yet, and what a download got is kept for the next one.
      LogInfo("signal={} while starting: stopped", NameOf(signal));
      std::_Exit(0);
    }
    if (told) {
      LogWarning("signal={} again: stopped at once", NameOf(signal));
      std::_Exit(1);
    }
    received_.set_value(signal);
  }
}

}  // namespace nextgate::gateway
