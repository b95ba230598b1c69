// The gated delta rule, one token after the other. Per sequence and value head m, with key head n =
// m / (Nv / Nk):
//   S ← e^g S;  d = beta · (v − Sᵀk);  S ← S + k dᵀ;  out = Sᵀq
//
//   out    [T, Nv, Dv]
//   in                         see delta_net_prologue.h
//   states [slots, Nv, Dk, Dv]  S with key channels as rows; read as zeros where context_len == 0,
//   and advanced
//   emits                      states to keep on the way (checkpoint.h)
//
// cpu: a fixed order per element of S, so bits depend neither on chunks nor on neighbours: this is
// the body the engine runs, prefill included. Memory bound at decode (reads and writes S once).
// Source: torch_recurrent_gated_delta_rule in transformers' modeling_qwen3_next.py.
#pragma once

#include "kernels/core/exec.h"
#include "kernels/core/sequence.h"
#include "kernels/delta_net/checkpoint.h"
#include "kernels/delta_net/delta_net_prologue.h"

namespace nextgate::kernels::cpu {

void DeltaRecurrent(View<float, 3> out, View<float, 4> states, const DeltaNetInputs& in,
                    Sequences sequences, const LayerEmits& emits, Exec& exec);

}  // namespace nextgate::kernels::cpu
