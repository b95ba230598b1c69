#include "tests/support/model_runner.h"

#include <limits>
#include <numeric>

namespace nextgate::testing {

using engine::kBlockTokens;

ModelRunner::ModelRunner(engine::Qwen3Next& model, int sequences, int positions)
    : model_(model), lengths_(static_cast<size_t>(sequences), 0) {
  const engine::ModelConfig& c = model.config();
  const int blocks_each = (positions + kBlockTokens - 1) / kBlockTokens;
  const int64_t blocks = int64_t{sequences} * blocks_each;
  const float nan = std::numeric_limits<float>::quiet_NaN();
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
  k_.assign(size(kv_shape), nan);
  v_.assign(size(kv_shape), nan);
  recurrent_.assign(size(state_shape), nan);
  conv_.assign(size(conv_shape), nan);
  kv_ = {{k_.data(), kv_shape}, {v_.data(), kv_shape}};
  states_ = {{recurrent_.data(), state_shape}, {conv_.data(), conv_shape}};
  // Blocks of the sequences interleaved, so that a wrong table shows.
  for (int s = 0; s < sequences; ++s) {
    std::vector<int32_t> table;
    for (int b = 0; b < blocks_each; ++b) table.push_back(b * sequences + s);
    tables_.push_back(std::move(table));
  }
}

std::vector<std::vector<float>> ModelRunner::Step(const std::vector<Chunk>& chunks) {
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
  const int64_t vocab = model_.config().vocab_size;
  std::vector<float> flat(rows.size() * static_cast<size_t>(vocab),
                          std::numeric_limits<float>::quiet_NaN());
  model_.Forward(
      {.token_ids = tokens, .sequences = spans, .logit_rows = rows, .loads = {}, .emits = {}}, kv_,
      states_, {}, {flat.data(), {static_cast<int64_t>(rows.size()), vocab}});
  std::vector<std::vector<float>> logits;
  for (size_t r = 0; r < rows.size(); ++r)
    logits.emplace_back(flat.begin() + static_cast<int64_t>(r) * vocab,
                        flat.begin() + static_cast<int64_t>(r + 1) * vocab);
  return logits;
}

}  // namespace nextgate::testing
