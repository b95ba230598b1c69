#include "kernels/delta_net/delta_net_prologue.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "kernels/core/math.h"

namespace nextgate::kernels::cpu {
namespace {

constexpr float kL2Eps = 1e-6f;
constexpr int64_t kTapsMax = 16;

// Where channel c of token t is written: q, k and v are dense rows of their own.
float* ChannelOut(const DeltaNetInputs& out, int64_t t, int64_t c) {
  const int64_t keys = out.q.shape[1] * out.q.shape[2];
  if (c < keys) return out.q.at(t) + c;
  if (c < 2 * keys) return out.k.at(t) + (c - keys);
  return out.v.at(t) + (c - 2 * keys);
}

// One sequence of a step.
struct Convolution {
  const DeltaNetInputs& out;
  View<float, 3> conv_state;
  View<const float, 2> qkvz;
  const SequenceSpan& s;
  View<const float, 2> weight;  // [C, J]
  const LayerEmits& emits;
  std::span<const StateEmit> own_emits;  // the sequence's
};

// Channels [begin, end): convolve the sequence's rows in order, keep the last inputs.
void Convolve(const Convolution& job, int64_t begin, int64_t end) {
  const SequenceSpan& s = job.s;
  const int64_t taps = job.weight.shape[1];
  for (int64_t c = begin; c < end; ++c) {
    float window[kTapsMax] = {};  // the last taps − 1 inputs, then the new one
    float* kept = job.conv_state.at(s.state_slot, c);
    if (s.context_len > 0) std::copy_n(kept, taps - 1, window);
    const float* weight = job.weight.at(c);
    int64_t t = s.token_begin;
    const auto run_to = [&](int64_t position) {
      for (; t < s.token_begin + position - s.context_len; ++t) {
        window[taps - 1] = job.qkvz.at(t)[c];
        float sum = 0;
        for (int64_t j = 0; j < taps; ++j) sum += weight[j] * window[j];
        *ChannelOut(job.out, t, c) = Silu(sum);
        std::copy_n(window + 1, taps - 1, window);
      }
    };
    for (const StateEmit& emit : job.own_emits) {
      run_to(emit.position);
      StoreChannel(job.emits, emit.checkpoint, c, window);
    }
    run_to(s.context_len + s.token_count);
    std::copy_n(window, taps - 1, kept);
  }
}

void Normalise(float* x, int64_t dim, float factor) {
  double squares = 0;
  for (int64_t d = 0; d < dim; ++d) squares += static_cast<double>(x[d]) * x[d];
  const float scale = 1.0f / std::sqrt(static_cast<float>(squares) + kL2Eps);
  for (int64_t d = 0; d < dim; ++d) x[d] = x[d] * scale * factor;
}

void NormaliseAndGate(const DeltaNetInputs& out, View<const float, 2> ba,
                      const DeltaNetPrologueWeights& weights, int64_t t) {
  const int64_t key_dim = out.q.shape[2];
  const float query_factor = 1.0f / std::sqrt(static_cast<float>(key_dim));
  for (int64_t n = 0; n < out.q.shape[1]; ++n) {
    Normalise(out.q.at(t, n), key_dim, query_factor);
    Normalise(out.k.at(t, n), key_dim, 1.0f);
  }
  const int64_t heads = out.v.shape[1];
  for (int64_t m = 0; m < heads; ++m) {
    *out.beta.at(t, m) = Sigmoid(*ba.at(t, m));
    *out.g.at(t, m) =
        -std::exp(weights.a_log.data[m]) * Softplus(*ba.at(t, heads + m) + weights.dt_bias.data[m]);
  }
}

}  // namespace

void DeltaNetPrologue(const DeltaNetInputs& out, View<float, 3> conv_state,
                      View<const float, 2> qkvz, View<const float, 2> ba, Sequences sequences,
                      const DeltaNetPrologueWeights& weights, const LayerEmits& emits, Exec& exec) {
  const int64_t channels = weights.conv.shape[0];
  const int64_t taps = weights.conv.shape[1];
  CHECK(taps >= 1 && taps <= kTapsMax && conv_state.shape[1] == channels &&
        conv_state.shape[2] == taps - 1);
  CHECK(channels == 2 * out.q.shape[1] * out.q.shape[2] + out.v.shape[1] * out.v.shape[2]);
  CHECK(qkvz.shape[1] == channels + out.v.shape[1] * out.v.shape[2] &&
        ba.shape[1] == 2 * out.v.shape[1]);
  CheckEmits(emits, sequences);
  const CheckpointLayout& layout = emits.checkpoints.layout;
  CHECK(emits.empty() || (layout.channels == channels && layout.taps_kept == taps - 1));
  for (size_t i = 0; i < sequences.size(); ++i) {
    const SequenceSpan& s = sequences[i];
    const Convolution job{
        out, conv_state, qkvz, s, weights.conv, emits, emits.OfSequence(static_cast<int32_t>(i))};
    const int64_t grain = std::max<int64_t>(16, (1 << 10) / s.token_count);
    exec.pool->ParallelFor(channels, grain,
                           [&](int64_t begin, int64_t end) { Convolve(job, begin, end); });
  }
  exec.pool->ParallelFor(qkvz.shape[0], 8, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) NormaliseAndGate(out, ba, weights, t);
  });
}

}  // namespace nextgate::kernels::cpu
