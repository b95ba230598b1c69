#include "bench/semantic/candidates.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <thread>

#include "base/hash.h"
#include "cache/semantic/rival.h"

namespace nextgate::semantic_bench {
namespace {

struct Near {
  float cosine = -2;
  size_t stored = 0;
};

// The other answer of the margin, by every rule.
void FindSeconds(const QuestionSet& set, const Vectors& vectors, const std::vector<Near>& near,
                 Candidate& candidate) {
  const auto at = [&](Second second) -> std::optional<float>& {
    return candidate.seconds[static_cast<size_t>(second)];
  };
  const auto text = [&](const Near& one) -> const std::string& {
    return set.questions[one.stored].text;
  };
  const auto first = [&](Second second, float cosine) {
    if (!at(second)) at(second) = cosine;
  };
  const size_t dimension = vectors.dimension();
  std::vector<cache::NearQuestion> questions;
  for (const Near& one : near) {  // no two texts are equal, so no two answers are
    questions.push_back({.cosine = one.cosine,
                         .text = text(one),
                         .answer = text(one),
                         .vector = {vectors.Find(text(one)), dimension}});
    if (questions.size() == 1) continue;
    const bool match = cache::TextsMatch(text(near[0]), text(one));
    const bool close = vectors.Cosine(text(near[0]), text(one)) >= cache::kRivalBelow;
    first(Second::kNext, one.cosine);
    if (!match || !close) first(Second::kUnmatched, one.cosine);
    if (!match && cache::TextsMatch(set.questions[candidate.asked].text, text(one)))
      first(Second::kBothFit, one.cosine);
  }
  at(Second::kRival) = cache::CosineOfRival(questions);
}

// Of the question candidate.asked.
void Find(const QuestionSet& set, const std::vector<size_t>& stored,
          const std::vector<float>& matrix, const Vectors& vectors, Candidate& candidate) {
  const float* asked = vectors.Find(set.questions[candidate.asked].text);
  const size_t dimension = vectors.dimension();
  std::vector<Near> all(stored.size());
  for (size_t s = 0; s < stored.size(); ++s) {
    const float* row = &matrix[s * dimension];
    float lanes[16] = {}, cosine = 0;
    for (size_t d = 0; d + 16 <= dimension; d += 16)
      for (size_t k = 0; k < 16; ++k) lanes[k] += row[d + k] * asked[d + k];
    for (const float lane : lanes) cosine += lane;
    all[s] = {cosine, stored[s]};
  }
  std::vector<Near> near(std::min(cache::kNearMax, all.size()));
  std::ranges::partial_sort_copy(all, near, std::greater(), &Near::cosine, &Near::cosine);
  candidate.stored = near[0].stored;
  candidate.cosine = near[0].cosine;
  auto& other = candidate.seconds[static_cast<size_t>(Second::kIntent)];
  for (const Near& one : all) {
    if (set.questions[one.stored].intent == set.questions[candidate.stored].intent) continue;
    if (!other || one.cosine > *other) other = one.cosine;
  }
  FindSeconds(set, vectors, near, candidate);
}

}  // namespace

std::string_view NameOf(Second second) {
  constexpr std::string_view kNames[kNumSeconds] = {"none",      "intent",   "next",
                                                    "unmatched", "both fit", "rival (shipped)"};
  return kNames[static_cast<size_t>(second)];
}

std::vector<Candidate> FindCandidates(const QuestionSet& set, const Vectors& vectors,
                                      const cache::GateSettings& settings, int split) {
  const uint64_t stored_bit = uint64_t{1} << (2 * split), tune_bit = stored_bit << 1;
  std::vector<size_t> stored, asked;
  for (size_t i = 0; i < set.questions.size(); ++i) {
    const bool half = (HashBytes(set.questions[i].text).low & stored_bit) != 0;
    if (!half)
      asked.push_back(i);
    else if (!set.questions[i].out_of_scope)
      stored.push_back(i);
  }
  const size_t dimension = vectors.dimension();
  std::vector<float> matrix;
  for (const size_t i : stored) {
    const float* row = vectors.Find(set.questions[i].text);
    matrix.insert(matrix.end(), row, row + dimension);
  }
  std::vector<Candidate> found(asked.size());
  const auto work = [&](size_t from) {
    for (size_t i = from; i < asked.size(); i += 2) {
      const LabelledQuestion& question = set.questions[asked[i]];
      Candidate& candidate = found[i];
      candidate.asked = asked[i];
      Find(set, stored, matrix, vectors, candidate);
      const LabelledQuestion& match = set.questions[candidate.stored];
      candidate.right = !question.out_of_scope && question.intent == match.intent;
      candidate.tune = (HashBytes(question.text).low & tune_bit) != 0;
      candidate.refused = cache::RefusedBy(
          {.asked = question.text,
           .stored = match.text,
           .cosine = candidate.cosine,
           .cosine_second = candidate.seconds[static_cast<size_t>(Second::kRival)]},
          cache::GateSet::all(), settings);
    }
  };
  std::thread other(work, 1);
  work(0);
  other.join();
  return found;
}

Status WriteCandidates(const std::string& path, const std::vector<QuestionSet>& sets,
                       const std::vector<std::vector<Candidate>>& candidates) {
  std::ofstream out(path, std::ios::trunc);
  out << "set\thalf\tasked\tstored\tcosine\trival\trefused\tright\thash\n";
  for (size_t i = 0; i < sets.size(); ++i) {
    for (const Candidate& c : candidates[i]) {
      std::string refused;
      for (size_t g = 0; g < cache::kNumGates; ++g) {
        const auto gate = static_cast<cache::Gate>(g);
        if (!c.refused.contains(gate)) continue;
        refused += (refused.empty() ? "" : ",") + std::string(cache::GateCode(gate));
      }
      const auto& rival = c.seconds[static_cast<size_t>(Second::kRival)];
      out << fmt::format("{}\t{}\t{}\t{}\t{:.6f}\t{}\t{}\t{}\t{}\n", sets[i].name,
                         c.tune ? "tune" : "report", c.asked, c.stored, c.cosine,
                         rival ? fmt::format("{:.6f}", *rival) : "", refused, c.right ? 1 : 0,
                         HashBytes(sets[i].questions[c.asked].text).Hex());
    }
  }
  if (!out.flush()) return MakeError(ErrorCode::kInternal, path + ": cannot be written");
  return {};
}

}  // namespace nextgate::semantic_bench
