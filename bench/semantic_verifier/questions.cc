#include "bench/semantic_verifier/questions.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <thread>
#include <utility>

#include "base/hash.h"
#include "cache/semantic/rival.h"

namespace nextgate::semantic_verifier {
namespace {

constexpr size_t kDimension = 384;

float Dot(const float* a, const float* b) {
  float lanes[16] = {};
  for (size_t d = 0; d < kDimension; d += 16)
    for (size_t i = 0; i < 16; ++i) lanes[i] += a[d + i] * b[d + i];
  float sum = 0;
  for (float lane : lanes) sum += lane;
  return sum;
}

Result<std::string> ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return NotFound("cannot read " + path);
  std::ostringstream bytes;
  bytes << in.rdbuf();
  return bytes.str();
}

// Of questions first, first + step, …
void FindNeighbours(Questions& questions, size_t first, size_t step) {
  const size_t count = questions.size();
  std::vector<Neighbour> all(count);
  for (size_t q = first; q < count; q += step) {
    const float* vector = &questions.vectors[q * kDimension];
    for (size_t other = 0; other < count; ++other)
      all[other] = {static_cast<int32_t>(other),
                    other == q ? -2.0f : Dot(vector, &questions.vectors[other * kDimension])};
    const size_t kept = std::min(Questions::kNear, count);
    std::partial_sort(all.begin(), all.begin() + static_cast<ptrdiff_t>(kept), all.end(),
                      [](const Neighbour& a, const Neighbour& b) {
                        return std::pair(-a.cosine, a.question) < std::pair(-b.cosine, b.question);
                      });
    std::copy_n(all.begin(), kept,
                questions.near.begin() + static_cast<ptrdiff_t>(q * Questions::kNear));
  }
}

}  // namespace

float Questions::Cosine(int32_t a, int32_t b) const {
  return Dot(&vectors[static_cast<size_t>(a) * kDimension],
             &vectors[static_cast<size_t>(b) * kDimension]);
}

bool Questions::Refused(int32_t asked, int32_t stored) const {
  const auto look = [&] { return !cache::TextsMatch(text[asked], text[stored]); };
  const auto first = near.begin() + asked * static_cast<ptrdiff_t>(kNear);
  const auto at = std::find_if(first, first + kNear,
                               [&](const Neighbour& one) { return one.question == stored; });
  if (at == first + kNear || at->cosine == -2) return look();
  std::atomic<int8_t>& known = refused[static_cast<size_t>(at - near.begin())];
  if (known.load(std::memory_order_relaxed) < 0)
    known.store(look() ? 1 : 0, std::memory_order_relaxed);
  return known.load(std::memory_order_relaxed) == 1;
}

Result<Questions> LoadQuestions(const std::string& dump, std::string_view set, Half half,
                                int threads) {
  ASSIGN_OR_RETURN(const std::string json, ReadAll(dump + "/texts.json"));
  ASSIGN_OR_RETURN(const std::string raw, ReadAll(dump + "/vectors.f32"));
  ASSIGN_OR_RETURN(const std::string rows, ReadAll(dump + "/rows.tsv"));
  const auto texts = nlohmann::json::parse(json, nullptr, false);
  if (!texts.is_array() || raw.size() != texts.size() * kDimension * sizeof(float))
    return DataLoss("texts.json and vectors.f32 do not belong together");
  const auto* vectors = reinterpret_cast<const float*>(raw.data());

  Questions questions{.name = std::string(set)};
  std::map<std::string, int32_t> labels;
  std::set<size_t> seen;
  std::istringstream lines(rows);
  for (std::string from, label, index; std::getline(lines, from, '\t') &&
                                       std::getline(lines, label, '\t') &&
                                       std::getline(lines, index);) {
    const bool banking = from.starts_with("banking"), clinc = from.starts_with("clinc");
    if (!(banking && set != "clinc150") && !(clinc && set != "banking77")) continue;
    const size_t i = std::stoul(index);
    if (i >= texts.size()) return DataLoss("rows.tsv names a question that is not in texts.json");
    const bool even = HashBytes(texts[i].get<std::string>()).low % 2 == 0;
    if (half != Half::kBoth && even != (half == Half::kEven)) continue;
    if (!seen.insert(i).second) continue;
    questions.even.push_back(even);
    questions.text.push_back(texts[i].get<std::string>());
    const auto number = static_cast<int32_t>(labels.size());
    questions.label.push_back(
        from.starts_with("clinc_oos")
            ? Questions::kOutOfScope
            : labels.try_emplace((banking ? "b:" : "c:") + label, number).first->second);
    questions.vectors.insert(questions.vectors.end(), vectors + i * kDimension,
                             vectors + (i + 1) * kDimension);
  }
  if (questions.size() == 0) return NotFound("no questions of set " + std::string(set));
  questions.near.resize(questions.size() * Questions::kNear, {0, -2});
  questions.refused = std::make_unique<std::atomic<int8_t>[]>(questions.near.size());
  for (size_t i = 0; i < questions.near.size(); ++i) questions.refused[i] = -1;
  std::vector<std::jthread> workers;
  for (int t = 0; t < threads; ++t)
    workers.emplace_back([&questions, t, threads] {
      FindNeighbours(questions, static_cast<size_t>(t), static_cast<size_t>(threads));
    });
  workers.clear();
  return questions;
}

}  // namespace nextgate::semantic_verifier
