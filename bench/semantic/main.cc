// What the semantic tier would serve, and how much of it would be right: static thresholds with and without
// each gate, on question sets from a directory (question_sets.h), and the traps and paraphrases of the tests.
//
//   bench_semantic DATA [--encoder DIR] [--vectors FILE] [--dump FILE] [--threshold T] [--margin M] [--split N]
//
// --vectors keeps what the encoder computed for the next run; --dump writes every candidate (candidates.h).
// Without --threshold and --margin what is shipped is taken; another --split stores and asks other halves (0).
// Prints Markdown.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/log.h"
#include "bench/semantic/candidates.h"
#include "bench/semantic/question_sets.h"
#include "bench/semantic/readers.h"
#include "bench/semantic/vectors.h"
#include "cache/semantic/gates.h"
#include "cache/semantic/verifier.h"

namespace nextgate::semantic_bench {
namespace {

using cache::Gate;
using cache::GateSet;

constexpr double kPrecision = 0.99;  // aimed at, of what is served
constexpr float kThresholds[] = {0.70F, 0.75F, 0.80F, 0.85F, 0.88F, 0.90F, 0.92F,
                                 0.94F, 0.95F, 0.96F, 0.97F, 0.98F, 0.99F};

struct Arguments {
  std::string data, vectors, dump;
  std::string encoder = NEXTGATE_DEPS_PREFIX "/share/minilm";
  float threshold = cache::Verifier::Options().threshold;  // as shipped
  cache::GateSettings settings;
  int split = 0;
};

struct Served {
  size_t asked = 0, served = 0, right = 0;
  double rate() const {
    return asked == 0 ? 0 : static_cast<double>(served) / static_cast<double>(asked);
  }
  double precision() const {
    return served == 0 ? 1 : static_cast<double>(right) / static_cast<double>(served);
  }
};

using Half = std::vector<const Candidate*>;

Half HalfOf(const std::vector<Candidate>& candidates, bool tune) {
  Half half;
  for (const Candidate& c : candidates)
    if (c.tune == tune) half.push_back(&c);
  return half;
}

bool Passes(const Candidate& candidate, GateSet on) {
  for (size_t g = 0; g < cache::kNumGates; ++g)
    if (on.contains(static_cast<Gate>(g)) && candidate.refused.contains(static_cast<Gate>(g)))
      return false;
  return true;
}

Served Serve(const Half& half, float threshold, GateSet on) {
  Served served{.asked = half.size()};
  for (const Candidate* c : half) {
    if (c->cosine < threshold || !Passes(*c, on)) continue;
    ++served.served;
    served.right += c->right ? 1 : 0;
  }
  return served;
}

std::string Cell(const Served& served) {
  return fmt::format("{:.1f} / {:.2f}", served.rate() * 100, served.precision() * 100);
}

// The threshold, without gates, that serves most at the precision aimed at, knowing the truth.
std::pair<float, Served> BestInHindsight(Half half) {
  std::ranges::sort(half,
                    [](const Candidate* a, const Candidate* b) { return a->cosine > b->cosine; });
  Served running{.asked = half.size()}, best{.asked = half.size()};
  float threshold = 1.01F;
  for (const Candidate* c : half) {
    ++running.served;
    running.right += c->right ? 1 : 0;
    if (running.precision() < kPrecision) continue;
    best = running;
    threshold = c->cosine;
  }
  return {threshold, best};
}

Half Pooled(const std::vector<Half>& halves) {
  Half all;
  for (const Half& half : halves) all.insert(all.end(), half.begin(), half.end());
  return all;
}

void PrintCurves(const std::string& name, const Half& half) {
  fmt::print("\n### {}: {} asked\n\n| threshold | no gates | all gates |", name, half.size());
  for (size_t g = 0; g < cache::kNumGates; ++g)
    fmt::print(" without {} |", GateCode(static_cast<Gate>(g)));
  fmt::print("\n|{}\n", [] {
    std::string line;
    for (size_t i = 0; i < cache::kNumGates + 3; ++i) line += "---|";
    return line;
  }());
  for (const float threshold : kThresholds) {
    fmt::print("| {:.2f} | {} | {} |", threshold, Cell(Serve(half, threshold, GateSet::none())),
               Cell(Serve(half, threshold, GateSet::all())));
    for (size_t g = 0; g < cache::kNumGates; ++g) {
      GateSet on = GateSet::all();
      on.erase(static_cast<Gate>(g));
      fmt::print(" {} |", Cell(Serve(half, threshold, on)));
    }
    fmt::print("\n");
  }
}

// The lowest threshold of two decimals, from kThresholdMin on, at which every half has the precision aimed at,
// with all gates. Below kThresholdMin the gates would stand alone, and other questions
// are asked than these.
std::string Recommend(const std::vector<Half>& halves) {
  constexpr int kThresholdMin = 80;
  for (int hundredths = kThresholdMin; hundredths <= 99; ++hundredths) {
    const float threshold = static_cast<float>(hundredths) / 100;
    if (std::ranges::all_of(halves, [&](const Half& half) {
          return Serve(half, threshold, GateSet::all()).precision() >= kPrecision;
        }))
      return fmt::format("{:.2f}", threshold);
  }
  return "none";
}

void PrintShipped(const std::vector<std::string>& names, const std::vector<Half>& halves,
                  float threshold) {
  fmt::print(
      "\n| set | best threshold in hindsight, no gates | its rate / precision, % | served at "
      "{:.2f}, all gates, % "
      "| wrong of served | × best |\n|---|---|---|---|---|---|\n",
      threshold);
  for (size_t i = 0; i < halves.size(); ++i) {
    const auto [best, reached] = BestInHindsight(halves[i]);
    const Served served = Serve(halves[i], threshold, GateSet::all());
    fmt::print("| {} | {:.4f} | {} | {} | {} of {} | {:.2f} |\n", names[i], best, Cell(reached),
               Cell(served), served.served - served.right, served.served,
               served.rate() / std::max(1e-9, reached.rate()));
  }
}

// With all gates that look at texts, and a margin over what each rule takes for another answer.
Served ServeWith(const Half& half, float threshold, Second second, float margin) {
  GateSet texts = GateSet::all();
  texts.erase(Gate::kMargin);
  Served served{.asked = half.size()};
  for (const Candidate* c : half) {
    const auto& cosine = c->seconds[static_cast<size_t>(second)];
    if (c->cosine < threshold || !Passes(*c, texts)) continue;
    if (cosine && c->cosine - *cosine < margin) continue;
    ++served.served;
    served.right += c->right ? 1 : 0;
  }
  return served;
}

void PrintSeconds(const std::vector<std::string>& names, const std::vector<Half>& tune,
                  const std::vector<Half>& report, float threshold) {
  fmt::print(
      "\n## What counts as another answer: rate / precision at {:.2f}, wrong of served\n\n| rule | "
      "margin |",
      threshold);
  for (const std::string_view half : {"tune", "report"})
    for (const std::string& name : names) fmt::print(" {}, {} |", name, half);
  fmt::print("\n|---|---|");
  for (size_t i = 0; i < 2 * names.size(); ++i) fmt::print("---|");
  fmt::print("\n");
  for (size_t s = 0; s < kNumSeconds; ++s) {
    const auto second = static_cast<Second>(s);
    for (const float margin : {0.05F, 0.10F, 0.15F}) {
      fmt::print("| {} | {} |", NameOf(second),
                 second == Second::kNone ? "" : fmt::format("{:.2f}", margin));
      for (const auto* halves : {&tune, &report})
        for (const Half& half : *halves) {
          const Served served = ServeWith(half, threshold, second, margin);
          fmt::print(" {}, {} of {} |", Cell(served), served.served - served.right, served.served);
        }
      fmt::print("\n");
      if (second == Second::kNone) break;
    }
  }
}

void PrintAntonyms(const std::vector<LabelledPair>& pairs, const Vectors& vectors,
                   const cache::GateSettings& settings) {
  fmt::print(
      "\n## Antonyms: {} pairs\n\n| threshold | contradicting, no gates | all gates | agreeing, no "
      "gates | all gates "
      "|\n|---|---|---|---|---|\n",
      pairs.size());
  for (const float threshold : {0.0F, 0.70F, 0.80F, 0.90F, 0.95F}) {
    size_t counts[2][2] = {};
    for (const LabelledPair& pair : pairs) {
      const float cosine = vectors.Cosine(pair.asked, pair.stored);
      if (cosine < threshold) continue;
      ++counts[pair.same ? 1 : 0][0];
      const cache::QuestionPair both{.asked = pair.asked, .stored = pair.stored, .cosine = cosine};
      if (cache::RefusedBy(both, GateSet::all(), settings).empty()) ++counts[pair.same ? 1 : 0][1];
    }
    fmt::print("| {:.2f} | {} | {} | {} | {} |\n", threshold, counts[0][0], counts[0][1],
               counts[1][0], counts[1][1]);
  }
}

// By readers, of this split's pairs.
Status PrintReaders(const std::vector<QuestionSet>& sets,
                    const std::vector<std::vector<Candidate>>& candidates, float threshold) {
  ASSIGN_OR_RETURN(const Readings readings,
                   ReadReadings(NEXTGATE_SOURCE_DIR "/bench/semantic/readers.tsv"));
  fmt::print(
      "\n## Readers: pairs of this split that were read and are served\n\n| set | round | read | "
      "all say "
      "wrong | one says wrong | right, % |\n|---|---|---|---|---|---|\n");
  for (size_t i = 0; i < sets.size(); ++i)
    PrintReadings(readings, sets[i], candidates[i], threshold);
  return {};
}

Status PrintTraps(const cache::GateSettings& settings) {
  const std::string folder = NEXTGATE_SOURCE_DIR "/tests/cache/semantic/data/";
  fmt::print(
      "\n## Traps and paraphrases, whatever their cosine\n\n| file | language | pairs | pass all "
      "gates |\n|---|---|---|---|\n");
  for (const auto& [file, first] : {std::pair{"traps.tsv", 2}, std::pair{"paraphrases.tsv", 1}}) {
    ASSIGN_OR_RETURN(const auto rows, ReadTsv(folder + file, static_cast<size_t>(first) + 2));
    for (const std::string language : {"en", "zh"}) {
      size_t pairs = 0, passed = 0;
      for (const auto& row : rows) {
        if (row[0] != language) continue;
        ++pairs;
        const cache::QuestionPair pair{.asked = row[first], .stored = row[first + 1], .cosine = 1};
        passed += cache::RefusedBy(pair, GateSet::all(), settings).empty() ? 1 : 0;
      }
      fmt::print("| {} | {} | {} | {} |\n", file, language, pairs, passed);
    }
  }
  return {};
}

Status Run(const Arguments& arguments) {
  std::vector<QuestionSet> sets(2);
  ASSIGN_OR_RETURN(sets[0], ReadBanking77(arguments.data));
  ASSIGN_OR_RETURN(sets[1], ReadClinc150(arguments.data));
  ASSIGN_OR_RETURN(const auto antonyms, ReadAntonyms(arguments.data));
  std::vector<std::string> texts;
  for (const QuestionSet& set : sets)
    for (const LabelledQuestion& question : set.questions) texts.push_back(question.text);
  for (const LabelledPair& pair : antonyms) {
    texts.push_back(pair.asked);
    texts.push_back(pair.stored);
  }
  ASSIGN_OR_RETURN(const Vectors vectors, Vectors::Of(texts, arguments.encoder, arguments.vectors));

  std::vector<std::vector<Candidate>> candidates;
  std::vector<std::string> names;
  std::vector<Half> tune, report;
  for (const QuestionSet& set : sets) {
    candidates.push_back(FindCandidates(set, vectors, arguments.settings, arguments.split));
    names.push_back(set.name);
  }
  for (const auto& found : candidates) {
    tune.push_back(HalfOf(found, true));
    report.push_back(HalfOf(found, false));
  }
  if (!arguments.dump.empty()) RETURN_IF_ERROR(WriteCandidates(arguments.dump, sets, candidates));

  const float threshold = arguments.threshold;
  fmt::print(
      "Margin {:.2f}, length ratio {:.1f}, threshold {:.2f}. Lowest with 99 % in each set of the "
      "tune half: {}.\n",
      arguments.settings.margin_min, arguments.settings.length_ratio_max, threshold,
      Recommend(tune));
  PrintSeconds(names, tune, report, threshold);
  fmt::print("\n## Tune half\n");
  names.emplace_back("both");
  tune.push_back(Pooled(tune));
  report.push_back(Pooled(report));
  PrintShipped(names, tune, threshold);
  fmt::print("\n## Report half\n");
  PrintShipped(names, report, threshold);
  fmt::print("\n## Curves of the report half: rate / precision of what is served, %\n");
  for (size_t i = 0; i < sets.size(); ++i) PrintCurves(names[i], report[i]);
  RETURN_IF_ERROR(PrintReaders(sets, candidates, threshold));
  PrintAntonyms(antonyms, vectors, arguments.settings);
  return PrintTraps(arguments.settings);
}

bool Parse(int argc, char** argv, Arguments* arguments) {
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (!name.starts_with("--")) {
      arguments->data = name;
      continue;
    }
    if (++i == argc) return false;
    if (name == "--encoder")
      arguments->encoder = argv[i];
    else if (name == "--vectors")
      arguments->vectors = argv[i];
    else if (name == "--dump")
      arguments->dump = argv[i];
    else if (name == "--threshold")
      arguments->threshold = std::strtof(argv[i], nullptr);
    else if (name == "--split")
      arguments->split = std::clamp(std::atoi(argv[i]), 0, 31);
    else if (name == "--margin")
      arguments->settings.margin_min = std::strtof(argv[i], nullptr);
    else
      return false;
  }
  return !arguments->data.empty();
}

}  // namespace
}  // namespace nextgate::semantic_bench

int main(int argc, char** argv) {
  nextgate::SetLogLevel(nextgate::LogLevel::kWarning);
  nextgate::semantic_bench::Arguments arguments;
  if (!nextgate::semantic_bench::Parse(argc, argv, &arguments)) {
    fmt::print(
        stderr,
        "usage: bench_semantic DATA [--encoder DIR] [--vectors FILE] [--dump FILE] [--threshold T] "
        "[--margin M] [--split N]\n");
    return 2;
  }
  const auto status = nextgate::semantic_bench::Run(arguments);
  if (!status) fmt::print(stderr, "{}\n", status.error().message);
  return status ? 0 : 1;
}
