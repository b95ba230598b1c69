#include <algorithm>
#include <atomic>
#include <cmath>

#include "base/check.h"
#include "kernels/delta_net/delta_chunked.h"

namespace nextgate::kernels::cpu {
namespace {

constexpr int64_t kChunk = kDeltaChunk;

// One thread's scratch for one chunk of one head.
struct Scratch {
  float* decay;     // [C] G_i
  float* inverse;   // [C, C] T
  float* added;     // [C, Dv] W, then N
  float* key_read;  // [C, Dk] U
};

int64_t ScratchFloats(int64_t key_dim, int64_t value_dim) {
  return kChunk * (1 + kChunk + key_dim + value_dim);
}

Scratch Carve(const Workspace& workspace, int index, int64_t key_dim, int64_t value_dim) {
  float* at = reinterpret_cast<float*>(workspace.data) + index * ScratchFloats(key_dim, value_dim);
  return {.decay = at,
          .inverse = at + kChunk,
          .added = at + kChunk * (1 + kChunk),
          .key_read = at + kChunk * (1 + kChunk + value_dim)};
}

float Dot(const float* a, const float* b, int64_t n) {
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// One chunk: tokens [first, first + count) of value head m; S is [Dk, Dv].
struct Chunk {
  const DeltaNetInputs& in;
  int64_t first, count, head, key_head;

  const float* q(int64_t i) const { return in.q.at(first + i, key_head); }
  const float* k(int64_t i) const { return in.k.at(first + i, key_head); }
  const float* v(int64_t i) const { return in.v.at(first + i, head); }
  float beta(int64_t i) const { return *in.beta.at(first + i, head); }
  float g(int64_t i) const { return *in.g.at(first + i, head); }
};

// G, and T by forward substitution: row i of (I + L)⁻¹ is e_i − Σ_j L_ij · row j.
void Prepare(const Chunk& c, const Scratch& s, int64_t key_dim) {
  float sum = 0;
  for (int64_t i = 0; i < c.count; ++i) s.decay[i] = sum += c.g(i);
  for (int64_t i = 0; i < c.count; ++i) {
    float* row = s.inverse + i * kChunk;
    std::fill_n(row, kChunk, 0.0f);
    row[i] = 1;
    for (int64_t j = 0; j < i; ++j) {
      const float lower =
          c.beta(i) * Dot(c.k(i), c.k(j), key_dim) * std::exp(s.decay[i] - s.decay[j]);
      for (int64_t column = 0; column <= j; ++column)
        row[column] -= lower * s.inverse[j * kChunk + column];
    }
  }
}

// N = T (beta v) − T (beta e^G k) S.
void Add(const Chunk& c, const Scratch& s, const float* state, int64_t key_dim, int64_t value_dim) {
  for (int64_t i = 0; i < c.count; ++i) {
    float* added = s.added + i * value_dim;
    float* key_read = s.key_read + i * key_dim;
    std::fill_n(added, value_dim, 0.0f);
    std::fill_n(key_read, key_dim, 0.0f);
    for (int64_t j = 0; j <= i; ++j) {
      const float weight = s.inverse[i * kChunk + j] * c.beta(j);
      const float decayed = weight * std::exp(s.decay[j]);
      for (int64_t d = 0; d < value_dim; ++d) added[d] += weight * c.v(j)[d];
      for (int64_t d = 0; d < key_dim; ++d) key_read[d] += decayed * c.k(j)[d];
    }
    for (int64_t r = 0; r < key_dim; ++r)
      for (int64_t d = 0; d < value_dim; ++d) added[d] -= key_read[r] * state[r * value_dim + d];
  }
}

void Read(const Chunk& c, const Scratch& s, const float* state, View<float, 3> out, int64_t key_dim,
          int64_t value_dim) {
  for (int64_t i = 0; i < c.count; ++i) {
    float* to = out.at(c.first + i, c.head);
    std::fill_n(to, value_dim, 0.0f);
    const float reach = std::exp(s.decay[i]);
    for (int64_t r = 0; r < key_dim; ++r)
      for (int64_t d = 0; d < value_dim; ++d) to[d] += reach * c.q(i)[r] * state[r * value_dim + d];
    for (int64_t j = 0; j <= i; ++j) {
      const float score = Dot(c.q(i), c.k(j), key_dim) * std::exp(s.decay[i] - s.decay[j]);
      for (int64_t d = 0; d < value_dim; ++d) to[d] += score * s.added[j * value_dim + d];
    }
  }
}

void Advance(const Chunk& c, const Scratch& s, float* state, int64_t key_dim, int64_t value_dim) {
  const float last = s.decay[c.count - 1];
  for (int64_t i = 0; i < key_dim * value_dim; ++i) state[i] *= std::exp(last);
  for (int64_t j = 0; j < c.count; ++j) {
    const float reach = std::exp(last - s.decay[j]);
    for (int64_t r = 0; r < key_dim; ++r)
      for (int64_t d = 0; d < value_dim; ++d)
        state[r * value_dim + d] += reach * c.k(j)[r] * s.added[j * value_dim + d];
  }
}

}  // namespace

size_t DeltaChunkedWorkspaceBytes(int threads, int64_t key_dim, int64_t value_dim) {
  return static_cast<size_t>(threads * ScratchFloats(key_dim, value_dim)) * sizeof(float);
}

void DeltaChunked(View<float, 3> out, View<float, 4> states, const DeltaNetInputs& in,
                  Sequences sequences, const LayerEmits& emits, Exec& exec) {
  const int64_t heads = in.v.shape[1];
  const int64_t key_dim = in.q.shape[2];
  const int64_t value_dim = in.v.shape[2];
  CHECK(out.shape == in.v.shape && heads % in.q.shape[1] == 0);
  CHECK(DeltaChunkedWorkspaceBytes(exec.pool->threads(), key_dim, value_dim) <=
        exec.workspace.bytes);
  CheckEmits(emits, sequences);
  const CheckpointLayout& kept = emits.checkpoints.layout;
  CHECK(emits.empty() ||
        (kept.heads == heads && kept.key_dim == key_dim && kept.value_dim == value_dim));
  std::atomic<int> next_scratch = 0;
  exec.pool->ParallelFor(
      static_cast<int64_t>(sequences.size()) * heads, 1, [&](int64_t begin, int64_t end) {
        const Scratch scratch =
            Carve(exec.workspace, next_scratch.fetch_add(1), key_dim, value_dim);
        for (int64_t job = begin; job < end; ++job) {
          const auto sequence = static_cast<int32_t>(job / heads);
          const SequenceSpan& s = sequences[static_cast<size_t>(sequence)];
          const int64_t head = job % heads;
          float* state = states.at(s.state_slot, head);
          if (s.context_len == 0) std::fill_n(state, key_dim * value_dim, 0.0f);
          std::span<const StateEmit> to_come = emits.OfSequence(sequence);
          for (int64_t done = 0; done < s.token_count;) {
            const int64_t position = s.context_len + done;
            const int64_t count =
                std::min<int64_t>(s.token_count - done, kChunk - position % kChunk);
            const Chunk chunk{in, s.token_begin + done, count, head,
                              head / (heads / in.q.shape[1])};
            Prepare(chunk, scratch, key_dim);
            Add(chunk, scratch, state, key_dim, value_dim);
            Read(chunk, scratch, state, out, key_dim, value_dim);
            Advance(chunk, scratch, state, key_dim, value_dim);
            done += count;
            if (to_come.empty() || to_come.front().position != position + count) continue;
            StoreHead(emits, to_come.front().checkpoint, head, state);
            to_come = to_come.subspan(1);
          }
        }
      });
}

}  // namespace nextgate::kernels::cpu
