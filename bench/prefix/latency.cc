// Times through the engine, without a gateway.
#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>

#include "bench/prefix/bench_prefix.h"
#include "engine/prefix/kv_pool.h"

namespace nextgate::bench {
namespace {

using engine::kBlockTokens;
constexpr int kRuns = 5;

engine::EngineConfig Config() {
  engine::EngineConfig config;
  config.model_dir = NEXTGATE_SOURCE_DIR "/models/dictionary";
  config.max_num_seqs = 8;
  return config;
}

std::vector<int32_t> Joined(std::vector<int32_t> a, const std::vector<int32_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace

int TimeToFirstToken() {
  constexpr int32_t kOwn = 30;
  fmt::print(
      "a shared beginning of P tokens, {} of one's own, five sightings; ms to the first token, "
      "median "
      "[spread] of {} beginnings; R/r: tokens resumed / replayed of the beginning\n\n"
      "| P | known border | 1st (cold) | 2nd | R/r | 3rd | R/r | 4th | 5th | 2nd / 1st |\n"
      "|---|---|---|---|---|---|---|---|---|---|\n",
      kOwn, kRuns);
  const auto engine = OpenEngine(Config());
  uint32_t seed = 0;
  Ask(*engine, RandomTokens(++seed, 2000), 0, 1);  // pages
  for (const bool border : {true, false})
    for (const int32_t shared : {64, 128, 256, 512, 1000, 2000, 3000, 3500}) {
      std::vector<double> ms[5];
      int32_t cached[5] = {};
      for (int run = 0; run < kRuns; ++run) {
        const auto beginning = RandomTokens(++seed, shared);
        for (int sighting = 0; sighting < 5; ++sighting) {
          const Answer answer =
              Ask(*engine, Joined(beginning, RandomTokens(++seed, kOwn)), border ? shared : 0, 1);
          ms[sighting].push_back(answer.first_token_ms);
          cached[sighting] = answer.cached_tokens;
        }
      }
      const auto reused = [&](int sighting) {
        return fmt::format("{}/{}", cached[sighting], shared - cached[sighting]);
      };
      fmt::print("| {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.1f} % |\n", shared,
                 border ? "yes" : "no", Spread(ms[0]), Spread(ms[1]), reused(1), Spread(ms[2]),
                 reused(2), Spread(ms[3]), Spread(ms[4]),
                 100 * Percentile(ms[1], 50) / Percentile(ms[0], 50));
    }
  return 0;
}

int DecodeSpeed() {
  constexpr int kTokens = 1000;
  engine::EngineConfig off = Config();
  off.enable_prefix_caching = false;
  const auto with = OpenEngine(Config());
  const auto without = OpenEngine(off);
  fmt::print(
      "{} tokens after a prompt of 64, tokens/s, median [spread] of 11 runs in turn\n\n"
      "| streams | without the prefix cache | with | with / without |\n|---|---|---|---|\n",
      kTokens);
  uint32_t seed = 0;
  for (const int streams : {1, 4}) {
    std::vector<double> speeds[2];
    for (int run = 0; run < 22; ++run) {
      std::vector<std::jthread> clients;
      std::atomic<double> slowest = 0;
      engine::Engine& engine = run % 2 == 0 ? *without : *with;
      for (int i = 0; i < streams; ++i)
        clients.emplace_back([&, prompt = RandomTokens(++seed, 64)] {
          const Answer answer = Ask(engine, prompt, 0, kTokens);
          double ms = 0;
          for (const double gap : answer.gaps_ms) ms += gap;
          for (double seen = slowest; seen < ms && !slowest.compare_exchange_weak(seen, ms);) {
          }
        });
      clients.clear();
      speeds[run % 2].push_back(1000.0 * streams * kTokens / slowest);
    }
    fmt::print("| {} | {} | {} | {:.3f} |\n", streams, Spread(speeds[0], "{:.0f}"),
               Spread(speeds[1], "{:.0f}"), Percentile(speeds[1], 50) / Percentile(speeds[0], 50));
  }
  return 0;
}

namespace {

struct Moves {
  std::string where;
  engine::EngineConfig config;
};

// One stream decodes while another client asks 12 prompts of 1,200 tokens again and again, each with
// one block of its own to compute.
void RunMoves(const Moves& moves, std::vector<double>* gaps, engine::PrefixStats* stats,
              std::vector<double>* first_ms) {
  constexpr int kPrompts = 12;
  const auto engine = OpenEngine(moves.config);
  for (uint32_t i = 0; i < kPrompts; ++i) Ask(*engine, RandomTokens(i, 1200), 0, 1);
  std::this_thread::sleep_for(std::chrono::seconds(1));
  std::atomic<bool> stop = false;
  std::jthread other([&] {
    for (uint32_t i = 0; !stop; ++i) {
      const Answer answer = Ask(*engine, RandomTokens(i % kPrompts, 1200), 0, 1);
      first_ms->push_back(answer.first_token_ms);
    }
  });
  for (int run = 0; run < 3; ++run) {
    const Answer answer =
        Ask(*engine, RandomTokens(1000 + static_cast<uint32_t>(run), 64), 0, 2500);
    gaps->insert(gaps->end(), answer.gaps_ms.begin(), answer.gaps_ms.end());
  }
  stop = true;
  other.join();
  *stats = engine->Stats().prefix;
}

}  // namespace

int Tiers() {
  const std::string dir = (std::filesystem::temp_directory_path() / "bench-prefix-tiers").string();
  std::filesystem::remove_all(dir);
  engine::EngineConfig roomy = Config();
  engine::EngineConfig host = Config();
  host.kv_tokens = 5600;  // the stream, and one or two of the prompts
  host.prefix_checkpoints = 24;
  host.max_model_len = 4096;
  host.prefix_host_bytes = int64_t{256} << 20;
  engine::EngineConfig disk = host;
  disk.prefix_host_bytes = 0;
  disk.prefix_disk_dir = dir;
  fmt::print(
      "a stream of 2,500 tokens, three times, beside a client whose prompts of 1,200 tokens are "
      "resumed "
      "again and again; ms between the stream's tokens\n\n"
      "| prompts come from | p50 | p99 | p99.9 | slowest | loads | stores | client's first token: "
      "p50 |\n"
      "|---|---|---|---|---|---|---|---|\n");
  for (const Moves& moves : {Moves{"the device: nothing moves", roomy}, Moves{"host memory", host},
                             Moves{"disk", disk}, Moves{"the device: nothing moves", roomy}}) {
    std::vector<double> gaps;
    std::vector<double> first_ms;
    engine::PrefixStats stats;
    RunMoves(moves, &gaps, &stats, &first_ms);
    uint64_t loads = 0;
    uint64_t stores = 0;
    for (const auto& tier : stats.tiers) {
      loads += tier.loaded;
      stores += tier.stored;
    }
    fmt::print("| {} | {:.2f} | {:.2f} | {:.2f} | {:.2f} | {} | {} | {:.1f} |\n", moves.where,
               Percentile(gaps, 50), Percentile(gaps, 99), Percentile(gaps, 99.9),
               Percentile(gaps, 100), loads, stores, Percentile(first_ms, 50));
  }
  std::filesystem::remove_all(dir);
  return 0;
}

}  // namespace nextgate::bench
