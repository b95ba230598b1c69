// What is said while weights are loaded, and how much there is to load when no file says it.
//
// Threads: pure; a LoadProgress belongs to one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "engine/model/config.h"

namespace nextgate::engine {

// "12.34 of 162.70 GB, 1.05 GB/s, 143 s remaining".
std::string FormatLoading(int64_t bytes_done, int64_t bytes_total, double seconds);

// "162.70 GB in 155.0 s, 1.05 GB/s"; small models in MB.
std::string FormatLoaded(int64_t bytes, double seconds);

// Parameters of the tensor table in weights.cc (a tied head counts once, mtp.* only `with_mtp`).
int64_t ParameterCount(const ModelConfig& config, bool with_mtp);

// Logs where loading stands every two seconds, and a closing line.
class LoadProgress {
 public:
  explicit LoadProgress(int64_t bytes_total) : bytes_total_(bytes_total) {}
  void Add(int64_t bytes);
  void Done() const;

 private:
  using Clock = std::chrono::steady_clock;
  double Seconds() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }

  int64_t bytes_total_;
  int64_t bytes_ = 0;
  Clock::time_point begin_ = Clock::now();
  Clock::time_point last_ = begin_;
};

}  // namespace nextgate::engine
