// A day of questions: who asks what, drawn from labelled question sets. Which intent is asked is Zipf
// distributed over the intents of all sets in a random order, which of its questions likewise; questions
// out of scope are a share of their own, and tenants have shares of the traffic. So the same question comes again, and others
// of its intent do in other words.
//
// Threads: of one thread. The same settings give the same day.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/semantic/question_sets.h"

namespace nextgate::semantic_day {

struct DaySettings {
  size_t requests = 20'000;
  double zipf_intents = 0.9;    // the n-th intent's share is n^-this
  double zipf_questions = 0.6;  // the same of an intent's questions
  double out_of_scope = 0.05;   // share of the requests
  std::vector<double> tenants = {0.6, 0.3, 0.1};
  uint64_t seed = 1;
};

struct Asked {
  size_t question = 0;  // into `questions`
  size_t tenant = 0;
};

// `questions`: of all sets together, so intents of two sets need two names.
std::vector<Asked> MakeDay(const std::vector<semantic_bench::LabelledQuestion>& questions,
                           const DaySettings& settings);

}  // namespace nextgate::semantic_day
