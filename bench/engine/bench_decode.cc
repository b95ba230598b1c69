// How fast the whole engine is, beside what the machine could do: decode of one and of eight
// streams, and prefill. Each line: median tokens/s of the runs [slowest … fastest], the bytes and
// operations a token takes (counted from the checkpoint's shape), their share of what this
// machine's cores reach in a plain loop, and a hash of the tokens, which must not change when only
// speed was worked on.
//
//   build/release/bench_engine [MODEL [runs [threads]]]
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "base/cpu_quota.h"
#include "base/hash.h"
#include "base/log.h"
#include "engine/engine.h"
#include "engine/model/config.h"
#include "engine/prefix/kv_pool.h"
#include "engine/prefix/state_pool.h"

namespace nextgate::engine {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::time_point since) {
  return std::chrono::duration<double>(Clock::now() - since).count();
}

#ifdef __x86_64__
#define NEXTGATE_CLONES \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define NEXTGATE_CLONES
#endif

// Reads the buffer `rounds` times.
NEXTGATE_CLONES float ReadAll(const float* data, int64_t count, int rounds) {
  constexpr int kLanes = 64;
  float sum[kLanes] = {};
  for (int round = 0; round < rounds; ++round) {
    for (int64_t i = 0; i + kLanes <= count; i += kLanes)
      for (int j = 0; j < kLanes; ++j) sum[j] += data[i + j];
  }
  return std::accumulate(sum, sum + kLanes, 0.0f);
}

// 192 independent chains of multiply-add: enough to fill two units of 16 lanes and latency 4 to 6.
constexpr int kChains = 192;
NEXTGATE_CLONES float MultiplyAdd(int64_t rounds, float a) {
  float x[kChains] = {};
  for (int64_t round = 0; round < rounds; ++round)
    for (int j = 0; j < kChains; ++j) x[j] = x[j] * a + a;
  return std::accumulate(x, x + kChains, 0.0f);
}

template <class Body>
double SecondsOnThreads(int threads, const Body& body) {
  const auto start = Clock::now();
  {
    std::vector<std::jthread> workers;
    for (int i = 0; i < threads; ++i) workers.emplace_back([&body, i] { body(i); });
  }
  return Seconds(start);
}

struct Machine {
  int threads = 1;
  double read_gbps = 0;  // of a buffer as large as the weights, again and again
  double arithmetic_gflops = 0;
};

Machine Measure(int threads, int64_t weight_bytes) {
  Machine machine{.threads = threads};
  const auto floats = static_cast<size_t>(weight_bytes / threads) / sizeof(float);
  const std::vector<std::vector<float>> parts(static_cast<size_t>(threads),
                                              std::vector<float>(floats, 1.0f));
  volatile float sink = 0;
  constexpr int kReads = 100;
  constexpr int64_t kRounds = 10'000'000;
  for (int run = 0; run < 3; ++run) {
    const double read_s = SecondsOnThreads(threads, [&](int i) {
      sink = ReadAll(parts[i].data(), static_cast<int64_t>(floats), kReads);
    });
    machine.read_gbps = std::max(
        machine.read_gbps, 1e-9 * kReads * threads * static_cast<double>(floats * 4) / read_s);
    const double add_s = SecondsOnThreads(threads, [&](int) { sink = MultiplyAdd(kRounds, 0.5f); });
    machine.arithmetic_gflops =
        std::max(machine.arithmetic_gflops,
                 1e-9 * static_cast<double>(kRounds) * threads * kChains * 2 / add_s);
  }
  return machine;
}

// What one step over `rows` rows of as many sequences must read, and multiply-adds per row.
struct StepCost {
  double bytes = 0;
  double flops_per_row = 0;
};

StepCost CostOf(const ModelConfig& c, double bytes_per_weight, int rows, double context) {
  const double h = static_cast<double>(c.hidden_size);
  const double full = static_cast<double>(c.num_full_layers());
  const double linear = static_cast<double>(c.num_linear_layers());
  const double attention =
      h * static_cast<double>(c.head_dim) *
      static_cast<double>(3 * c.num_attention_heads + 2 * c.num_key_value_heads);
  const double delta = h * static_cast<double>(c.conv_channels() + 2 * c.value_channels() +
                                               2 * c.linear_num_value_heads);
  const double sparse =
      static_cast<double>(std::count(c.sparse_layers.begin(), c.sparse_layers.end(), true));
  const double dense = static_cast<double>(c.num_hidden_layers) - sparse;
  const double expert = 3 * h * static_cast<double>(c.moe_intermediate_size);
  const double always = full * attention + linear * delta + h * static_cast<double>(c.vocab_size) +
                        dense * 3 * h * static_cast<double>(c.intermediate_size) +
                        sparse * (h * static_cast<double>(c.num_experts) +
                                  3 * h * static_cast<double>(c.shared_expert_intermediate_size));
  const double experts = static_cast<double>(std::max<int64_t>(1, c.num_experts));
  const double top = static_cast<double>(c.num_experts_per_tok);
  const double distinct = experts * (1 - std::pow(1 - top / experts, rows));  // if chosen at random
  const double state = static_cast<double>(StatePool::SlotBytes(c));
  const double kv = static_cast<double>(KvPool::BlockBytes(c)) / kBlockTokens * context;
  StepCost cost;
  cost.bytes = bytes_per_weight * (always + sparse * distinct * expert) + rows * (2 * state + kv);
  cost.flops_per_row = 2 * (always + sparse * top * expert) + 8 * state / sizeof(float) + kv;
  return cost;
}

struct Outcome {
  double tokens_per_s = 0;
  uint32_t hash = 0;
};

struct Workload {
  const char* name;
  int streams;
  int prompt;
  int generate;  // 0: prefill is timed
};

// Greedy; eos is ignored. Decode is timed from everybody's first token to everybody's last.
Outcome RunOnce(Engine& engine, const Workload& load) {
  std::vector<std::unique_ptr<Generation>> generations;
  const auto start = Clock::now();
  for (int stream = 0; stream < load.streams; ++stream) {
    GenerationRequest request;
    for (int i = 0; i < load.prompt; ++i)
      request.prompt.push_back((i * 37 + stream * 101 + 11) %
                               std::min(4000, engine.info().vocab_size));
    request.max_tokens = load.generate;
    request.ignore_eos = true;
    request.sampling.temperature = 0;
    auto generation = engine.Submit(std::move(request));
    if (!generation) {
      fmt::print(stderr, "{}\n", generation.error().message);
      std::exit(1);
    }
    generations.push_back(std::move(*generation));
  }
  std::string tokens;
  double decode_start_s = 0;
  double end_s = 0;
  int counted = 0;
  for (auto& generation : generations) {
    bool first = true;
    for (bool done = false; !done;) {
      const GenerationEvent event = generation->Next(std::chrono::milliseconds(1000));
      if (first && !event.tokens.empty()) {
        decode_start_s = std::max(decode_start_s, Seconds(start));
        counted += load.generate - static_cast<int>(event.tokens.size());
        first = false;
      }
      for (const auto& token : event.tokens)
        tokens.append(reinterpret_cast<const char*>(&token.id), sizeof(token.id));
      done = event.finished.has_value();
    }
    end_s = std::max(end_s, Seconds(start));
  }
  const auto hash = static_cast<uint32_t>(HashBytes(tokens).low);
  if (load.generate == 0) return {load.streams * load.prompt / end_s, hash};
  // Streams start together and run in lockstep: all of the time belongs to all of the tokens.
  if (load.streams > 1) return {load.streams * load.generate / end_s, hash};
  return {counted / (end_s - decode_start_s), hash};
}

void Report(Engine& engine, const ModelConfig& shape, const Machine& machine, const Workload& load,
            int runs) {
  RunOnce(engine, load);  // pages and caches
  std::vector<double> speeds;
  uint32_t hash = 0;
  for (int run = 0; run < runs; ++run) {
    const Outcome outcome = RunOnce(engine, load);
    speeds.push_back(outcome.tokens_per_s);
    hash = outcome.hash;
  }
  std::sort(speeds.begin(), speeds.end());
  const double median = speeds[speeds.size() / 2];
  const double bytes_per_weight = static_cast<double>(engine.info().weight_bytes) /
                                  static_cast<double>(engine.info().parameters);
  const int rows = load.generate == 0 ? std::min(2048, load.prompt) : load.streams;
  const double context = load.prompt + load.generate / 2.0;
  const StepCost cost = CostOf(shape, bytes_per_weight, rows, context);
  const double gbps = 1e-9 * cost.bytes * median / rows;
  const double gflops = 1e-9 * cost.flops_per_row * median;
  fmt::print(
      "{:<22} {:>8.0f} tok/s [{:.0f} … {:.0f}]  {:>6.2f} GB/s = {:>3.0f} % of reading  "
      "{:>6.1f} GFLOP/s = {:>3.0f} % of arithmetic  tokens {:08x}\n",
      load.name, median, speeds.front(), speeds.back(), gbps, 100 * gbps / machine.read_gbps,
      gflops, 100 * gflops / machine.arithmetic_gflops, hash);
}

int Main(int argc, char** argv) {
  SetLogLevel(LogLevel::kWarning);
  EngineConfig config;
  config.model_dir = argc > 1 ? argv[1] : NEXTGATE_SOURCE_DIR "/models/dictionary";
  const int runs = argc > 2 ? std::atoi(argv[2]) : 5;
  config.num_threads = argc > 3 ? std::atoi(argv[3]) : 0;
  config.enable_prefix_caching = false;  // every run computes its prompt
  auto engine = Engine::Open(config);
  auto shape = ReadModelConfig(config.model_dir, "");
  if (!engine || !shape || runs < 1) {
    fmt::print(stderr, "{}\n", !engine ? engine.error().message : "bad arguments");
    return 1;
  }
  const int threads = config.num_threads > 0 ? config.num_threads : UsableProcessors();
  const Machine machine = Measure(threads, (*engine)->info().weight_bytes);
  fmt::print(
      "{}: {:.1f} M parameters, {:.1f} MB of weights; {} threads read {:.1f} GB/s (a buffer of "
      "that size), {:.0f} GFLOP/s; median of {} runs\n",
      config.model_dir, 1e-6 * static_cast<double>((*engine)->info().parameters),
      1e-6 * static_cast<double>((*engine)->info().weight_bytes), threads, machine.read_gbps,
      machine.arithmetic_gflops, runs);
  for (const Workload& load :
       {Workload{"decode, one stream", 1, 64, 512}, Workload{"decode, eight streams", 8, 64, 256},
        Workload{"prefill of 2,048", 1, 2048, 0}})
    Report(**engine, *shape, machine, load, runs);
  return 0;
}

}  // namespace
}  // namespace nextgate::engine

int main(int argc, char** argv) { return nextgate::engine::Main(argc, argv); }
