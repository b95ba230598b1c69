#include "kernels/delta_net/delta_recurrent.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "kernels/core/simd.h"

namespace nextgate::kernels::cpu {

void DeltaRecurrent(View<float, 3> out, View<float, 4> states, const DeltaNetInputs& in,
                    Sequences sequences, const LayerEmits& emits, Exec& exec) {
  const int64_t heads = in.v.shape[1];
  const int64_t key_dim = in.q.shape[2];
  const int64_t value_dim = in.v.shape[2];
  const int64_t group = heads / in.q.shape[1];
  CHECK(out.shape == in.v.shape && heads % in.q.shape[1] == 0);
  CHECK(states.shape[1] == heads && states.shape[2] == key_dim && states.shape[3] == value_dim);
  CheckEmits(emits, sequences);
  const CheckpointLayout& kept = emits.checkpoints.layout;
  CHECK(emits.empty() ||
        (kept.heads == heads && kept.key_dim == key_dim && kept.value_dim == value_dim));
  const simd::Ops& simd = simd::Best();
  const auto jobs = static_cast<int64_t>(sequences.size()) * heads;
  exec.pool->ParallelFor(jobs, 2, [&](int64_t begin, int64_t end) {
    for (int64_t job = begin; job < end; ++job) {
      const auto sequence = static_cast<int32_t>(job / heads);
      const SequenceSpan& s = sequences[static_cast<size_t>(sequence)];
      const int64_t m = job % heads;
      float* state = states.at(s.state_slot, m);
      if (s.context_len == 0) std::fill_n(state, key_dim * value_dim, 0.0f);
      int64_t t = s.token_begin;
      const auto run_to = [&](int64_t position) {
        for (; t < s.token_begin + position - s.context_len; ++t) {
          simd.delta_step({.state = state,
                           .key_dim = key_dim,
                           .value_dim = value_dim,
                           .q = in.q.at(t, m / group),
                           .k = in.k.at(t, m / group),
                           .v = in.v.at(t, m),
                           .decay = std::exp(*in.g.at(t, m)),
                           .beta = *in.beta.at(t, m),
                           .out = out.at(t, m)});
        }
      };
      for (const StateEmit& emit : emits.OfSequence(sequence)) {
        run_to(emit.position);
        StoreHead(emits, emit.checkpoint, m, state);
      }
      run_to(s.context_len + s.token_count);
    }
  });
}

}  // namespace nextgate::kernels::cpu
