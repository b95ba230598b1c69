// Labelled questions to judge the semantic match by, read from the files of a directory as their authors
// publish them:
//
//   banking77_train.csv, banking77_test.csv   text,category: BANKING77 (Casanueva et al., 2020)
//   clinc150_small.json                       {"train": [[text, intent], …], "oos_test": …}: CLINC150 (Larson
//                                             et al., 2019)
//   antonyms_half.tsv                         premise, hypothesis, label: SemAntoNeg of CANNOT
//
// Pure functions; errors name the file.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/status.h"

namespace nextgate::semantic_bench {

struct LabelledQuestion {
  std::string text;
  std::string intent;         // of one intent: the same answer, by the set's own coarse truth
  bool out_of_scope = false;  // no stored answer is right
};

// Every text once, with its first label; in the order of the files.
struct QuestionSet {
  std::string name;
  std::vector<LabelledQuestion> questions;
};

struct LabelledPair {
  std::string asked, stored;
  bool same = false;  // the answer of one is the other's
};

Result<QuestionSet> ReadBanking77(const std::string& directory);
Result<QuestionSet> ReadClinc150(const std::string& directory);
// Label 1, they contradict each other, is not the same; label 0 is.
Result<std::vector<LabelledPair>> ReadAntonyms(const std::string& directory);

// A file of lines of columns between tabs; each line has at least `columns`.
Result<std::vector<std::vector<std::string>>> ReadTsv(const std::string& path, size_t columns);

}  // namespace nextgate::semantic_bench
