// Waits for what other threads or processes are about to do, patiently: a machine that runs tests may be busy.
#pragma once

#include <chrono>
#include <functional>
#include <thread>

namespace nextgate::test {

// True as soon as `condition` is; false if it is not within 20 s.
inline bool Until(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace nextgate::test
