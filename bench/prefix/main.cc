#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <random>

#include "base/log.h"
#include "bench/prefix/bench_prefix.h"

namespace nextgate::bench {

using std::chrono::duration;
using std::chrono::steady_clock;

std::string Spread(std::vector<double> values, const char* format) {
  std::ranges::sort(values);
  const auto figure = [&](double value) { return fmt::format(fmt::runtime(format), value); };
  return fmt::format("{} [{}–{}]", figure(values[values.size() / 2]), figure(values.front()),
                     figure(values.back()));
}

double Percentile(std::vector<double> values, double p) {
  std::ranges::sort(values);
  const auto at = static_cast<size_t>(p / 100 * static_cast<double>(values.size()));
  return values[std::min(at, values.size() - 1)];
}

std::unique_ptr<engine::Engine> OpenEngine(const engine::EngineConfig& config) {
  auto engine = engine::Engine::Open(config);
  if (!engine) {
    fmt::print(stderr, "{}\n", engine.error().message);
    std::exit(1);
  }
  return std::move(*engine);
}

std::vector<int32_t> RandomTokens(uint32_t seed, int64_t count) {
  std::mt19937 random(seed);
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  for (int32_t& token : tokens) token = 300 + static_cast<int32_t>(random() % 3500);
  return tokens;
}

Answer Ask(engine::Engine& engine, std::vector<int32_t> prompt, int32_t border,
           int32_t max_tokens) {
  engine::GenerationRequest request{.prompt = std::move(prompt), .max_tokens = max_tokens};
  if (border > 0) request.message_borders = {border};
  request.ignore_eos = true;
  request.sampling.temperature = 0;
  const auto asked = steady_clock::now();
  auto generation = engine.Submit(std::move(request));
  if (!generation) {
    fmt::print(stderr, "{}\n", generation.error().message);
    std::exit(1);
  }
  Answer answer;
  auto last = asked;
  for (bool done = false; !done;) {
    const auto event = (*generation)->Next(std::chrono::milliseconds(1000));
    const auto now = steady_clock::now();
    if (event.started) answer.cached_tokens = event.started->cached_tokens;
    if (!event.tokens.empty()) {
      const double ms = duration<double, std::milli>(now - last).count();
      if (last == asked) {
        answer.first_token_ms = ms;
      } else {
        answer.gaps_ms.push_back(ms / static_cast<double>(event.tokens.size()));
      }
      last = now;
    }
    done = event.finished.has_value();
  }
  return answer;
}

}  // namespace nextgate::bench

int main(int argc, char** argv) {
  nextgate::SetLogLevel(nextgate::LogLevel::kWarning);
  const std::string what = argc == 2 ? argv[1] : "";
  if (what == "ttft") return nextgate::bench::TimeToFirstToken();
  if (what == "decode") return nextgate::bench::DecodeSpeed();
  if (what == "kl") return nextgate::bench::Divergence();
  if (what == "tiers") return nextgate::bench::Tiers();
  fmt::print(stderr, "usage: bench_prefix ttft | decode | kl | tiers\n");
  return 2;
}
