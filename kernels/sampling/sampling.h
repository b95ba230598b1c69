// From logits to one token per row. Source of the order and the meaning of every parameter: vLLM's
// v1 sampler (v1/sample/sampler.py, ops/penalties.py, ops/topk_topp_sampler.py).
//
// EditLogits, per edit of token v, in this order:
//   x ← forbid ? −∞ : x + bias;   x ← x > 0 ? x / repetition : x · repetition;   x ← x − subtract
//
// SampleTokens, per row r with x = logits[r, :] / temperature:
//   temperature 0   out[r] = argmax x; ties: the lowest id (torch.argmax)
//   otherwise       p = softmax(x)
//                   min_p  drops v where p[v] < min_p · max p
//                   top_k  drops v below the k-th largest x (ties with it stay)
//                   top_p  renormalises, keeps v while the sum of those before it (descending p,
//                   ties:
//                          ascending id) is < top_p; the first always stays
//                   out[r] = the first v in ascending id whose cumulative p exceeds u · Σ p,
//                          u = PhiloxUniform(seed, position)
//   a row with a NaN, a +∞ or no finite logit gives out[r] = −1
//
// RowLogprobs: log softmax of x[v], in double over ascending v; rank = #{w : x[w] ≥ x[v]} (vLLM's).
//
//   out     [R]
//   logits  [R, V]
//
// Deterministic: every sum has one order. Memory bound; the random path is bound by V exponentials.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/core/exec.h"
#include "kernels/core/view.h"

namespace nextgate::kernels {

struct LogitEdit {
  int32_t token = 0;  // in [0, V); checked
  float bias = 0;
  float repetition = 1;
  float subtract = 0;
  bool forbid = false;
};

struct SamplingRow {
  float temperature = 1;  // 0: greedy
  float top_p = 1;
  float min_p = 0;
  int32_t top_k = 0;  // <= 0: all
  uint64_t seed = 0;
  uint64_t position = 0;  // names the random draw
};

struct LogprobRow {
  float max = 0;       // of the row
  double log_sum = 0;  // log Σ exp(x − max)
  float Of(float logit) const { return static_cast<float>((logit - max) - log_sum); }
};

struct TopToken {
  int32_t token = 0;
  float logprob = 0;
};

}  // namespace nextgate::kernels

namespace nextgate::kernels::cpu {

// Edits the row in place and writes the values that were there to saved [edits]. A token may occur
// once.
void EditLogits(View<float, 1> row, std::span<const LogitEdit> edits, std::span<float> saved);
void RestoreLogits(View<float, 1> row, std::span<const LogitEdit> edits,
                   std::span<const float> saved);

// Scratch for SampleTokens and TopLogprobs over a vocabulary of `vocab`.
size_t SamplingWorkspaceBytes(int64_t vocab);

void SampleTokens(View<int32_t, 1> out, View<const float, 2> logits,
                  std::span<const SamplingRow> rows, Exec& exec);

LogprobRow RowLogprobs(View<const float, 1> row);
int32_t RankOf(View<const float, 1> row, float logit);

// The top.size() <= V most likely tokens, most likely first (ties: the lowest id first).
void TopLogprobs(std::span<TopToken> top, View<const float, 1> row, const LogprobRow& logprobs,
                 Exec& exec);

}  // namespace nextgate::kernels::cpu
