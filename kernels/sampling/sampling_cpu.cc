#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "kernels/sampling/philox.h"
#include "kernels/sampling/sampling.h"

namespace nextgate::kernels::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Largest value of a row; NaN if any element is NaN. Sixteen lanes, so that it vectorises: a
// maximum does not depend on the order.
float RowMax(const float* x, int64_t n) {
  constexpr int kLanes = 16;
  std::array<float, kLanes> lane;
  std::array<int32_t, kLanes> nan{};
  lane.fill(-kInfinity);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
    for (int j = 0; j < kLanes; ++j) nan[j] |= x[i + j] != x[i + j];
  }
  for (; i < n; ++i) {
    lane[0] = std::max(lane[0], x[i]);
    nan[0] |= x[i] != x[i];
  }
  if (std::accumulate(nan.begin(), nan.end(), 0) != 0)
    return std::numeric_limits<float>::quiet_NaN();
  return *std::max_element(lane.begin(), lane.end());
}

// One token that survived so far, with exp(x − max).
struct Candidate {
  float weight;
  int32_t token;
};

// Descending weight, then ascending id.
bool Before(const Candidate& a, const Candidate& b) {
  return a.weight != b.weight ? a.weight > b.weight : a.token < b.token;
}
bool ByToken(const Candidate& a, const Candidate& b) { return a.token < b.token; }

double TotalWeight(std::span<const Candidate> kept) {
  double total = 0;
  for (const Candidate& candidate : kept) total += candidate.weight;
  return total;
}

std::span<Candidate> KeepTopK(std::span<Candidate> kept, int64_t k) {
  if (k <= 0 || k >= static_cast<int64_t>(kept.size())) return kept;
  std::nth_element(kept.begin(), kept.begin() + (k - 1), kept.end(), Before);
  const float least = kept[k - 1].weight;
  const auto end = std::partition(kept.begin() + k, kept.end(),
                                  [least](const Candidate& c) { return c.weight == least; });
  return kept.first(end - kept.begin());
}

// A heap instead of a sort: usually few tokens reach top_p of a large vocabulary.
std::span<Candidate> KeepTopP(std::span<Candidate> kept, double top_p) {
  if (top_p >= 1) return kept;
  std::sort(kept.begin(), kept.end(), ByToken);  // the sum's order must not depend on nth_element
  const double enough = top_p * TotalWeight(kept);
  const auto later = [](const Candidate& a, const Candidate& b) { return Before(b, a); };
  std::make_heap(kept.begin(), kept.end(), later);
  double sum = 0;
  auto heap_end = kept.end();
  do {
    std::pop_heap(kept.begin(), heap_end, later);
    sum += (--heap_end)->weight;
  } while (heap_end != kept.begin() && sum < enough);
  return kept.subspan(heap_end - kept.begin());
}

int32_t DrawToken(std::span<Candidate> kept, double uniform) {
  std::sort(kept.begin(), kept.end(), ByToken);
  const double target = uniform * TotalWeight(kept);
  double sum = 0;
  for (const Candidate& candidate : kept) {
    sum += candidate.weight;
    if (sum > target) return candidate.token;
  }
  // u < 1, but u · Σ may round up to Σ: the last token that has any weight.
  for (size_t i = kept.size(); i-- > 0;)
    if (kept[i].weight > 0) return kept[i].token;
  return -1;
}

int32_t SampleRow(const float* x, int64_t vocab, const SamplingRow& row,
                  std::span<Candidate> scratch) {
  const float max = RowMax(x, vocab);
  if (!std::isfinite(max)) return -1;
  if (row.temperature == 0) return static_cast<int32_t>(std::find(x, x + vocab, max) - x);

  size_t count = 0;
  for (int64_t v = 0; v < vocab; ++v) {
    const float weight = std::exp((x[v] - max) / row.temperature);
    if (weight < row.min_p || weight == 0) continue;  // max p has weight 1
    scratch[count++] = {weight, static_cast<int32_t>(v)};
  }
  std::span<Candidate> kept = scratch.first(count);
  kept = KeepTopK(kept, row.top_k);
  kept = KeepTopP(kept, row.top_p);
  return DrawToken(kept, PhiloxUniform(row.seed, row.position));
}

std::span<Candidate> Scratch(const Exec& exec, int64_t vocab) {
  CHECK(exec.workspace.bytes >= SamplingWorkspaceBytes(vocab), "sampling workspace of %zu bytes",
        exec.workspace.bytes);
  return {reinterpret_cast<Candidate*>(exec.workspace.data), static_cast<size_t>(vocab)};
}

}  // namespace

void EditLogits(View<float, 1> row, std::span<const LogitEdit> edits, std::span<float> saved) {
  CHECK(saved.size() >= edits.size());
  for (size_t i = 0; i < edits.size(); ++i) {
    const LogitEdit& edit = edits[i];
    CHECK(edit.token >= 0 && edit.token < row.shape[0], "token %d", edit.token);
    float& x = row.data[edit.token];
    saved[i] = x;
    x += edit.bias;
    x = x > 0 ? x / edit.repetition : x * edit.repetition;
    x -= edit.subtract;
    if (edit.forbid) x = -kInfinity;
  }
}

void RestoreLogits(View<float, 1> row, std::span<const LogitEdit> edits,
                   std::span<const float> saved) {
  for (size_t i = 0; i < edits.size(); ++i) row.data[edits[i].token] = saved[i];
}

size_t SamplingWorkspaceBytes(int64_t vocab) {
  return static_cast<size_t>(vocab) * sizeof(Candidate);
}

void SampleTokens(View<int32_t, 1> out, View<const float, 2> logits,
                  std::span<const SamplingRow> rows, Exec& exec) {
  CHECK(out.shape[0] == logits.shape[0] && static_cast<int64_t>(rows.size()) == out.shape[0]);
  const int64_t vocab = logits.shape[1];
  const std::span<Candidate> scratch = Scratch(exec, vocab);
  for (int64_t r = 0; r < out.shape[0]; ++r)
    *out.at(r) = SampleRow(logits.at(r), vocab, rows[r], scratch);
}

LogprobRow RowLogprobs(View<const float, 1> row) {
  const int64_t vocab = row.shape[0];
  const float max = RowMax(row.data, vocab);
  double sum = 0;
  for (int64_t v = 0; v < vocab; ++v) sum += std::exp(row.data[v] - max);
  return {.max = max, .log_sum = std::log(sum)};
}

int32_t RankOf(View<const float, 1> row, float logit) {
  int32_t rank = 0;
  for (int64_t v = 0; v < row.shape[0]; ++v) rank += row.data[v] >= logit;
  return rank;
}

void TopLogprobs(std::span<TopToken> top, View<const float, 1> row, const LogprobRow& logprobs,
                 Exec& exec) {
  const int64_t vocab = row.shape[0];
  CHECK(static_cast<int64_t>(top.size()) <= vocab);
  const std::span<Candidate> all = Scratch(exec, vocab);
  for (int64_t v = 0; v < vocab; ++v) all[v] = {row.data[v], static_cast<int32_t>(v)};
  const auto end = all.begin() + static_cast<int64_t>(top.size());
  std::partial_sort(all.begin(), end, all.end(), Before);
  for (size_t i = 0; i < top.size(); ++i)
    top[i] = {.token = all[i].token, .logprob = logprobs.Of(all[i].weight)};
}

}  // namespace nextgate::kernels::cpu
