#include "engine/sampling/sampler.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace nextgate::engine {

using kernels::LogitEdit;
using kernels::View;

namespace {

// vLLM raises temperatures below this, except 0: smaller ones overflow.
constexpr double kTemperatureMin = 0.01;

}  // namespace

RequestSampling::RequestSampling(const GenerationRequest& request,
                                 std::span<const int32_t> eos_token_ids, int32_t vocab_size,
                                 uint64_t seed)
    : params_(request.sampling), seed_(seed), min_tokens_left_(request.min_tokens) {
  penalises_ = params_.repetition_penalty != 1 || params_.presence_penalty != 0 ||
               params_.frequency_penalty != 0;
  for (const auto& [token, bias] : params_.logit_bias) EditOf(token).bias += bias;
  if (params_.repetition_penalty != 1) {
    for (const int32_t token : request.prompt)
      EditOf(token).repetition = static_cast<float>(params_.repetition_penalty);
  }
  if (min_tokens_left_ > 0) {
    forbidden_.assign(eos_token_ids.begin(), eos_token_ids.end());
    forbidden_.insert(forbidden_.end(), request.stop_token_ids.begin(),
                      request.stop_token_ids.end());
    std::erase_if(forbidden_, [&](int32_t token) { return token < 0 || token >= vocab_size; });
    for (const int32_t token : forbidden_) EditOf(token).forbid = true;
  }
}

LogitEdit& RequestSampling::EditOf(int32_t token) {
  const auto [found, added] = edit_of_token_.try_emplace(token, edits_.size());
  if (added) {
    edits_.push_back({.token = token});
    counts_.push_back(0);
  }
  return edits_[found->second];
}

void RequestSampling::Accept(int32_t token) {
  if (min_tokens_left_ > 0) {
    --min_tokens_left_;
    if (min_tokens_left_ == 0)
      for (const int32_t forbidden : forbidden_) EditOf(forbidden).forbid = false;
  }
  if (!penalises_) return;
  LogitEdit& edit = EditOf(token);
  const int32_t count = ++counts_[edit_of_token_.at(token)];
  edit.repetition = static_cast<float>(params_.repetition_penalty);
  edit.subtract = static_cast<float>(params_.presence_penalty + params_.frequency_penalty * count);
}

kernels::SamplingRow RequestSampling::row(int64_t position) const {
  const double temperature =
      params_.temperature == 0 ? 0 : std::max(params_.temperature, kTemperatureMin);
  return {.temperature = static_cast<float>(temperature),
          .top_p = static_cast<float>(params_.top_p),
          .min_p = static_cast<float>(params_.min_p),
          .top_k = params_.top_k,
          .seed = seed_,
          .position = static_cast<uint64_t>(position)};
}

Sampler::Sampler(int64_t vocab_size) : scratch_(kernels::cpu::SamplingWorkspaceBytes(vocab_size)) {
  exec_.workspace = {.data = scratch_.data(), .bytes = scratch_.size()};
}

Result<SampledToken> Sampler::Sample(View<float, 1> row, const RequestSampling& sampling,
                                     int64_t position, int32_t num_logprobs) {
  const std::span<const LogitEdit> edits = sampling.edits();
  if (saved_.size() < edits.size()) saved_.resize(edits.size());
  const kernels::SamplingRow parameters = sampling.row(position);
  int32_t token = -1;
  kernels::cpu::EditLogits(row, edits, saved_);
  kernels::cpu::SampleTokens({&token, {1}}, View<const float, 2>(row.data, {1, row.shape[0]}),
                             {&parameters, 1}, exec_);
  kernels::cpu::RestoreLogits(row, edits, saved_);
  if (token < 0) {
    const bool finite = std::all_of(row.data, row.data + row.shape[0],
                                    [](float logit) { return std::isfinite(logit); });
    if (!finite) return MakeError(ErrorCode::kDataLoss, "the model's logits are not finite");
    return MakeError(ErrorCode::kInvalidArgument,
                     "no token can be sampled: logit_bias, min_tokens and penalties leave none");
  }
  SampledToken sampled{.token = token};
  if (num_logprobs >= 0) sampled.logprobs = LogprobsOf(row, token, num_logprobs);
  return sampled;
}

PositionLogprobs Sampler::LogprobsOf(View<const float, 1> row, int32_t token,
                                     int32_t num_logprobs) {
  CHECK(token >= 0 && token < row.shape[0], "token %d", token);
  const kernels::LogprobRow logprobs = kernels::cpu::RowLogprobs(row);
  const float logit = row.data[token];
  PositionLogprobs result;
  result.chosen = {
      .token = token, .logprob = logprobs.Of(logit), .rank = kernels::cpu::RankOf(row, logit)};
  top_.resize(static_cast<size_t>(std::clamp<int64_t>(num_logprobs, 0, row.shape[0])));
  kernels::cpu::TopLogprobs(top_, row, logprobs, exec_);
  for (size_t i = 0; i < top_.size(); ++i)
    result.top.push_back(
        {.token = top_[i].token, .logprob = top_[i].logprob, .rank = static_cast<int32_t>(i + 1)});
  return result;
}

}  // namespace nextgate::engine
