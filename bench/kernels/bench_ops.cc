// The CPU bodies at the sizes of Qwen3-Next-80B, and the linear also at those of the dictionary
// model. A line reads: time | GB/s (what has to be read and written once) | GFLOP/s. The first two
// cases are this machine's ceilings, measured the same way, to hold the others against. Inputs
// rotate through more memory than the caches hold wherever a real step would find them cold.
//   bench_kernels --benchmark_repetitions=5 --benchmark_report_aggregates_only=true
#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/attention/attention_prologue.h"
#include "kernels/attention/paged_attention.h"
#include "kernels/delta_net/checkpoint.h"
#include "kernels/delta_net/delta_chunked.h"
#include "kernels/delta_net/delta_net_prologue.h"
#include "kernels/delta_net/delta_recurrent.h"
#include "kernels/embed/embedding.h"
#include "kernels/gemm/linear.h"
#include "kernels/moe/combine.h"
#include "kernels/moe/expert_mlp.h"
#include "kernels/moe/topk_router.h"
#include "kernels/norm/gated_rms_norm.h"
#include "kernels/norm/rms_norm.h"
#include "kernels/sampling/sampling.h"

namespace nextgate::kernels {
namespace {

constexpr int64_t kColdBytes = 256 << 20;  // more than any cache here

// Values in (-1, 1); uneven, so that a softmax has something to choose.
std::vector<float> Noise(int64_t size, uint32_t seed = 1) {
  std::minstd_rand engine(seed);
  std::vector<float> values(static_cast<size_t>(size));
  for (float& x : values)
    x = static_cast<float>(engine()) / static_cast<float>(std::minstd_rand::max()) * 2 - 1;
  return values;
}

struct Machine {
  ThreadPool pool{0};
  std::vector<std::byte> scratch{64 << 20};
  Exec exec{.pool = &pool, .workspace = {scratch.data(), scratch.size()}};
};

void Report(benchmark::State& state, int64_t bytes, double flops) {
  const auto times = static_cast<double>(state.iterations());
  state.counters["GB/s"] =
      benchmark::Counter(static_cast<double>(bytes) * times * 1e-9, benchmark::Counter::kIsRate);
  state.counters["GFLOP/s"] = benchmark::Counter(flops * times * 1e-9, benchmark::Counter::kIsRate);
}

// Weights [rows, cols], as many copies as make them cold.
struct ColdWeights {
  ColdWeights(DType type, int64_t rows, int64_t cols)
      : dtype(type),
        bytes_each(rows * cols * static_cast<int64_t>(DTypeBytes(type))),
        copies(std::max<int64_t>(1, kColdBytes / bytes_each)),
        memory(static_cast<size_t>(copies * bytes_each), std::byte{0x3c}),  // 0.0115 as bf16
        rows(rows),
        cols(cols) {}
  WeightView Next() {
    at = (at + 1) % copies;
    return {.data = memory.data() + at * bytes_each, .dtype = dtype, .rows = rows, .cols = cols};
  }
  DType dtype;
  int64_t bytes_each, copies;
  std::vector<std::byte> memory;
  int64_t rows, cols, at = 0;
};

void CeilingRead(benchmark::State& state) {
  Machine m;
  const std::vector<uint64_t> memory(kColdBytes / 8, 1);
  std::atomic<uint64_t> sum = 0;
  for (auto _ : state) {
    m.pool.ParallelFor(
        static_cast<int64_t>(memory.size()), 1 << 16, [&](int64_t begin, int64_t end) {
          sum += std::accumulate(memory.begin() + begin, memory.begin() + end, uint64_t{0});
        });
  }
  Report(state, kColdBytes, 0);
}
BENCHMARK(CeilingRead)->UseRealTime()->Unit(benchmark::kMicrosecond);

// A product whose weights stay in the second-level cache: the most that Linear's inner loop reaches.
void CeilingLinear(benchmark::State& state) {
  Machine m;
  constexpr int64_t kTokens = 512, kRows = 96, kCols = 512;
  const std::vector<float> x = Noise(kTokens * kCols), w = Noise(kRows * kCols);
  std::vector<float> out(kTokens * kRows);
  for (auto _ : state)
    cpu::Linear({out.data(), {kTokens, kRows}}, {x.data(), {kTokens, kCols}},
                {.data = w.data(), .dtype = DType::kF32, .rows = kRows, .cols = kCols}, m.exec);
  Report(state, 0, 2.0 * kTokens * kRows * kCols);
}
BENCHMARK(CeilingLinear)->UseRealTime()->Unit(benchmark::kMicrosecond);

void Linear(benchmark::State& state, DType dtype, int64_t rows, int64_t cols, int64_t tokens) {
  Machine m;
  ColdWeights weights(dtype, rows, cols);
  const std::vector<float> x = Noise(tokens * cols);
  std::vector<float> out(static_cast<size_t>(tokens * rows));
  for (auto _ : state)
    cpu::Linear({out.data(), {tokens, rows}}, {x.data(), {tokens, cols}}, weights.Next(), m.exec);
  Report(state, weights.bytes_each + tokens * (rows + cols) * 4,
         2.0 * static_cast<double>(tokens * rows * cols));
}
BENCHMARK_CAPTURE(Linear, dictionary_head_1, DType::kBF16, 4096, 256, 1)->UseRealTime();
BENCHMARK_CAPTURE(Linear, dictionary_head_8, DType::kBF16, 4096, 256, 8)->UseRealTime();
BENCHMARK_CAPTURE(Linear, bf16_12288x2048_1, DType::kBF16, 12288, 2048, 1)->UseRealTime();
BENCHMARK_CAPTURE(Linear, bf16_12288x2048_64, DType::kBF16, 12288, 2048, 64)->UseRealTime();
BENCHMARK_CAPTURE(Linear, f32_2048x2048_1, DType::kF32, 2048, 2048, 1)->UseRealTime();

void Norm(benchmark::State& state) {
  Machine m;
  const int64_t tokens = state.range(0);
  constexpr int64_t kHidden = 2048;
  const std::vector<float> x = Noise(tokens * kHidden), weight = Noise(kHidden);
  std::vector<float> out(x.size());
  for (auto _ : state)
    cpu::RmsNorm({out.data(), {tokens, kHidden}}, {x.data(), {tokens, kHidden}},
                 {weight.data(), {kHidden}}, 1e-6f, m.exec);
  Report(state, tokens * kHidden * 8, 4.0 * static_cast<double>(tokens * kHidden));
}
BENCHMARK(Norm)->Arg(1)->Arg(512)->UseRealTime();

void AddNorm(benchmark::State& state) {
  Machine m;
  const int64_t tokens = state.range(0);
  constexpr int64_t kHidden = 2048;
  const std::vector<float> x = Noise(tokens * kHidden), weight = Noise(kHidden);
  std::vector<float> residual(x.size()), out(x.size());
  for (auto _ : state)
    cpu::AddRmsNorm({out.data(), {tokens, kHidden}}, {residual.data(), {tokens, kHidden}},
                    {x.data(), {tokens, kHidden}}, {weight.data(), {kHidden}}, 1e-6f, m.exec);
  Report(state, tokens * kHidden * 16, 5.0 * static_cast<double>(tokens * kHidden));
}
BENCHMARK(AddNorm)->Arg(1)->Arg(512)->UseRealTime();

// 32 value heads of 128.
void GatedNorm(benchmark::State& state) {
  Machine m;
  const int64_t tokens = state.range(0);
  constexpr int64_t kHeads = 32, kDim = 128, kWidth = kHeads * kDim;
  const std::vector<float> x = Noise(tokens * kWidth), gate = Noise(tokens * kWidth, 2),
                           weight = Noise(kDim);
  std::vector<float> out(x.size());
  for (auto _ : state)
    cpu::GatedRmsNorm({out.data(), {tokens, kWidth}}, {x.data(), {tokens, kHeads, kDim}},
                      {gate.data(), {tokens, kWidth}}, {weight.data(), {kDim}}, 1e-6f, m.exec);
  Report(state, tokens * kWidth * 12, 8.0 * static_cast<double>(tokens * kWidth));
}
BENCHMARK(GatedNorm)->Arg(1)->Arg(512)->UseRealTime();

// Rows of a table of 151,936 by 2,048, far from each other.
void Embed(benchmark::State& state) {
  Machine m;
  const int64_t tokens = state.range(0);
  constexpr int64_t kVocab = 151936, kHidden = 2048;
  ColdWeights table(DType::kBF16, kVocab, kHidden);
  std::vector<float> out(static_cast<size_t>(tokens * kHidden));
  std::vector<int32_t> ids(static_cast<size_t>(tokens));
  int64_t at = 0;
  for (auto _ : state) {
    for (int32_t& id : ids) id = static_cast<int32_t>(at = (at + 76543) % kVocab);
    cpu::Embedding({out.data(), {tokens, kHidden}}, ids, table.Next(), m.exec);
  }
  Report(state, tokens * kHidden * 6, 0);
}
BENCHMARK(Embed)->Arg(1)->Arg(512)->UseRealTime();

// 16 query heads, 2 KV heads of 256, 64 dims rotated: one sequence whose context is 64.
void AttentionPrologue(benchmark::State& state) {
  Machine m;
  constexpr int64_t kHeads = 16, kKvHeads = 2, kDim = 256, kRotary = 64, kContext = 64;
  constexpr int64_t kRow = kHeads * 2 * kDim + 2 * kKvHeads * kDim;
  const int64_t tokens = state.range(0);
  const int64_t blocks = (kContext + tokens + kBlockTokens - 1) / kBlockTokens;
  const std::vector<float> qkv = Noise(tokens * kRow), norm = Noise(kDim),
                           freq = Noise(kRotary / 2);
  std::vector<float> q(static_cast<size_t>(tokens * kHeads * kDim)), gate(q.size());
  std::vector<float> k(static_cast<size_t>(blocks * kKvHeads * kBlockTokens * kDim)), v(k.size());
  std::vector<int32_t> table(static_cast<size_t>(blocks));
  std::iota(table.begin(), table.end(), 0);
  const std::array<int64_t, 4> shape = {blocks, kKvHeads, kBlockTokens, kDim};
  const SequenceSpan span{
      .token_count = static_cast<int32_t>(tokens), .context_len = kContext, .block_table = table};
  const AttentionPrologueWeights weights{
      {norm.data(), {kDim}}, {norm.data(), {kDim}}, {freq.data(), {kRotary / 2}}, 1e-6f};
  for (auto _ : state)
    cpu::AttentionPrologue({q.data(), {tokens, kHeads, kDim}},
                           {gate.data(), {tokens, kHeads * kDim}},
                           {{k.data(), shape}, {v.data(), shape}}, {qkv.data(), {tokens, kRow}},
                           {&span, 1}, weights, m.exec);
  Report(state, tokens * kRow * 8, 6.0 * static_cast<double>(tokens * (kHeads + kKvHeads) * kDim));
}
BENCHMARK(AttentionPrologue)->Arg(1)->Arg(512)->UseRealTime();

// One decode step of `sequences` at a context of `context`: 16 query heads, 2 KV heads of 256.
void Attention(benchmark::State& state) {
  Machine m;
  constexpr int64_t kHeads = 16, kKvHeads = 2, kDim = 256;
  const int64_t sequences = state.range(0), context = state.range(1);
  const int64_t blocks_each = (context + kBlockTokens) / kBlockTokens;
  const int64_t blocks = sequences * blocks_each;
  std::vector<float> k = Noise(blocks * kKvHeads * kBlockTokens * kDim, 2);
  std::vector<float> v = Noise(blocks * kKvHeads * kBlockTokens * kDim, 3);
  const std::vector<float> q = Noise(sequences * kHeads * kDim);
  const std::vector<float> gate = Noise(sequences * kHeads * kDim);
  std::vector<float> out(q.size());
  std::vector<int32_t> table(static_cast<size_t>(blocks));
  std::iota(table.begin(), table.end(), 0);
  std::shuffle(table.begin(), table.end(), std::minstd_rand(4));
  std::vector<SequenceSpan> spans;
  for (int64_t s = 0; s < sequences; ++s)
    spans.push_back({.token_begin = static_cast<int32_t>(s),
                     .token_count = 1,
                     .context_len = static_cast<int32_t>(context),
                     .block_table = std::span(table).subspan(static_cast<size_t>(s * blocks_each),
                                                             static_cast<size_t>(blocks_each))});
  const std::array<int64_t, 4> shape = {blocks, kKvHeads, kBlockTokens, kDim};
  const PagedKv kv{{k.data(), shape}, {v.data(), shape}};
  for (auto _ : state)
    cpu::PagedAttention({out.data(), {sequences, kHeads * kDim}},
                        {q.data(), {sequences, kHeads, kDim}},
                        {gate.data(), {sequences, kHeads * kDim}}, kv, spans, 1.0f / 16, m.exec);
  Report(state, sequences * (context + 1) * kKvHeads * kDim * 8,
         4.0 * static_cast<double>(sequences * (context + 1) * kHeads * kDim));
}
BENCHMARK(Attention)->Args({1, 256})->Args({1, 2048})->Args({8, 2048})->UseRealTime();

// 16 key heads, 32 value heads of 128: one layer of the delta rule over one sequence.
struct DeltaCase {
  static constexpr int64_t kKeyHeads = 16, kHeads = 32, kDim = 128;
  explicit DeltaCase(int64_t count)
      : tokens(count),
        q(Noise(tokens * kKeyHeads * kDim, 1)),
        k(Noise(tokens * kKeyHeads * kDim, 2)),
        v(Noise(tokens * kHeads * kDim, 3)),
        beta(static_cast<size_t>(tokens * kHeads), 0.5f),
        g(static_cast<size_t>(tokens * kHeads), -0.1f),
        states(Noise(kHeads * kDim * kDim, 4)),
        out(v.size()) {
    for (float& x : q) x *= 0.1f;  // about unit length, as the prologue leaves them
    for (float& x : k) x *= 0.1f;
  }
  DeltaNetInputs inputs() {
    return {.q = {q.data(), {tokens, kKeyHeads, kDim}},
            .k = {k.data(), {tokens, kKeyHeads, kDim}},
            .v = {v.data(), {tokens, kHeads, kDim}},
            .beta = {beta.data(), {tokens, kHeads}},
            .g = {g.data(), {tokens, kHeads}}};
  }
  View<float, 3> output() { return {out.data(), {tokens, kHeads, kDim}}; }
  View<float, 4> slots() { return {states.data(), {1, kHeads, kDim, kDim}}; }
  // Read and written once; per element: decay, k·S, rank-one update, S·q.
  void ReportTo(benchmark::State& state) const {
    Report(state, kHeads * kDim * kDim * 8 + tokens * (2 * kKeyHeads + 2 * kHeads) * kDim * 4,
           7.0 * static_cast<double>(tokens * kHeads * kDim * kDim));
  }
  int64_t tokens;
  std::vector<float> q, k, v, beta, g, states, out;
};

void DeltaRecurrent(benchmark::State& state) {
  Machine m;
  DeltaCase c(state.range(0));
  const SequenceSpan span{.token_count = static_cast<int32_t>(c.tokens), .context_len = 64};
  for (auto _ : state)
    cpu::DeltaRecurrent(c.output(), c.slots(), c.inputs(), {&span, 1}, {}, m.exec);
  c.ReportTo(state);
}
BENCHMARK(DeltaRecurrent)->Arg(1)->Arg(512)->UseRealTime()->Unit(benchmark::kMicrosecond);

void DeltaChunked(benchmark::State& state) {
  Machine m;
  DeltaCase c(state.range(0));
  const SequenceSpan span{.token_count = static_cast<int32_t>(c.tokens), .context_len = 64};
  for (auto _ : state) cpu::DeltaChunked(c.output(), c.slots(), c.inputs(), {&span, 1}, {}, m.exec);
  c.ReportTo(state);
}
BENCHMARK(DeltaChunked)->Arg(512)->UseRealTime()->Unit(benchmark::kMicrosecond);

// 16 key heads, 32 value heads of 128, 4 taps.
void DeltaNetPrologue(benchmark::State& state) {
  Machine m;
  DeltaCase c(state.range(0));
  constexpr int64_t kKey = DeltaCase::kKeyHeads * DeltaCase::kDim;
  constexpr int64_t kValue = DeltaCase::kHeads * DeltaCase::kDim;
  constexpr int64_t kChannels = 2 * kKey + kValue, kTaps = 4, kRow = 2 * kKey + 2 * kValue;
  const std::vector<float> qkvz = Noise(c.tokens * kRow),
                           ba = Noise(c.tokens * 2 * DeltaCase::kHeads);
  const std::vector<float> conv = Noise(kChannels * kTaps), per_head = Noise(DeltaCase::kHeads);
  std::vector<float> conv_state = Noise(kChannels * (kTaps - 1));
  const SequenceSpan span{.token_count = static_cast<int32_t>(c.tokens), .context_len = 64};
  const DeltaNetPrologueWeights weights{{conv.data(), {kChannels, kTaps}},
                                        {per_head.data(), {DeltaCase::kHeads}},
                                        {per_head.data(), {DeltaCase::kHeads}}};
  const DeltaNetInputs out = c.inputs();
  for (auto _ : state)
    cpu::DeltaNetPrologue(
        out, {conv_state.data(), {1, kChannels, kTaps - 1}}, {qkvz.data(), {c.tokens, kRow}},
        {ba.data(), {c.tokens, 2 * DeltaCase::kHeads}}, {&span, 1}, weights, {}, m.exec);
  Report(state, c.tokens * kChannels * 8, 2.0 * static_cast<double>(c.tokens * kChannels * kTaps));
}
BENCHMARK(DeltaNetPrologue)->Arg(1)->Arg(512)->UseRealTime();

// Checkpoints of one layer: 32 heads of 128 × 128 and 8,192 channels of 3. Working states rotate, and
// so do the checkpoints; bytes are those of both.
struct CheckpointCase {
  static constexpr int64_t kHeads = 32, kDim = 128, kChannels = 8192, kKept = 3;
  static constexpr int64_t kHeadFloats = kDim * kDim, kConvFloats = kChannels * kKept;
  static constexpr int64_t kStateBytes = (kHeads * kHeadFloats + kConvFloats) * 4;

  explicit CheckpointCase(StateFormat format)
      : recurrent(Noise(kSlots * kHeads * kHeadFloats, 1)), conv(Noise(kSlots * kConvFloats, 2)) {
    const CheckpointLayout layout{format, 1, kHeads, kDim, kDim, kChannels, kKept};
    bytes.resize(static_cast<size_t>(kSlots * layout.Bytes()) + 64);
    auto* data = bytes.data() + (64 - reinterpret_cast<uintptr_t>(bytes.data()) % 64);
    checkpoints = {data, kSlots, layout.Bytes(), layout};
    for (int32_t slot = 0; slot < kSlots; ++slot) Store(slot);
  }
  void Store(int32_t slot) {
    const LayerEmits to{.checkpoints = checkpoints};
    m.pool.ParallelFor(kHeads, 1, [&](int64_t begin, int64_t end) {
      for (int64_t h = begin; h < end; ++h)
        cpu::StoreHead(to, slot, h, recurrent.data() + (slot * kHeads + h) * kHeadFloats);
    });
    m.pool.ParallelFor(kChannels, 16, [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c)
        cpu::StoreChannel(to, slot, c, conv.data() + slot * kConvFloats + c * kKept);
    });
  }
  void Load(int32_t slot) {
    const StateLoad load{slot, slot};
    cpu::LoadStates({recurrent.data(), {kSlots, 1, kHeads, kDim, kDim}},
                    {conv.data(), {kSlots, 1, kChannels, kKept}}, {&load, 1}, checkpoints, m.exec);
  }
  int32_t Next() { return at = (at + 1) % kSlots; }
  void ReportTo(benchmark::State& state) const {
    Report(state, kStateBytes + checkpoints.layout.Bytes(), 0);
  }

  static constexpr int32_t kSlots = 64;  // 140 MB of states
  Machine m;
  std::vector<float> recurrent, conv;
  std::vector<std::byte> bytes;
  Checkpoints checkpoints;
  int32_t at = 0;
};

void CheckpointStore(benchmark::State& state, StateFormat format) {
  CheckpointCase c(format);
  for (auto _ : state) c.Store(c.Next());
  c.ReportTo(state);
}
BENCHMARK_CAPTURE(CheckpointStore, fp32, StateFormat::kFp32)->UseRealTime();
BENCHMARK_CAPTURE(CheckpointStore, bf16, StateFormat::kBf16)->UseRealTime();
BENCHMARK_CAPTURE(CheckpointStore, int8, StateFormat::kInt8)->UseRealTime();

void CheckpointLoad(benchmark::State& state, StateFormat format) {
  CheckpointCase c(format);
  for (auto _ : state) c.Load(c.Next());
  c.ReportTo(state);
}
BENCHMARK_CAPTURE(CheckpointLoad, fp32, StateFormat::kFp32)->UseRealTime();
BENCHMARK_CAPTURE(CheckpointLoad, bf16, StateFormat::kBf16)->UseRealTime();
BENCHMARK_CAPTURE(CheckpointLoad, int8, StateFormat::kInt8)->UseRealTime();

void Router(benchmark::State& state) {
  Machine m;
  const int64_t tokens = state.range(0);
  constexpr int64_t kExperts = 512, kTop = 10;
  const std::vector<float> logits = Noise(tokens * kExperts);
  std::vector<int32_t> ids(static_cast<size_t>(tokens * kTop));
  std::vector<float> weights(ids.size());
  for (auto _ : state)
    cpu::TopKRouter({ids.data(), {tokens, kTop}}, {weights.data(), {tokens, kTop}},
                    {logits.data(), {tokens, kExperts}}, true, m.exec);
  Report(state, tokens * (kExperts * 4 + kTop * 8), 0);
}
BENCHMARK(Router)->Arg(1)->Arg(64)->UseRealTime();

// 10 of 512 experts of width 512 over a hidden size of 2048, each token its own ten: bf16.
void Experts(benchmark::State& state) {
  Machine m;
  const int64_t tokens = state.range(0);
  constexpr int64_t kExperts = 128, kTop = 10, kHidden = 2048, kWidth = 512;  // a quarter: 800 MB
  ColdWeights memory(DType::kBF16, kExperts * 3 * kWidth, kHidden);
  const auto* bytes = static_cast<const std::byte*>(memory.Next().data);
  std::vector<MlpWeights> experts;
  for (int64_t e = 0; e < kExperts; ++e, bytes += 3 * kWidth * kHidden * 2)
    experts.push_back({{bytes, DType::kBF16, 2 * kWidth, kHidden},
                       {bytes + 2 * kWidth * kHidden * 2, DType::kBF16, kHidden, kWidth}});
  const std::vector<float> x = Noise(tokens * kHidden);
  std::vector<float> out(static_cast<size_t>(tokens * kTop * kHidden));
  std::vector<int32_t> ids(static_cast<size_t>(tokens * kTop));
  int64_t first = 0;
  for (auto _ : state) {
    for (size_t i = 0; i < ids.size(); ++i)
      ids[i] = static_cast<int32_t>((first + static_cast<int64_t>(i)) % kExperts);
    first += static_cast<int64_t>(ids.size());
    cpu::ExpertMlp({out.data(), {tokens, kTop, kHidden}}, {x.data(), {tokens, kHidden}},
                   {ids.data(), {tokens, kTop}}, experts, m.exec);
  }
  const int64_t touched = std::min(kExperts, tokens * kTop);
  Report(state, touched * 3 * kWidth * kHidden * 2,
         2.0 * static_cast<double>(tokens * kTop * 3 * kWidth * kHidden));
}
BENCHMARK(Experts)->Arg(1)->Arg(8)->Arg(64)->UseRealTime()->Unit(benchmark::kMicrosecond);

// The shared expert: one SwiGLU of width 512, bf16.
void Dense(benchmark::State& state) {
  Machine m;
  const int64_t tokens = state.range(0);
  constexpr int64_t kHidden = 2048, kWidth = 512;
  ColdWeights gate_up(DType::kBF16, 2 * kWidth, kHidden), down(DType::kBF16, kHidden, kWidth);
  const std::vector<float> x = Noise(tokens * kHidden);
  std::vector<float> out(x.size());
  for (auto _ : state)
    cpu::DenseMlp({out.data(), {tokens, kHidden}}, {x.data(), {tokens, kHidden}},
                  {gate_up.Next(), down.Next()}, m.exec);
  Report(state, 3 * kWidth * kHidden * 2 + tokens * kHidden * 8,
         6.0 * static_cast<double>(tokens * kWidth * kHidden));
}
BENCHMARK(Dense)->Arg(1)->Arg(64)->UseRealTime();

void Combine(benchmark::State& state) {
  Machine m;
  const int64_t tokens = state.range(0);
  constexpr int64_t kTop = 10, kHidden = 2048;
  const std::vector<float> experts = Noise(tokens * kTop * kHidden), weights = Noise(tokens * kTop),
                           shared = Noise(tokens * kHidden), gate = Noise(tokens);
  std::vector<float> residual(shared.size());
  for (auto _ : state)
    cpu::CombineExperts({residual.data(), {tokens, kHidden}},
                        {experts.data(), {tokens, kTop, kHidden}}, {weights.data(), {tokens, kTop}},
                        {shared.data(), {tokens, kHidden}}, {gate.data(), {tokens, 1}}, m.exec);
  Report(state, tokens * kHidden * (kTop + 3) * 4,
         2.0 * static_cast<double>(tokens * kHidden * (kTop + 1)));
}
BENCHMARK(Combine)->Arg(1)->Arg(512)->UseRealTime();

void Sample(benchmark::State& state, float temperature, float top_p, int32_t top_k) {
  Machine m;
  constexpr int64_t kVocab = 151936;
  const std::vector<float> logits = Noise(kVocab);
  SamplingRow row{.temperature = temperature, .top_p = top_p, .top_k = top_k, .seed = 1};
  int32_t token = 0;
  for (auto _ : state) {
    ++row.position;
    cpu::SampleTokens({&token, {1}}, {logits.data(), {1, kVocab}}, {&row, 1}, m.exec);
  }
  Report(state, kVocab * 4, 0);
}
BENCHMARK_CAPTURE(Sample, greedy, 0.0f, 1.0f, 0)->UseRealTime();
BENCHMARK_CAPTURE(Sample, all, 1.0f, 1.0f, 0)->UseRealTime();
BENCHMARK_CAPTURE(Sample, top_k_20_top_p_0_8, 0.7f, 0.8f, 20)->UseRealTime();

}  // namespace
}  // namespace nextgate::kernels
