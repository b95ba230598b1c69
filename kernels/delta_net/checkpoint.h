// Checkpoints: the recurrent and conv states of all Gated DeltaNet layers of one sequence at one
// position, kept as bytes to resume from. Working states are fp32; a checkpoint may be smaller.
//
// Bytes of one checkpoint, dense and in this order: for each layer the heads' recurrent states, then
// the conv state. Per format
//   fp32   recurrent [Nv, Dk, Dv] float;  conv [C, J − 1] float. Resuming is bit-exact.
//   bf16   recurrent [Nv, Dk, Dv] bf16;   conv [C, J − 1] bf16. Rounded to nearest even.
//   int8   per head Dk floats of scales, then [Dk, Dv] int8: x ≈ scale[r] · q with scale[r] =
//          max_d |S[r, d]| / 127 and q = x / scale[r], both in fp32; q is rounded to nearest even and
//          kept within ±127, which only scales near the end of fp32's range need. A row whose scale
//          is 0, all zeros for instance, has q = 0. conv [C, J − 1] bf16.
// Each head's part and each layer's conv part begin at multiples of 16 bytes, a checkpoint at
// multiples of 64, so that it can be moved as a whole and read with wide loads; what lies between is
// zero, so that equal states are equal bytes. A value that is not finite stays so in fp32 and bf16; a
// row of int8 that has one is NaN as a whole: its scale is NaN, its q = 0.
//
// Source of int8's granularity: per head and key channel, as SGLang #28185 measures.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/core/exec.h"
#include "kernels/core/sequence.h"
#include "kernels/core/view.h"

namespace nextgate::kernels {

enum class StateFormat : uint8_t { kFp32, kBf16, kInt8 };

constexpr const char* StateFormatName(StateFormat format) {
  switch (format) {
    case StateFormat::kFp32:
      return "fp32";
    case StateFormat::kBf16:
      return "bf16";
    case StateFormat::kInt8:
      return "int8";
  }
  return "?";
}

struct CheckpointLayout {
  StateFormat format = StateFormat::kFp32;
  int64_t layers = 0;
  int64_t heads = 0;      // Nv
  int64_t key_dim = 0;    // Dk
  int64_t value_dim = 0;  // Dv
  int64_t channels = 0;   // C
  int64_t taps_kept = 0;  // J − 1

  int64_t HeadBytes() const;   // of one head's recurrent state
  int64_t ConvBytes() const;   // of one layer's conv state
  int64_t LayerBytes() const;  // heads · HeadBytes() + ConvBytes()
  int64_t Bytes() const;       // of one checkpoint

  bool operator==(const CheckpointLayout&) const = default;
};

// Storage of many: slot i is the Bytes() bytes at data + i · stride. Borrowed.
struct Checkpoints {
  std::byte* data = nullptr;  // at a multiple of 64
  int64_t slots = 0;
  int64_t stride = 0;  // bytes, a multiple of 64
  CheckpointLayout layout;

  std::byte* at(int64_t slot) const { return data + slot * stride; }
};

// A state to be kept on the way: of the step's sequence, after `position` of its tokens (absolute; a
// multiple of 64 that this step reaches). A step's emits are sorted by (sequence, position), no two
// alike, each with a checkpoint of its own.
struct StateEmit {
  int32_t sequence = 0;  // index into the step's sequences
  int32_t position = 0;
  int32_t checkpoint = 0;  // slot of Checkpoints
};

// The working state in `state_slot` becomes what the checkpoint holds.
struct StateLoad {
  int32_t state_slot = 0;
  int32_t checkpoint = 0;
};

// What an op of one layer is told about emits. Default: none.
struct LayerEmits {
  std::span<const StateEmit> emits;
  Checkpoints checkpoints;
  int64_t layer = 0;  // index among the Gated DeltaNet layers

  bool empty() const { return emits.empty(); }
  std::span<const StateEmit> OfSequence(int32_t sequence) const;  // by position
};

}  // namespace nextgate::kernels

namespace nextgate::kernels::cpu {

// All layers of each load. recurrent: [slots, layers, Nv, Dk, Dv]; conv: [slots, layers, C, J − 1];
// one layer of one slot is contiguous in each. REQUIRES: no state slot twice. Memory bound.
void LoadStates(View<float, 5> recurrent, View<float, 4> conv, std::span<const StateLoad> loads,
                const Checkpoints& checkpoints, Exec& exec);

// One head's recurrent state [Dk, Dv] → its place in the checkpoint, and one channel's kept inputs [J −
// 1] → theirs: what the ops that emit call. Heads and channels may be stored by several threads, in
// any order; the zeros behind them are written with them.
void StoreHead(const LayerEmits& to, int32_t checkpoint, int64_t head, const float* state);
void StoreChannel(const LayerEmits& to, int32_t checkpoint, int64_t channel, const float* kept);

// Aborts unless the emits are what StateEmit says, for these sequences and this storage. Ops that emit
// call it.
void CheckEmits(const LayerEmits& emits, Sequences sequences);

}  // namespace nextgate::kernels::cpu
