// semantic_verifier: does the bound on wrong hits hold, and what does it cost in hits?
//
//   semantic_verifier --dump DIR [--half even|odd] [--orders N] [--set NAME] [--gates on]
//
// DIR is a dump (bench/semantic_verifier/questions.h). For every set, scenario and bound: in how
// many of N random orders the error of served hits stayed within the bound, at the end and at its
// worst; the rate of hits; and the same of a static threshold calibrated on the same labels. With
// `--gates on` a candidate that a gate of texts refuses is none.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "bench/semantic_verifier/questions.h"
#include "bench/semantic_verifier/traffic.h"
#include "cache/semantic/verifier.h"

namespace nextgate::semantic_verifier {
namespace {

constexpr std::array kErrors = {0.005, 0.01, 0.02, 0.05};
constexpr int kThreads = 2;

struct Arguments {
  std::string dump, set;
  bool gates = false;
  Half half = Half::kOdd;
  int orders = 100;
};

struct Share {  // over the orders
  int held = 0;
  double hits = 0, error = 0;
};
struct Row {
  int held_always = 0;
  Share verified, fixed, hindsight, anytime;
};

Row Measure(const Questions& questions, const Scenario& scenario, int orders) {
  std::vector<Outcome> outcomes(static_cast<size_t>(orders));
  std::atomic<int> next = 0;
  {
    std::vector<std::jthread> workers;
    for (int t = 0; t < kThreads; ++t)
      workers.emplace_back([&] {
        for (int i = next++; i < orders; i = next++)
          outcomes[static_cast<size_t>(i)] =
              Play(questions, scenario, static_cast<uint64_t>(i) + 1);
      });
  }
  Row row;
  for (const Outcome& outcome : outcomes) {
    const auto add = [&](const Served& served, Share& share) {
      share.held += served.error() <= scenario.error_max ? 1 : 0;
      share.hits += static_cast<double>(served.hits) / static_cast<double>(outcome.asked) / orders;
      share.error += served.error() / orders;
    };
    add(outcome.verified, row.verified);
    add(outcome.fixed, row.fixed);
    add(outcome.hindsight, row.hindsight);
    add(outcome.anytime, row.anytime);
    row.held_always += outcome.verified.error_worst <= scenario.error_max ? 1 : 0;
  }
  return row;
}

void Print(std::string_view set, std::string_view name, const Scenario& scenario, const Row& row) {
  const auto share = [](const Share& of) {
    return fmt::format("{} | {:.2f} % | {:.1f} %", of.held, 100 * of.error, 100 * of.hits);
  };
  const auto ratio = [&](const Share& of) {
    return of.hits > 0 ? fmt::format("{:.2f}", row.verified.hits / of.hits) : "-";
  };
  fmt::print("| {} | {} | {:.1f} % | {} | {} | {} | {} | {} | {} | {} | {} |\n", set, name,
             100 * scenario.error_max, share(row.verified), row.held_always, share(row.fixed),
             ratio(row.fixed), share(row.anytime), ratio(row.anytime), share(row.hindsight),
             ratio(row.hindsight));
  std::fflush(stdout);
}

// What a ruling and a label cost, with as many entries as are kept.
void Time() {
  constexpr int kTimes = 200'000;
  cache::Verifier verifier({.mode = cache::Verifier::Mode::kVerified});
  const auto candidate = [](int i) {
    return cache::SemanticCandidate{.entry = {0, static_cast<uint64_t>(i) * 0x9e3779b97f4a7c15u},
                                    .cosine = 0.6f + static_cast<float>(i % 400) / 1000};
  };
  const auto ns_each = [](auto run) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kTimes; ++i) run(i);
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
    return took.count() / kTimes;
  };
  int served = 0;
  const double observe_ns =
      ns_each([&](int i) { verifier.Observe({.candidate = candidate(i), .right = i % 50 != 0}); });
  const double rule_ns = ns_each([&](int i) { served += verifier.Rule(candidate(i)).serve; });
  const std::string packed = verifier.Pack();
  fmt::print("\n{} entries: Rule {:.0f} ns, Observe {:.0f} ns, packed {} bytes ({} served)\n",
             verifier.size().entries, rule_ns, observe_ns, packed.size(), served);
}

Status Run(const Arguments& arguments) {
  fmt::print(
      "| set | scenario | bound | held | error | hits | held always | static held | its error | "
      "its hits | "
      "hits / static | anytime held | its error | its hits | hits / anytime | hindsight held | its "
      "error | its "
      "hits | hits / hindsight |\n"
      "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n");
  for (const std::string_view set : {"banking77", "clinc150", "mixed"}) {
    if (!arguments.set.empty() && set != arguments.set) continue;
    ASSIGN_OR_RETURN(const Questions half,
                     LoadQuestions(arguments.dump, set, arguments.half, kThreads));
    for (const double error_max : kErrors) {
      const Scenario cold{.error_max = error_max, .gates = arguments.gates};
      Print(set, "cold", cold, Measure(half, cold, arguments.orders));
      const Scenario split{.error_max = error_max, .shadow_share = 0.5, .gates = arguments.gates};
      Print(set, "half shadow", split, Measure(half, split, arguments.orders));
    }
    if (arguments.half != Half::kOdd) continue;
    ASSIGN_OR_RETURN(const Questions both,
                     LoadQuestions(arguments.dump, set, Half::kBoth, kThreads));
    for (const double error_max : kErrors) {
      Scenario first{.error_max = error_max, .even_first = true, .gates = arguments.gates};
      Print(set, "other half shadow", first, Measure(both, first, arguments.orders));
      if (error_max < 0.02) continue;
      first.false_same = 0.05;
      first.false_different = 0.003;
      first.comparator = {50, 1000, 3, 1000};
      Print(set, "the same, noisy labels", first, Measure(both, first, arguments.orders));
    }
  }
  return {};
}

}  // namespace
}  // namespace nextgate::semantic_verifier

int main(int argc, char** argv) {
  using nextgate::semantic_verifier::Half;
  nextgate::semantic_verifier::Arguments arguments;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    const std::string value = argv[i + 1];
    if (flag == "--dump") arguments.dump = value;
    if (flag == "--set") arguments.set = value;
    if (flag == "--gates") arguments.gates = value == "on";
    if (flag == "--half") arguments.half = value == "even" ? Half::kEven : Half::kOdd;
    if (flag == "--orders") arguments.orders = std::max(1, std::atoi(value.c_str()));
  }
  if (arguments.dump.empty()) {
    fmt::print(stderr,
               "usage: semantic_verifier --dump DIR [--half even|odd] [--orders N] "
               "[--set NAME] [--gates on]\n");
    return 2;
  }
  const nextgate::Status status = nextgate::semantic_verifier::Run(arguments);
  nextgate::semantic_verifier::Time();
  if (!status) fmt::print(stderr, "{}\n", status.error().message);
  return status ? 0 : 1;
}
