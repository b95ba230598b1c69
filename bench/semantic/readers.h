// What readers said of pairs of questions of BANKING77 and CLINC150: truth beside the sets' labels. "Would exactly
// the answer to the stored question be a correct and complete answer to the asked one?" was put to one or two
// language models, blind to labels, cosines and each other (bench/results/semantic-quality-2026-11-27.md).
//
// readers.tsv: a line of titles, then pair (the hash of "stored\nasked"), set, round, and what the two said. Rounds: tune
// and report were served by the gates of before, unseen-1 and unseen-2 by mended ones, in other splits;
// control are refused ones between them; bands are nearest neighbours whatever the gates say, 60 or 120 of each band
// of cosines.
//
// Threads: pure functions.
#pragma once

#include <string>
#include <unordered_map>

#include "base/hash.h"
#include "base/status.h"
#include "bench/semantic/candidates.h"
#include "bench/semantic/question_sets.h"

namespace nextgate::semantic_bench {

struct Reading {
  std::string round;
  char first = '-', second = '-';  // y, n, u, or -: not read
  bool AllWrong() const { return first == 'n' && (second == 'n' || second == '-'); }
  bool AnyWrong() const { return first == 'n' || second == 'n'; }
};
using Readings = std::unordered_map<Hash128, Reading>;  // by HashBytes("stored\nasked")

Result<Readings> ReadReadings(const std::string& path);

// Of the pairs that were read and are served from `threshold` on with all gates, by round: how many are wrong.
void PrintReadings(const Readings& readings, const QuestionSet& set,
                   const std::vector<Candidate>& candidates, float threshold);

}  // namespace nextgate::semantic_bench
