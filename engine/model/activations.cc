#include "engine/model/activations.h"

#include <algorithm>

#include "kernels/attention/paged_attention.h"
#include "kernels/moe/expert_mlp.h"

namespace nextgate::engine {

template <class T>
T* Activations::Allocate(int64_t count) {
  const auto bytes = static_cast<size_t>(count) * sizeof(T);
  bytes_ += static_cast<int64_t>(bytes);
  if (!allocate_) return nullptr;
  memory_.emplace_back(bytes);
  return reinterpret_cast<T*>(memory_.back().data());
}

Activations::Activations(const ModelConfig& c, const StepLimits& limits, bool allocate)
    : allocate_(allocate) {
  const int64_t tokens = limits.tokens_max;
  const auto rows = [&](int64_t width) {
    return Rows(Allocate<float>(tokens * width), {tokens, width});
  };
  const auto heads = [&](int64_t count, int64_t dim) {
    return kernels::View<float, 3>(Allocate<float>(tokens * count * dim), {tokens, count, dim});
  };
  const int64_t hidden_size = c.hidden_size;
  hidden = rows(hidden_size);
  normed = rows(hidden_size);
  mixed = rows(hidden_size);
  if (c.num_full_layers() > 0) {
    const int64_t width = c.num_attention_heads * c.head_dim;
    qkv = rows(2 * width + 2 * c.num_key_value_heads * c.head_dim);
    q = heads(c.num_attention_heads, c.head_dim);
    gate = rows(width);
    attended = rows(width);
  }
  if (c.num_linear_layers() > 0) {
    qkvz = rows(2 * c.key_channels() + 2 * c.value_channels());
    ba = rows(2 * c.linear_num_value_heads);
    dq = heads(c.linear_num_key_heads, c.linear_key_head_dim);
    dk = heads(c.linear_num_key_heads, c.linear_key_head_dim);
    dv = heads(c.linear_num_value_heads, c.linear_value_head_dim);
    beta = rows(c.linear_num_value_heads);
    g = rows(c.linear_num_value_heads);
    read = heads(c.linear_num_value_heads, c.linear_value_head_dim);
    gated = rows(c.value_channels());
  }
  if (c.num_experts > 0) {
    router_logits = rows(c.num_experts);
    expert_ids = {Allocate<int32_t>(tokens * c.num_experts_per_tok),
                  {tokens, c.num_experts_per_tok}};
    expert_weights = rows(c.num_experts_per_tok);
    expert_out = heads(c.num_experts_per_tok, hidden_size);
    shared_out = rows(hidden_size);
    shared_gate = rows(1);
  }
  selected = Rows(Allocate<float>(limits.logit_rows_max * hidden_size),
                  {limits.logit_rows_max, hidden_size});
  const bool any_dense = std::ranges::find(c.sparse_layers, false) != c.sparse_layers.end();
  const bool any_sparse = c.num_experts > 0;
  const int64_t dense_width = std::max(any_dense ? c.intermediate_size : 0,
                                       any_sparse ? c.shared_expert_intermediate_size : 0);
  workspace.bytes =
      std::max({kernels::cpu::PagedAttentionWorkspaceBytes(limits.threads, limits.positions_max),
                kernels::cpu::ExpertMlpWorkspaceBytes(tokens, c.num_experts_per_tok,
                                                      c.moe_intermediate_size, c.num_experts),
                kernels::cpu::ExpertMlpWorkspaceBytes(tokens, 1, dense_width, 0)});
  workspace.data = Allocate<std::byte>(static_cast<int64_t>(workspace.bytes));
}

}  // namespace nextgate::engine
