// semantic_day: a day of traffic through the answer cache as it is served: what the semantic tier adds, how
// often it is wrong, and whether it knows.
//
//   semantic_day DATA [--encoder DIR] [--vectors FILE] [--requests N] [--wordings N] [--zipf X] [--judge X]
//
// DATA as bench/semantic/question_sets.h has it. Everything between request and generator is what ships:
// ExactCache, MemoryStore, SemanticCache, gates, Verifier, AnswerComparator; the generator is made up
// (generator.h), and with --judge who compares answers, mistaken about a share of X (made_up_judge.h). Each request waits for what is learned from the one before. Prints Markdown.
#include <fmt/format.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "bench/semantic_day/generator.h"
#include "bench/semantic_day/known_embedder.h"
#include "bench/semantic_day/made_up_judge.h"
#include "bench/semantic_day/traffic.h"
#include "cache/memory_store.h"
#include "cache/semantic/embedding_memo.h"
#include "cache/semantic/semantic_cache.h"

namespace nextgate::semantic_day {
namespace {

using cache::SemanticMode;
using semantic_bench::LabelledQuestion;
using std::chrono::milliseconds;

struct Arguments {
  std::string data, vectors;
  std::string encoder = NEXTGATE_DEPS_PREFIX "/share/minilm";
  DaySettings day;
  size_t wordings = kWordings;
  std::optional<double> judge;  // the share that it is mistaken about
};

struct Mode {
  std::string name;
  SemanticMode semantic = SemanticMode::kOff;
  cache::Verifier::Options verifier;
};

// What became of a day.
struct Ledger {
  int64_t exact = 0, semantic = 0, wrong = 0;
  int64_t tokens = 0, generated_tokens = 0;
  // Of shadow: what would have been served, and the comparator's verdicts on it.
  int64_t would = 0, would_wrong = 0;
  int64_t right_labels = 0, false_different = 0, wrong_labels = 0, false_same = 0;
};

// One server with its cache.
class Server {
 public:
  Server(const Arguments& arguments, const std::vector<LabelledQuestion>& questions,
         const Mode& mode, cache::Embedder& embedder, cache::AnswerJudge* judge)
      : arguments_(arguments),
        questions_(questions),
        mode_(mode),
        verifier_(mode.verifier),
        comparator_({}, &embedder, judge),
        semantic_({.secret = "of this simulation",
                   .embed_budget = milliseconds(10'000),
                   .background_budget = milliseconds(10'000)},
                  {.embedder = embedder,
                   .exact = exact_,
                   .verifier = verifier_,
                   .comparator = comparator_}) {}

  void Serve(const Asked& asked);
  void Print() const;
  const Ledger& ledger() const { return ledger_; }

 private:
  cache::CacheKey KeyOf(const Asked& asked) const;
  bool Right(size_t asked, const Hash128& entry) const;
  void Judge(const cache::CacheKey& key, const cache::CachePlan& plan, size_t asked,
             const std::string& generated);

  const Arguments& arguments_;
  const std::vector<LabelledQuestion>& questions_;
  const Mode& mode_;
  cache::MemoryStore memory_{{.bytes_max = size_t{1} << 30}};
  cache::ExactCache exact_{memory_};
  cache::Verifier verifier_;
  cache::AnswerComparator comparator_;
  cache::CacheStats counts_;
  cache::SemanticCache semantic_;
  std::unordered_map<Hash128, size_t> asked_;  // whose answer an entry is
  Ledger ledger_;
};

cache::CacheKey Server::KeyOf(const Asked& asked) const {
  static const cache::Partitioner partitioner("of this simulation");
  const nlohmann::json request = {
      {"endpoint", "/v1/chat/completions"},
      {"messages",
       {{{"role", "system"}, {"content", "You are a helpful assistant."}},
        {{"role", "user"}, {"content", questions_[asked.question].text}}}}};
  return cache::MakeKey(
      partitioner.Partition({.tenant = fmt::format("tenant {}", asked.tenant)}, "model"),
      *cache::Canonicalise(request));
}

// By the sets' labels.
bool Server::Right(size_t asked, const Hash128& entry) const {
  const LabelledQuestion &a = questions_[asked], &b = questions_[asked_.at(entry)];
  return a.text == b.text || (!a.out_of_scope && !b.out_of_scope && a.intent == b.intent);
}

// What shadow is about to say of this request, and whether that is true.
void Server::Judge(const cache::CacheKey& key, const cache::CachePlan& plan, size_t asked,
                   const std::string& generated) {
  const cache::SemanticMatch match = semantic_.Peek(key, plan);
  if (match.outcome != cache::SemanticOutcome::kServed) return;
  const bool right = Right(asked, match.candidate->entry);
  ++ledger_.would;
  ledger_.would_wrong += right ? 0 : 1;
  const auto verdict =
      comparator_.Compare(match.asked, match.entry->answer->ChoiceText(0), generated,
                          std::chrono::steady_clock::now() + std::chrono::seconds(10));
  if (verdict.label == cache::AnswerVerdict::Label::kNone) return;
  const bool same = verdict.label == cache::AnswerVerdict::Label::kSame;
  ++(right ? ledger_.right_labels : ledger_.wrong_labels);
  if (same != right) ++(right ? ledger_.false_different : ledger_.false_same);
}

void Server::Serve(const Asked& asked) {
  const cache::CacheKey key = KeyOf(asked);
  const cache::CachePlan plan{
      .read = true, .write = true, .ttl_ms = 86'400'000, .semantic = mode_.semantic};
  const std::string text = AnswerText(questions_[asked.question], arguments_.wordings);
  ledger_.tokens += NumTokens(text);
  if (exact_.Lookup(key, plan)) {
    ++ledger_.exact;
    return;
  }
  std::optional<cache::SemanticMatch> match;
  if (mode_.semantic == SemanticMode::kServe) {
    match = semantic_.Lookup(key, plan);
    if (match->hit) {
      ++ledger_.semantic;
      ledger_.wrong += Right(asked.question, match->hit->id) ? 0 : 1;
      return;
    }
  }
  if (mode_.semantic == SemanticMode::kShadow) Judge(key, plan, asked.question, text);
  ledger_.generated_tokens += NumTokens(text);
  const auto answer = AnswerOf(text);
  CHECK(exact_.Insert(key, answer, plan) == cache::Reason::kNone);
  asked_[key.hash] = asked.question;
  if (mode_.semantic == SemanticMode::kOff) return;
  CHECK(semantic_.Finish({.key = key,
                          .plan = plan,
                          .answer = answer,
                          .generated = true,
                          .stored = true,
                          .match = std::move(match),
                          .counts = &counts_.For({})}));
  CHECK(semantic_.Flush(milliseconds(60'000)));
}

void Server::Print() const {
  const auto percent = [](int64_t part, int64_t whole) {
    return whole == 0 ? std::string("-")
                      : fmt::format("{:.2f} %",
                                    100.0 * static_cast<double>(part) / static_cast<double>(whole));
  };
  const auto requests = static_cast<int64_t>(arguments_.day.requests);
  const bool shadow = mode_.semantic == SemanticMode::kShadow;
  const int64_t hits = shadow ? ledger_.would : ledger_.semantic;
  const int64_t wrong = shadow ? ledger_.would_wrong : ledger_.wrong;
  const cache::Verifier::Bound bound = verifier_.ServedError();
  const auto labels = counts_.Snapshot().labels[static_cast<size_t>(cache::Labelled::kServed)];
  const double truth = hits == 0 ? 0 : static_cast<double>(wrong) / static_cast<double>(hits);
  std::string measured = "- | - | -";
  if (bound.observed > 0)
    measured =
        fmt::format("{} of {} | {:.2f} % ({:.2f} to {:.2f}) | {}", labels[0], labels[0] + labels[1],
                    100 * bound.error, 100 * bound.interval.low, 100 * bound.interval.high,
                    hits == 0                                                     ? "-"
                    : truth >= bound.interval.low && truth <= bound.interval.high ? "yes"
                                                                                  : "no");
  fmt::print("| {} | {} | {}{} | {} | {} of {} = {} | {} |\n", mode_.name,
             percent(ledger_.exact, requests), shadow ? "(would: " : "",
             percent(hits, requests) + (shadow ? ")" : ""),
             percent(ledger_.tokens - ledger_.generated_tokens, ledger_.tokens), wrong, hits,
             percent(wrong, hits), measured);
  std::fflush(stdout);
}

std::vector<Mode> Modes(const cache::ComparatorError& comparator) {
  using Options = cache::Verifier::Options;
  const auto verified = [&](double error_max) {
    return Options{
        .mode = cache::Verifier::Mode::kVerified, .error_max = error_max, .comparator = comparator};
  };
  const Options fixed{.threshold = 0.80F, .comparator = comparator};
  return {{"exact only", SemanticMode::kOff, fixed},
          {"shadow, static 0.80", SemanticMode::kShadow, fixed},
          {"static 0.80", SemanticMode::kServe, fixed},
          {"verified 1 %", SemanticMode::kServe, verified(0.01)},
          {"verified 2 %", SemanticMode::kServe, verified(0.02)},
          {"verified 5 %", SemanticMode::kServe, verified(0.05)}};
}

Status Run(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto banking, semantic_bench::ReadBanking77(arguments.data));
  ASSIGN_OR_RETURN(const auto clinc, semantic_bench::ReadClinc150(arguments.data));
  std::vector<LabelledQuestion> questions;
  std::vector<std::string> texts;
  for (const auto* set : {&banking, &clinc})
    for (LabelledQuestion question : set->questions) {
      question.intent = set->name + ":" + question.intent;
      texts.push_back(question.text);
      questions.push_back(std::move(question));
    }
  ASSIGN_OR_RETURN(const auto vectors,
                   semantic_bench::Vectors::Of(texts, arguments.encoder, arguments.vectors));
  ASSIGN_OR_RETURN(auto encoder, engine::SentenceEncoder::Open(arguments.encoder, 2));
  cache::EmbeddingMemo embedder(std::make_unique<KnownEmbedder>(vectors, texts, std::move(encoder)),
                                {.bytes_max = size_t{256} << 20});
  const std::vector<Asked> day = MakeDay(questions, arguments.day);
  fmt::print(
      "{} requests, {} wordings, Zipf {:.1f} over intents, {:.1f} over their questions\n\n| mode | "
      "exact hits | "
      "semantic hits | generated tokens saved | wrong, in truth | called different | measured rate "
      "of wrong hits (95 %) | "
      "truth within |\n|---|---|---|---|---|---|---|---|\n",
      day.size(), arguments.wordings, arguments.day.zipf_intents, arguments.day.zipf_questions);
  std::optional<MadeUpJudge> judge;
  if (arguments.judge) judge.emplace(questions, arguments.wordings, *arguments.judge);
  Ledger shadow;
  for (const Mode& mode : Modes(judge ? judge->Counted() : cache::kMeasuredComparator)) {
    Server server(arguments, questions, mode, embedder, judge ? &*judge : nullptr);
    for (const Asked& asked : day) server.Serve(asked);
    server.Print();
    if (mode.semantic == SemanticMode::kShadow) shadow = server.ledger();
  }
  fmt::print(
      "\nThe comparator, on what shadow would have served: {} of {} right answers called "
      "different, {} of {} "
      "wrong ones the same.\n",
      shadow.false_different, shadow.right_labels, shadow.false_same, shadow.wrong_labels);
  return {};
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
    else if (name == "--requests")
      arguments->day.requests = std::strtoull(argv[i], nullptr, 10);
    else if (name == "--wordings")
      arguments->wordings = std::strtoull(argv[i], nullptr, 10);
    else if (name == "--judge")
      arguments->judge = std::strtod(argv[i], nullptr);
    else if (name == "--zipf")
      arguments->day.zipf_questions = std::strtod(argv[i], nullptr);
    else
      return false;
  }
  return !arguments->data.empty() && arguments->wordings >= 1 && arguments->wordings <= kWordings;
}

}  // namespace
}  // namespace nextgate::semantic_day

int main(int argc, char** argv) {
  nextgate::SetLogLevel(nextgate::LogLevel::kWarning);
  nextgate::semantic_day::Arguments arguments;
  if (!nextgate::semantic_day::Parse(argc, argv, &arguments)) {
    fmt::print(stderr,
               "usage: semantic_day DATA [--encoder DIR] [--vectors FILE] [--requests N] "
               "[--wordings N] [--zipf X] [--judge X]\n");
    return 2;
  }
  const auto status = nextgate::semantic_day::Run(arguments);
  if (!status) fmt::print(stderr, "{}\n", status.error().message);
  return status ? 0 : 1;
}
