// prefix_sim [--trace NAME] [--policy NAME] [--gib N] [--json] [--traces FILE]
//
// Replays request traces against prefix-cache policies, each within the same bytes, and prints what
// had to be computed again. Without --trace, --policy, --gib: all of them; 4, 16 and 40 GiB.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "bench/prefix_sim/policies.h"
#include "bench/prefix_sim/replay.h"
#include "bench/prefix_sim/traces.h"

namespace nextgate::prefix_sim {
namespace {

constexpr double kGibMax = 10'000;

struct Options {
  std::string trace, policy;  // empty: all
  std::vector<double> gib = {4, 16, 40};
  bool json = false;
  std::string traces = NEXTGATE_SOURCE_DIR "/bench/prefix_sim/traces.json";
};

struct Row {
  std::string trace, policy;
  double gib = 0;
  Outcome outcome;
  double relative = 0;  // recomputed tokens, the reference's being 1
};

Result<double> ParseGib(std::string_view text) {
  double gib = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), gib);
  constexpr double kGibMin = static_cast<double>(kBudgetBytesMin) / static_cast<double>(kGiB);
  if (error != std::errc() || end != text.data() + text.size() ||
      !(gib >= kGibMin && gib <= kGibMax)) {
    return InvalidArgument(
        fmt::format("--gib: a number in [{}, {}], not \"{}\"", kGibMin, kGibMax, text));
  }
  return gib;
}

Result<Options> ParseOptions(const std::vector<std::string_view>& args) {
  Options options;
  for (size_t a = 0; a < args.size(); ++a) {
    if (args[a] == "--json") {
      options.json = true;
      continue;
    }
    if (args[a] != "--trace" && args[a] != "--policy" && args[a] != "--gib" &&
        args[a] != "--traces") {
      return InvalidArgument(fmt::format(
          "{}: expected --trace NAME, --policy NAME, --gib N, --json, --traces FILE", args[a]));
    }
    if (a + 1 == args.size()) return InvalidArgument(fmt::format("{} needs a value", args[a]));
    const std::string_view value = args[++a];
    if (args[a - 1] == "--trace") options.trace = value;
    if (args[a - 1] == "--policy") options.policy = value;
    if (args[a - 1] == "--traces") options.traces = value;
    if (args[a - 1] == "--gib") {
      ASSIGN_OR_RETURN(const double gib, ParseGib(value));
      options.gib = {gib};
    }
  }
  return options;
}

// The names of a list that are there, for an error.
template <class List>
std::string Names(const List& list) {
  std::string names;
  for (const auto& item : list) names += (names.empty() ? "" : ", ") + std::string(item.name);
  return names;
}

// One trace with every budget and policy; the reference always runs, since others are held beside it.
Result<std::vector<Row>> RunTrace(const Trace& trace, const Options& options) {
  std::vector<std::unique_ptr<Policy>> policies;
  std::vector<double> gib_of;
  for (const double gib : options.gib) {
    for (const PolicyKind& kind : PolicyKinds()) {
      if (!options.policy.empty() && kind.name != options.policy && kind.name != kReference)
        continue;
      policies.push_back(MakePolicy(kind, static_cast<int64_t>(gib * static_cast<double>(kGiB))));
      gib_of.push_back(gib);
    }
  }
  ASSIGN_OR_RETURN(const std::vector<Outcome> outcomes, Replay(trace, policies));
  std::vector<Row> rows;
  double reference = 0;
  for (size_t p = 0; p < policies.size(); ++p) {
    const auto recomputed = static_cast<double>(outcomes[p].recomputed_tokens());
    if (policies[p]->name() == kReference) reference = recomputed;
    if (!options.policy.empty() && policies[p]->name() != options.policy) continue;
    rows.push_back({.trace = trace.name,
                    .policy = policies[p]->name(),
                    .gib = gib_of[p],
                    .outcome = outcomes[p],
                    .relative = recomputed / reference});
  }
  return rows;
}

void PrintTable(const std::vector<Row>& rows) {
  fmt::print("{:<15} {:>4} {:<10} {:>8} {:>12} {:>12} {:>12} {:>8} {:>9} {:>8} {:>9}\n", "trace",
             "GiB", "policy", "requests", "prompt tok", "reused", "recomputed", "x vllm",
             "hit rate", "KV GiB", "state GiB");
  std::string_view trace;
  for (const Row& row : rows) {
    if (!trace.empty() && trace != row.trace) fmt::print("\n");
    trace = row.trace;
    const Outcome& o = row.outcome;
    fmt::print(
        "{:<15} {:>4g} {:<10} {:>8} {:>12} {:>12} {:>12} {:>8.3f} {:>8.1f}% {:>8.2f} {:>9.2f}\n",
        row.trace, row.gib, row.policy, o.requests, o.prompt_tokens, o.reused_tokens,
        o.recomputed_tokens(), row.relative, 100 * o.hit_rate(),
        static_cast<double>(o.peak.kv_bytes) / kGiB,
        static_cast<double>(o.peak.state_bytes) / kGiB);
  }
}

void PrintJson(const std::vector<Row>& rows) {
  nlohmann::json list = nlohmann::json::array();
  for (const Row& row : rows) {
    const Outcome& o = row.outcome;
    list.push_back({{"trace", row.trace},
                    {"policy", row.policy},
                    {"gib", row.gib},
                    {"requests", o.requests},
                    {"requests_hit", o.requests_hit},
                    {"prompt_tokens", o.prompt_tokens},
                    {"reused_tokens", o.reused_tokens},
                    {"recomputed_tokens", o.recomputed_tokens()},
                    {"recomputed_relative_to_vllm", row.relative},
                    {"hit_rate", o.hit_rate()},
                    {"peak_kv_bytes", o.peak.kv_bytes},
                    {"peak_state_bytes", o.peak.state_bytes}});
  }
  fmt::print("{}\n", list.dump(1));
}

Status Run(const std::vector<std::string_view>& args) {
  ASSIGN_OR_RETURN(const Options options, ParseOptions(args));
  ASSIGN_OR_RETURN(const std::vector<Trace> traces, ReadTraces(options.traces));
  const auto named = [](const std::string& name) {
    return [&name](const auto& item) { return item.name == name; };
  };
  if (!options.policy.empty() && std::ranges::none_of(PolicyKinds(), named(options.policy))) {
    return NotFound(fmt::format("--policy {}: there are {}", options.policy, Names(PolicyKinds())));
  }
  if (!options.trace.empty() && std::ranges::none_of(traces, named(options.trace))) {
    return NotFound(fmt::format("--trace {}: there are {}", options.trace, Names(traces)));
  }
  std::vector<Row> rows;
  for (const Trace& trace : traces) {
    if (!options.trace.empty() && trace.name != options.trace) continue;
    ASSIGN_OR_RETURN(const std::vector<Row> more, RunTrace(trace, options));
    rows.insert(rows.end(), more.begin(), more.end());
  }
  options.json ? PrintJson(rows) : PrintTable(rows);
  return {};
}

}  // namespace
}  // namespace nextgate::prefix_sim

int main(int argc, char** argv) {
  const auto status = nextgate::prefix_sim::Run({argv + 1, argv + argc});
  if (status) return 0;
  fmt::print(stderr, "prefix_sim: {}\n", status.error().message);
  return 2;
}
