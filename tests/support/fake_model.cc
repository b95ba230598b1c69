#include "tests/support/fake_model.h"

#include <algorithm>
#include <array>
#include <map>
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

uint64_t HashOf(std::span<const int32_t> history) {
  uint64_t hash = kEmptyHash;
  for (const int32_t token : history) hash = Extend(hash, token);
  return hash;
}

void LogitsOf(uint64_t kv_hash, uint64_t state_hash, std::span<float> logits) {
  for (int32_t v = 0; v < kFakeVocab; ++v) {
    const uint64_t bits = Mix(Mix(kv_hash, state_hash), static_cast<uint64_t>(v));
    logits[v] = static_cast<float>(bits >> 44) * (10.0f / (1 << 20)) - 5.0f;
  }
}

// What one sequence's state says: in the recurrent state [4] the hash of its tokens, 16 bits a float;
// in the conv state [6] its last token, how many tokens there were, and the hash again, so that two
// halves of different states are noticed.
struct FakeState {
  uint64_t hash = kEmptyHash;
  int32_t last_token = -1;
  int32_t tokens = 0;

  void Advance(int32_t token) {
    hash = Extend(hash, token);
    last_token = token;
    ++tokens;
  }
};

void StoreHash(uint64_t hash, float* out) {
  for (int i = 0; i < 4; ++i) out[i] = static_cast<float>((hash >> (16 * i)) & 0xFFFF);
}
uint64_t LoadHash(const float* in) {
  uint64_t hash = 0;
  for (int i = 0; i < 4; ++i) hash |= static_cast<uint64_t>(in[i]) << (16 * i);
  return hash;
}

struct StoredState {
  std::array<float, 4> recurrent;
  std::array<float, 6> conv;
};
StoredState Stored(const FakeState& state) {
  StoredState stored;
  StoreHash(state.hash, stored.recurrent.data());
  stored.conv[0] = static_cast<float>(state.last_token);
  stored.conv[1] = static_cast<float>(state.tokens);
  StoreHash(state.hash, stored.conv.data() + 2);
  return stored;
}

// What `s` continues from.
FakeState Before(const kernels::SequenceSpan& s, const StateStorage& states) {
  if (s.context_len == 0) return {};
  const float* recurrent = states.recurrent.at(s.state_slot);
  const float* conv = states.conv.at(s.state_slot);
  CHECK(conv[1] == static_cast<float>(s.context_len),
        "slot %d holds a state after %.0f tokens, its sequence has %d", s.state_slot,
        static_cast<double>(conv[1]), s.context_len);
  CHECK(std::equal(recurrent, recurrent + 4, conv + 2), "slot %d holds halves of two states",
        s.state_slot);
  return {LoadHash(recurrent), static_cast<int32_t>(conv[0]), s.context_len};
}

void CheckTables(const StepInput& input, const KvStorage& kv) {
  std::map<int32_t, int> tables;  // how many a block is in
  for (const auto& s : input.sequences) {
    CHECK(static_cast<int64_t>(s.block_table.size()) * kBlockTokens >=
          s.context_len + s.token_count);
    const std::set<int32_t> blocks(s.block_table.begin(), s.block_table.end());
    CHECK(blocks.size() == s.block_table.size(), "a block is twice in a table");
    CHECK(*blocks.begin() >= 0 && *blocks.rbegin() < kv.k.shape[1]);
    for (const int32_t block : blocks) ++tables[block];
  }
  for (const auto& s : input.sequences)
    for (int32_t i = s.context_len / kBlockTokens;
         i <= (s.context_len + s.token_count - 1) / kBlockTokens; ++i)
      CHECK(tables[s.block_table[i]] == 1, "block %d is written to and in two tables",
            s.block_table[i]);
}

void CheckCheckpoints(const StepInput& input, const StateStorage& states,
                      const CheckpointStorage& checkpoints, const kernels::CheckpointLayout& own) {
  if (input.loads.empty() && input.emits.empty()) return;
  CHECK(checkpoints.data != nullptr && checkpoints.layout == own);
  std::set<int32_t> slots;
  std::set<int32_t> taken;  // checkpoints
  for (const auto& load : input.loads) {
    CHECK(load.state_slot >= 0 && load.state_slot < states.recurrent.shape[0]);
    CHECK(slots.insert(load.state_slot).second, "slot %d is loaded twice", load.state_slot);
    CHECK(load.checkpoint >= 0 && load.checkpoint < checkpoints.slots);
    taken.insert(load.checkpoint);
  }
  std::pair<int32_t, int32_t> before = {-1, -1};
  for (const auto& emit : input.emits) {
    CHECK(emit.sequence >= 0 && emit.sequence < static_cast<int32_t>(input.sequences.size()));
    const auto& s = input.sequences[emit.sequence];
    CHECK(emit.position % kBlockTokens == 0 && emit.position > s.context_len &&
              emit.position <= s.context_len + s.token_count,
          "a state at %d of a sequence that goes from %d to %d", emit.position, s.context_len,
          s.context_len + s.token_count);
    const std::pair<int32_t, int32_t> at = {emit.sequence, emit.position};
    CHECK(before < at, "emits are not sorted");
    before = at;
    CHECK(emit.checkpoint >= 0 && emit.checkpoint < checkpoints.slots);
    CHECK(taken.insert(emit.checkpoint).second, "checkpoint %d is emitted to and used otherwise",
          emit.checkpoint);
  }
}

void Keep(const kernels::LayerEmits& emits, int32_t checkpoint, const StoredState& stored) {
  kernels::cpu::StoreHead(emits, checkpoint, 0, stored.recurrent.data());
  for (size_t c = 0; c < stored.conv.size(); ++c)
    kernels::cpu::StoreChannel(emits, checkpoint, static_cast<int64_t>(c), &stored.conv[c]);
}

// The tokens up to `position` as the sequence's blocks have them; −1 where a block holds another
// position.
std::vector<int32_t> History(const kernels::SequenceSpan& s, int32_t position,
                             const KvStorage& kv) {
  std::vector<int32_t> history;
  for (int32_t p = 0; p <= position; ++p) {
    const int32_t block = s.block_table[p / kBlockTokens];
    const bool here = *kv.v.at(0, block, 0, p % kBlockTokens) == static_cast<float>(p);
    history.push_back(here ? static_cast<int32_t>(*kv.k.at(0, block, 0, p % kBlockTokens)) : -1);
  }
  return history;
}

// The promises of engine/model/step.h that a real model relies on.
void CheckStep(const StepInput& input, const KvStorage& kv, const StateStorage& states) {
  std::set<int32_t> slots;
  int32_t next_row = 0;
  for (const auto& s : input.sequences) {
    CHECK(s.token_begin == next_row && s.token_count >= 1 && s.context_len >= 0);
    next_row += s.token_count;
    CHECK(s.state_slot >= 0 && s.state_slot < states.recurrent.shape[0]);
    CHECK(slots.insert(s.state_slot).second, "slot %d is in two sequences", s.state_slot);
  }
  CHECK(next_row == static_cast<int32_t>(input.token_ids.size()));
  CheckTables(input, kv);
  int32_t previous = -1;
  for (const int32_t row : input.logit_rows) {
    CHECK(row > previous && row < next_row);
    previous = row;
  }
}

}  // namespace

std::vector<float> FakeLogits(std::span<const int32_t> history) {
  const uint64_t hash = HashOf(history);
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
                        const CheckpointStorage& checkpoints, kernels::View<float, 2> logits) {
  if (on_forward_) on_forward_(input);
  CheckStep(input, kv, states);
  CheckCheckpoints(input, states, checkpoints,
                   CheckpointLayoutOf(config_, kernels::StateFormat::kFp32));
  CHECK(logits.shape[0] == static_cast<int64_t>(input.logit_rows.size()) &&
        logits.shape[1] == kFakeVocab);
  if (!input.loads.empty())
    kernels::cpu::LoadStates(states.recurrent, states.conv, input.loads, checkpoints, exec_);
  const kernels::LayerEmits emits{input.emits, checkpoints, 0};
  auto emit = input.emits.begin();
  size_t logit = 0;
  for (size_t index = 0; index < input.sequences.size(); ++index) {
    const auto& s = input.sequences[index];
    FakeState state = Before(s, states);
    for (int32_t i = 0; i < s.token_count; ++i) {
      const int32_t row = s.token_begin + i;
      const int32_t position = s.context_len + i;
      const int32_t token = input.token_ids[row];
      const int32_t block = s.block_table[position / kBlockTokens];
      *kv.k.at(0, block, 0, position % kBlockTokens) = static_cast<float>(token);
      *kv.v.at(0, block, 0, position % kBlockTokens) = static_cast<float>(position);
      state.Advance(token);
      if (emit != input.emits.end() && emit->sequence == static_cast<int32_t>(index) &&
          emit->position == state.tokens)
        Keep(emits, (emit++)->checkpoint, Stored(state));
      if (logit == input.logit_rows.size() || input.logit_rows[logit] != row) continue;
      const std::vector<int32_t> history = History(s, position, kv);
      const std::span<float> out(logits.at(static_cast<int64_t>(logit++)), kFakeVocab);
      LogitsOf(HashOf(history), state.hash, out);
      if (on_logits_) on_logits_(history, out);
    }
    const StoredState stored = Stored(state);
    std::ranges::copy(stored.recurrent, states.recurrent.at(s.state_slot));
    std::ranges::copy(stored.conv, states.conv.at(s.state_slot));
  }
  CHECK(emit == input.emits.end());
}

}  // namespace nextgate::engine
