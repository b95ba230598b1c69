// Lookups, inserts and erasures that begin at the times a plan says, from threads of their own; how late each
// lookup was done, counted from when it should have begun.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "cache/semantic/question_index.h"

namespace nextgate::cache {

class OpenLoop {
 public:
  struct Plan {
    double lookups_per_s = 0;
    int threads = 1;  // that take turns with the lookups
    double inserts_per_s = 0;
    double erases_per_s = 0;
    double seconds = 0;
    double burst_at_s = 0;
    int burst = 0;  // so many inserts more, in one second
  };

  // `insert` and `erase` do one each, on one thread. All must outlive this.
  OpenLoop(const QuestionIndex& index, const Hash128& group,
           const std::vector<std::vector<float>>& queries, std::function<void()> insert,
           std::function<void()> erase);

  // Prints one line for all lookups, one for those during the burst, one for those during builds, and one for
  // the processor time that lookups took, which says what a machine that others use adds.
  void Run(const std::string& name, const Plan& plan);

 private:
  struct Sample {
    double scheduled_s;
    double late_ms;
    double cpu_ms;
    bool building;
  };
  using Instant = std::chrono::steady_clock::time_point;

  std::vector<Sample> Lookups(const Plan& plan, int thread, Instant start) const;
  void Writes(const Plan& plan, Instant start);

  const QuestionIndex& index_;
  const Hash128 group_;
  const std::vector<std::vector<float>>& queries_;
  const std::function<void()> insert_;
  const std::function<void()> erase_;
};

}  // namespace nextgate::cache
