// The forward alone: decode steps of 1 and 8 sequences at a context of 256 tokens, and prefills.
// Each line carries the bytes of weights a step reads and its multiply-adds, so it shows GB/s and
// GFLOP/s beside tokens per second.
//   NEXTGATE_MODEL=DIR bench_engine --benchmark_filter=Forward
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <set>

#include "engine/model/qwen3_next.h"
#include "tests/support/model_runner.h"

namespace nextgate {
namespace {

constexpr int kContext = 256;

std::string ModelDir() {
  const char* dir = std::getenv("NEXTGATE_MODEL");
  return dir != nullptr ? dir : NEXTGATE_SOURCE_DIR "/models/dictionary";
}

std::unique_ptr<engine::Qwen3Next> LoadModel() {
  auto model =
      engine::Qwen3Next::Load({.dir = ModelDir(), .logit_rows_max = 2048, .positions_max = 4096});
  if (!model) std::abort();
  return std::move(*model);
}

// Multiply-adds of one token's forward but for attention scores.
double MultiplyAdds(const engine::ModelConfig& c) {
  const auto h = static_cast<double>(c.hidden_size);
  const double attention =
      h * static_cast<double>(c.head_dim * (3 * c.num_attention_heads + 2 * c.num_key_value_heads));
  const double delta = h * static_cast<double>(2 * c.key_channels() + 3 * c.value_channels()) +
                       4.0 * static_cast<double>(c.value_channels() * c.linear_key_head_dim);
  const double moe = 3 * h *
                         static_cast<double>(c.num_experts_per_tok * c.moe_intermediate_size +
                                             c.shared_expert_intermediate_size) +
                     h * static_cast<double>(c.num_experts);
  return static_cast<double>(c.num_full_layers()) * attention +
         static_cast<double>(c.num_linear_layers()) * delta +
         static_cast<double>(c.num_hidden_layers) * moe + h * static_cast<double>(c.vocab_size);
}

std::vector<int32_t> Tokens(int count, int salt) {
  std::vector<int32_t> tokens;
  for (int i = 0; i < count; ++i) tokens.push_back((i * 7919 + salt * 104729) % 4000);
  return tokens;
}

void ForwardDecode(benchmark::State& state) {
  const auto model = LoadModel();
  const auto streams = static_cast<int>(state.range(0));
  testing::ModelRunner runner(*model, streams, 4096);
  std::vector<testing::ModelRunner::Chunk> prompts;
  std::vector<testing::ModelRunner::Chunk> next;
  for (int s = 0; s < streams; ++s) {
    prompts.push_back({s, Tokens(kContext, s)});
    next.push_back({s, {17 + s}});
  }
  runner.Step(prompts);
  int steps = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(runner.Step(next));
    if (++steps == 1024) {  // stay near the context that is named
      state.PauseTiming();
      for (int s = 0; s < streams; ++s) runner.Restart(s);
      runner.Step(prompts);
      steps = 0;
      state.ResumeTiming();
    }
  }
  const double tokens = static_cast<double>(state.iterations()) * streams;
  state.counters["tok/s"] = benchmark::Counter(tokens, benchmark::Counter::kIsRate);
  state.counters["GFLOP/s"] = benchmark::Counter(2e-9 * MultiplyAdds(model->config()) * tokens,
                                                 benchmark::Counter::kIsRate);
}
BENCHMARK(ForwardDecode)->Arg(1)->Arg(8)->UseRealTime()->Unit(benchmark::kMicrosecond);

void ForwardPrefill(benchmark::State& state) {
  const auto model = LoadModel();
  const auto length = static_cast<int>(state.range(0));
  testing::ModelRunner runner(*model, 1, 4096);
  for (auto _ : state) {
    runner.Restart(0);
    benchmark::DoNotOptimize(runner.Step({{0, Tokens(length, 0)}}));
  }
  const double tokens = static_cast<double>(state.iterations()) * length;
  state.counters["tok/s"] = benchmark::Counter(tokens, benchmark::Counter::kIsRate);
  state.counters["GFLOP/s"] = benchmark::Counter(2e-9 * MultiplyAdds(model->config()) * tokens,
                                                 benchmark::Counter::kIsRate);
}
BENCHMARK(ForwardPrefill)->Arg(128)->Arg(2000)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace nextgate
