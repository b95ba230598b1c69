#include "bench/semantic/readers.h"

#include <fmt/format.h>

#include <map>

namespace nextgate::semantic_bench {

Result<Readings> ReadReadings(const std::string& path) {
  constexpr size_t kColumns = 5;
  ASSIGN_OR_RETURN(const auto rows, ReadTsv(path, kColumns));
  Readings readings;
  for (size_t i = 1; i < rows.size(); ++i) {
    const auto& row = rows[i];
    const auto pair = ParseHash128(row[0]);
    if (!pair || row[3].size() != 1 || row[4].size() != 1)
      return DataLoss(path + ": a line that is not pair, set, round, first, second");
    readings[*pair] = {.round = row[2], .first = row[3][0], .second = row[4][0]};
  }
  return readings;
}

void PrintReadings(const Readings& readings, const QuestionSet& set,
                   const std::vector<Candidate>& candidates, float threshold) {
  struct Counts {
    int64_t read = 0, all = 0, any = 0;
  };
  std::map<std::string, Counts> rounds;
  for (const Candidate& candidate : candidates) {
    if (candidate.cosine < threshold || !candidate.refused.empty()) continue;
    const auto found = readings.find(HashBytes(set.questions[candidate.stored].text + "\n" +
                                               set.questions[candidate.asked].text));
    if (found == readings.end()) continue;
    for (const std::string& round : {found->second.round, std::string("all rounds")}) {
      Counts& counts = rounds[round];
      ++counts.read;
      counts.all += found->second.AllWrong() ? 1 : 0;
      counts.any += found->second.AnyWrong() ? 1 : 0;
    }
  }
  for (const auto& [round, counts] : rounds)
    fmt::print("| {} | {} | {} | {} | {} | {:.2f} |\n", set.name, round, counts.read, counts.all,
               counts.any,
               100 - 100 * static_cast<double>(counts.all) / static_cast<double>(counts.read));
}

}  // namespace nextgate::semantic_bench
