#include "kernels/delta_net/checkpoint.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "base/check.h"
#include "kernels/core/convert.h"

namespace nextgate::kernels {
namespace {

constexpr int64_t kPartBytes = 16;        // heads and conv states begin at multiples of it
constexpr int64_t kCheckpointBytes = 64;  // checkpoints do

int64_t RoundUp(int64_t bytes, int64_t to) { return (bytes + to - 1) / to * to; }

int64_t HeadBytesUsed(const CheckpointLayout& l) {
  const int64_t elements = l.key_dim * l.value_dim;
  switch (l.format) {
    case StateFormat::kFp32:
      return elements * 4;
    case StateFormat::kBf16:
      return elements * 2;
    case StateFormat::kInt8:
      return l.key_dim * 4 + elements;
  }
  return 0;
}

int64_t ConvBytesUsed(const CheckpointLayout& l) {
  return l.channels * l.taps_kept * (l.format == StateFormat::kFp32 ? 4 : 2);
}

}  // namespace

int64_t CheckpointLayout::HeadBytes() const { return RoundUp(HeadBytesUsed(*this), kPartBytes); }
int64_t CheckpointLayout::ConvBytes() const { return RoundUp(ConvBytesUsed(*this), kPartBytes); }
int64_t CheckpointLayout::LayerBytes() const { return heads * HeadBytes() + ConvBytes(); }
int64_t CheckpointLayout::Bytes() const { return RoundUp(layers * LayerBytes(), kCheckpointBytes); }

std::span<const StateEmit> LayerEmits::OfSequence(int32_t sequence) const {
  const auto [begin, end] = std::ranges::equal_range(emits, sequence, {}, &StateEmit::sequence);
  return {begin, end};
}

}  // namespace nextgate::kernels

namespace nextgate::kernels::cpu {
namespace {

std::byte* HeadAt(const Checkpoints& c, int64_t slot, int64_t layer, int64_t head) {
  return c.at(slot) + layer * c.layout.LayerBytes() + head * c.layout.HeadBytes();
}

std::byte* ConvAt(const Checkpoints& c, int64_t slot, int64_t layer) {
  return HeadAt(c, slot, layer, c.layout.heads);
}

void StoreBf16(std::byte* to, const float* from, int64_t count) {
  auto* out = reinterpret_cast<uint16_t*>(to);
  for (int64_t i = 0; i < count; ++i) out[i] = FloatToBf16(from[i]);
}

void LoadBf16(float* to, const std::byte* from, int64_t count) {
  const auto* in = reinterpret_cast<const uint16_t*>(from);
  for (int64_t i = 0; i < count; ++i) to[i] = Bf16ToFloat(in[i]);
}

// One row of int8; returns its scale.
float StoreInt8(int8_t* to, const float* from, int64_t count) {
  constexpr int32_t kInfinity = 0x7f800000;
  int32_t largest = 0;  // the bits of |x| are ordered as |x| is, a NaN above all
  for (int64_t i = 0; i < count; ++i)
    largest = std::max(largest, std::bit_cast<int32_t>(from[i]) & 0x7fffffff);
  const float scale = largest >= kInfinity ? std::numeric_limits<float>::quiet_NaN()
                                           : std::bit_cast<float>(largest) / 127.0f;
  if (!(scale > 0)) {
    std::fill_n(to, count, int8_t{0});
    return scale;
  }
  for (int64_t i = 0; i < count; ++i) {
    const float q = std::clamp(from[i] / scale, -127.0f, 127.0f);
    // Adding 1.5 · 2^23 leaves no bits for a fraction: q, rounded to nearest even, is in the low byte.
    to[i] = static_cast<int8_t>(std::bit_cast<int32_t>(q + 0x1.8p23f) & 0xff);
  }
  return scale;
}

void LoadHead(float* state, const std::byte* from, const CheckpointLayout& l) {
  const int64_t elements = l.key_dim * l.value_dim;
  switch (l.format) {
    case StateFormat::kFp32:
      std::copy_n(reinterpret_cast<const float*>(from), elements, state);
      return;
    case StateFormat::kBf16:
      LoadBf16(state, from, elements);
      return;
    case StateFormat::kInt8: {
      const auto* scales = reinterpret_cast<const float*>(from);
      const auto* q = reinterpret_cast<const int8_t*>(scales + l.key_dim);
      for (int64_t r = 0; r < l.key_dim; ++r)
        for (int64_t d = 0; d < l.value_dim; ++d)
          state[r * l.value_dim + d] = scales[r] * static_cast<float>(q[r * l.value_dim + d]);
    }
  }
}

void LoadConv(float* kept, const std::byte* from, const CheckpointLayout& l) {
  const int64_t elements = l.channels * l.taps_kept;
  if (l.format == StateFormat::kFp32) {
    std::copy_n(reinterpret_cast<const float*>(from), elements, kept);
  } else {
    LoadBf16(kept, from, elements);
  }
}

}  // namespace

void LoadStates(View<float, 5> recurrent, View<float, 4> conv, std::span<const StateLoad> loads,
                const Checkpoints& checkpoints, Exec& exec) {
  const CheckpointLayout& l = checkpoints.layout;
  CHECK(recurrent.shape[0] == conv.shape[0] && recurrent.shape[1] == l.layers &&
        recurrent.shape[2] == l.heads && recurrent.shape[3] == l.key_dim &&
        recurrent.shape[4] == l.value_dim);
  CHECK(conv.shape[1] == l.layers && conv.shape[2] == l.channels && conv.shape[3] == l.taps_kept);
  CHECK(recurrent.stride[3] == l.value_dim && conv.stride[2] == l.taps_kept);
  for (const StateLoad& load : loads) {
    CHECK(load.state_slot >= 0 && load.state_slot < recurrent.shape[0]);
    CHECK(load.checkpoint >= 0 && load.checkpoint < checkpoints.slots);
  }
  const int64_t parts = l.heads + 1;  // the heads, and the conv state
  exec.pool->ParallelFor(
      static_cast<int64_t>(loads.size()) * l.layers * parts, 2, [&](int64_t begin, int64_t end) {
        for (int64_t job = begin; job < end; ++job) {
          const StateLoad& load = loads[static_cast<size_t>(job / (l.layers * parts))];
          const int64_t layer = job / parts % l.layers;
          const int64_t head = job % parts;
          const std::byte* from = HeadAt(checkpoints, load.checkpoint, layer, head);
          if (head < l.heads) {
            LoadHead(recurrent.at(load.state_slot, layer, head), from, l);
          } else {
            LoadConv(conv.at(load.state_slot, layer), from, l);
          }
        }
      });
}

void StoreHead(const LayerEmits& to, int32_t checkpoint, int64_t head, const float* state) {
  const CheckpointLayout& l = to.checkpoints.layout;
  const int64_t elements = l.key_dim * l.value_dim;
  std::byte* out = HeadAt(to.checkpoints, checkpoint, to.layer, head);
  switch (l.format) {
    case StateFormat::kFp32:
      std::copy_n(state, elements, reinterpret_cast<float*>(out));
      break;
    case StateFormat::kBf16:
      StoreBf16(out, state, elements);
      break;
    case StateFormat::kInt8: {
      auto* scales = reinterpret_cast<float*>(out);
      auto* q = reinterpret_cast<int8_t*>(scales + l.key_dim);
      for (int64_t r = 0; r < l.key_dim; ++r)
        scales[r] = StoreInt8(q + r * l.value_dim, state + r * l.value_dim, l.value_dim);
    }
  }
  const int64_t used = HeadBytesUsed(l);
  std::fill_n(out + used, l.HeadBytes() - used, std::byte{0});
}

void StoreChannel(const LayerEmits& to, int32_t checkpoint, int64_t channel, const float* kept) {
  const CheckpointLayout& l = to.checkpoints.layout;
  std::byte* conv = ConvAt(to.checkpoints, checkpoint, to.layer);
  const int64_t first = channel * l.taps_kept;
  if (l.format == StateFormat::kFp32) {
    std::copy_n(kept, l.taps_kept, reinterpret_cast<float*>(conv) + first);
  } else {
    StoreBf16(conv + first * 2, kept, l.taps_kept);
  }
  if (channel + 1 < l.channels) return;
  std::byte* const end =
      to.layer + 1 < l.layers ? conv + l.ConvBytes() : to.checkpoints.at(checkpoint) + l.Bytes();
  std::fill(conv + ConvBytesUsed(l), end, std::byte{0});
}

void CheckEmits(const LayerEmits& emits, Sequences sequences) {
  if (emits.empty()) return;
  const Checkpoints& c = emits.checkpoints;
  CHECK(c.data != nullptr && emits.layer >= 0 && emits.layer < c.layout.layers);
  const StateEmit* before = nullptr;
  for (const StateEmit& emit : emits.emits) {
    CHECK(emit.sequence >= 0 && emit.sequence < static_cast<int64_t>(sequences.size()));
    const SequenceSpan& s = sequences[static_cast<size_t>(emit.sequence)];
    CHECK(emit.position % kBlockTokens == 0 && emit.position > s.context_len &&
              emit.position <= s.context_len + s.token_count,
          "a state at %d of a sequence that goes from %d to %d", emit.position, s.context_len,
          s.context_len + s.token_count);
    CHECK(emit.checkpoint >= 0 && emit.checkpoint < c.slots);
    CHECK(before == nullptr || before->sequence < emit.sequence ||
          (before->sequence == emit.sequence && before->position < emit.position));
    before = &emit;
  }
}

}  // namespace nextgate::kernels::cpu
