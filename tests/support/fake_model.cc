#include "tests/support/fake_model.h"

#include <set>
#include <utility>

#include "base/check.h"

namespace nextgate::engine {
namespace {

constexpr uint64_t kEmptyHash = 0x243F6A8885A308D3;

uint64_t Mix(uint64_t hash, uint64_t value) {
  hash ^= value + 0x9E3779B97F4A7C15 + (hash << 6) + (hash >> 2);
  hash ^= hash >> 33;
  hash *= 0xFF51AFD7ED558CCD;
  hash ^= hash >> 29;
  return hash;
}

uint64_t Extend(uint64_t hash, int32_t token) {
  return Mix(hash, static_cast<uint64_t>(token) + 1);
}

void LogitsOf(uint64_t kv_hash, uint64_t state_hash, std::span<float> logits) {
  for (int32_t v = 0; v < kFakeVocab; ++v) {
    const uint64_t bits = Mix(Mix(kv_hash, state_hash), static_cast<uint64_t>(v));
    logits[v] = static_cast<float>(bits >> 44) * (10.0f / (1 << 20)) - 5.0f;
  }
}

// A 64-bit hash in four floats of 16 bits each, as a state would hold it.
void StoreHash(uint64_t hash, float* out) {
  for (int i = 0; i < 4; ++i) out[i] = static_cast<float>((hash >> (16 * i)) & 0xFFFF);
}
uint64_t LoadHash(const float* in) {
  uint64_t hash = 0;
  for (int i = 0; i < 4; ++i) hash |= static_cast<uint64_t>(in[i]) << (16 * i);
  return hash;
}

// The promises of engine/model/step.h that a real model relies on.
void CheckStep(const StepInput& input, const KvStorage& kv, const StateStorage& states) {
  std::set<int32_t> blocks;
  std::set<int32_t> slots;
  int32_t next_row = 0;
  for (const auto& s : input.sequences) {
    CHECK(s.token_begin == next_row && s.token_count >= 1 && s.context_len >= 0);
    next_row += s.token_count;
    CHECK(s.state_slot >= 0 && s.state_slot < states.recurrent.shape[0]);
    CHECK(slots.insert(s.state_slot).second, "slot %d is in two sequences", s.state_slot);
    CHECK(static_cast<int64_t>(s.block_table.size()) * kBlockTokens >=
          s.context_len + s.token_count);
    for (const int32_t block : s.block_table) {
      CHECK(block >= 0 && block < kv.k.shape[1]);
      CHECK(blocks.insert(block).second, "block %d is in two tables", block);
    }
  }
  CHECK(next_row == static_cast<int32_t>(input.token_ids.size()));
  int32_t previous = -1;
  for (const int32_t row : input.logit_rows) {
    CHECK(row > previous && row < next_row);
    previous = row;
  }
}

}  // namespace

std::vector<float> FakeLogits(std::span<const int32_t> history) {
  uint64_t hash = kEmptyHash;
  for (const int32_t token : history) hash = Extend(hash, token);
  std::vector<float> logits(kFakeVocab);
  LogitsOf(hash, hash, logits);
  return logits;
}

FakeModel::FakeModel(OnForward on_forward, OnLogits on_logits)
    : on_forward_(std::move(on_forward)), on_logits_(std::move(on_logits)) {
  config_.hidden_size = 8;
  config_.vocab_size = kFakeVocab;
  config_.num_hidden_layers = 2;
  config_.max_position_embeddings = 2048;
  config_.layer_types = {LayerType::kLinearAttention, LayerType::kFullAttention};
  config_.sparse_layers = {false, false};
  config_.num_attention_heads = 1;
  config_.num_key_value_heads = 1;
  config_.head_dim = 2;
  config_.linear_num_key_heads = 1;
  config_.linear_num_value_heads = 1;
  config_.linear_key_head_dim = 1;
  config_.linear_value_head_dim = 4;
  config_.linear_conv_kernel_dim = 2;
  config_.eos_token_ids = {kFakeEos};
}

void FakeModel::Forward(const StepInput& input, const KvStorage& kv, const StateStorage& states,
                        const CheckpointStorage& /*checkpoints*/, kernels::View<float, 2> logits) {
  if (on_forward_) on_forward_(input);
  CheckStep(input, kv, states);
  CHECK(logits.shape[0] == static_cast<int64_t>(input.logit_rows.size()) &&
        logits.shape[1] == kFakeVocab);
  size_t logit = 0;
  for (const auto& s : input.sequences) {
    float* state = states.recurrent.at(s.state_slot);
    float* last_token = states.conv.at(s.state_slot);
    uint64_t state_hash = s.context_len == 0 ? kEmptyHash : LoadHash(state);
    for (int32_t i = 0; i < s.token_count; ++i) {
      const int32_t row = s.token_begin + i;
      const int32_t position = s.context_len + i;
      const int32_t token = input.token_ids[row];
      const int32_t block = s.block_table[position / kBlockTokens];
      float* k = kv.k.at(0, block, 0, position % kBlockTokens);
      float* v = kv.v.at(0, block, 0, position % kBlockTokens);
      k[0] = static_cast<float>(token);
      v[0] = static_cast<float>(position);
      state_hash = Extend(state_hash, token);
      *last_token = static_cast<float>(token);
      if (logit == input.logit_rows.size() || input.logit_rows[logit] != row) continue;

      std::vector<int32_t> history;
      uint64_t kv_hash = kEmptyHash;
      for (int32_t p = 0; p <= position; ++p) {
        const int32_t b = s.block_table[p / kBlockTokens];
        history.push_back(static_cast<int32_t>(*kv.k.at(0, b, 0, p % kBlockTokens)));
        kv_hash = Extend(kv_hash, history.back());
        if (*kv.v.at(0, b, 0, p % kBlockTokens) != static_cast<float>(p)) kv_hash = ~kv_hash;
      }
      const std::span<float> out(logits.at(static_cast<int64_t>(logit++)), kFakeVocab);
      LogitsOf(kv_hash, state_hash, out);
      if (on_logits_) on_logits_(history, out);
    }
    StoreHash(state_hash, state);
  }
}

}  // namespace nextgate::engine
