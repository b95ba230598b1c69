#include "tests/support/model_runner.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/check.h"

namespace nextgate::testing {

using engine::kBlockTokens;

namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

}  // namespace

ModelRunner::ModelRunner(engine::Qwen3Next& model, int sequences, int positions, int checkpoints,
                         kernels::StateFormat format)
    : model_(model),
      blocks_each_((positions + kBlockTokens - 1) / kBlockTokens),
      lengths_(static_cast<size_t>(sequences), 0),
      checkpoints_(engine::CheckpointLayoutOf(model.config(), format), checkpoints) {
  const engine::ModelConfig& c = model.config();
  const int64_t blocks = int64_t{sequences} * blocks_each_;
  const std::array<int64_t, 5> kv_shape = {c.num_full_layers(), blocks, c.num_key_value_heads,
                                           kBlockTokens, c.head_dim};
  const std::array<int64_t, 5> state_shape = {sequences, c.num_linear_layers(),
                                              c.linear_num_value_heads, c.linear_key_head_dim,
                                              c.linear_value_head_dim};
  const std::array<int64_t, 4> conv_shape = {sequences, c.num_linear_layers(), c.conv_channels(),
                                             c.linear_conv_kernel_dim - 1};
  const auto size = [](auto shape) {
    return static_cast<size_t>(
        std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>()));
  };
  k_.assign(size(kv_shape), kNaN);
  v_.assign(size(kv_shape), kNaN);
  recurrent_.assign(size(state_shape), kNaN);
  conv_.assign(size(conv_shape), kNaN);
  kv_ = {{k_.data(), kv_shape}, {v_.data(), kv_shape}};
  states_ = {{recurrent_.data(), state_shape}, {conv_.data(), conv_shape}};
  for (int s = 0; s < sequences; ++s) tables_.push_back(OwnTable(s));
}

// Blocks of the sequences interleaved, so that a wrong table shows.
std::vector<int32_t> ModelRunner::OwnTable(int sequence) const {
  std::vector<int32_t> table;
  for (int b = 0; b < blocks_each_; ++b)
    table.push_back(b * static_cast<int32_t>(lengths_.size()) + sequence);
  return table;
}

void ModelRunner::Restart(int sequence) {
  lengths_[static_cast<size_t>(sequence)] = 0;
  tables_[static_cast<size_t>(sequence)] = OwnTable(sequence);
  std::erase_if(loads_, [&](const auto& load) { return load.state_slot == sequence; });
}

void ModelRunner::Resume(int sequence, int position, int from, int checkpoint) {
  CHECK(position % kBlockTokens == 0 && sequence != from);
  Restart(sequence);
  lengths_[static_cast<size_t>(sequence)] = position;
  std::copy_n(tables_[static_cast<size_t>(from)].begin(), position / kBlockTokens,
              tables_[static_cast<size_t>(sequence)].begin());
  std::fill_n(states_.recurrent.at(sequence), states_.recurrent.stride[0], kNaN);
  std::fill_n(states_.conv.at(sequence), states_.conv.stride[0], kNaN);
  loads_.push_back({.state_slot = sequence, .checkpoint = checkpoint});
}

std::vector<std::vector<float>> ModelRunner::Step(const std::vector<Chunk>& chunks,
                                                  const std::vector<Emit>& emits) {
  std::vector<int32_t> tokens;
  std::vector<kernels::SequenceSpan> spans;
  for (const Chunk& chunk : chunks) {
    const auto s = static_cast<size_t>(chunk.sequence);
    spans.push_back({.token_begin = static_cast<int32_t>(tokens.size()),
                     .token_count = static_cast<int32_t>(chunk.tokens.size()),
                     .context_len = lengths_[s],
                     .state_slot = chunk.sequence,
                     .block_table = tables_[s]});
    tokens.insert(tokens.end(), chunk.tokens.begin(), chunk.tokens.end());
    lengths_[s] += static_cast<int>(chunk.tokens.size());
  }
  std::vector<int32_t> rows(tokens.size());
  std::iota(rows.begin(), rows.end(), 0);
  std::vector<kernels::StateEmit> kept;
  for (const Emit& emit : emits)
    kept.push_back(
        {.sequence = emit.chunk, .position = emit.position, .checkpoint = emit.checkpoint});
  const int64_t vocab = model_.config().vocab_size;
  std::vector<float> flat(rows.size() * static_cast<size_t>(vocab),
                          std::numeric_limits<float>::quiet_NaN());
  model_.Forward({tokens, spans, rows, loads_, kept}, kv_, states_, checkpoints_.view(),
                 {flat.data(), {static_cast<int64_t>(rows.size()), vocab}});
  loads_.clear();
  std::vector<std::vector<float>> logits;
  for (size_t r = 0; r < rows.size(); ++r)
    logits.emplace_back(flat.begin() + static_cast<int64_t>(r) * vocab,
                        flat.begin() + static_cast<int64_t>(r + 1) * vocab);
  return logits;
}

}  // namespace nextgate::testing
