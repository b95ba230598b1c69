// How far answers that go on from a stored state are from those computed whole: the Kullback-Leibler
// divergence of the next token's distribution, at every token of the answer that is most likely cold.
#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "bench/prefix/bench_prefix.h"
#include "engine/model/qwen3_next.h"
#include "engine/prefix/checkpoint_pool.h"
#include "engine/prefix/kv_pool.h"
#include "engine/prefix/state_pool.h"
#include "engine/tokenizer/tokenizer.h"

namespace nextgate::bench {
namespace {

using engine::kBlockTokens;
using kernels::StateFormat;

constexpr int32_t kAnswerTokens = 24;
constexpr int32_t kLongTokens = 3000;

template <class T>
T Must(Result<T> result) {
  if (result) return std::move(*result);
  fmt::print(stderr, "{}\n", result.error().message);
  std::exit(1);
}

// One sequence over a model, by hand.
class Runner {
 public:
  explicit Runner(const std::string& dir)
      : model_(Must(engine::Qwen3Next::Load({.dir = dir, .step_tokens_max = 4096}))),
        kv_(Must(engine::KvPool::Open(model_->config(), 64))),
        states_(Must(engine::StatePool::Open(model_->config(), 1))) {
    for (const StateFormat format : {StateFormat::kFp32, StateFormat::kBf16, StateFormat::kInt8})
      pools_[format] = Must(
          engine::CheckpointPool::Open(engine::CheckpointLayoutOf(model_->config(), format), 1));
    kv_->Take(64, &table_);
  }

  // Logits of the last token of `tokens`, which continue at position `begin`.
  std::span<const float> Step(std::span<const int32_t> tokens, int32_t begin, StateFormat format,
                              int32_t emit_at = 0, bool load = false) {
    const kernels::SequenceSpan span{.token_count = static_cast<int32_t>(tokens.size()),
                                     .context_len = begin,
                                     .block_table = table_};
    const int32_t row = span.token_count - 1;
    const kernels::StateLoad loads[] = {{}};
    const kernels::StateEmit emits[] = {{.position = emit_at}};
    logits_.resize(static_cast<size_t>(model_->config().vocab_size));
    model_->Forward({tokens,
                     {&span, 1},
                     {&row, 1},
                     std::span(loads).first(load ? 1 : 0),
                     std::span(emits).first(emit_at > 0 ? 1 : 0)},
                    kv_->storage(), states_->storage(), pools_[format]->storage(),
                    {logits_.data(), {1, model_->config().vocab_size}});
    return logits_;
  }
  // The answer after `prompt`; forced where `forced` says so. distributions: log p per token.
  std::vector<int32_t> Answer(const std::vector<int32_t>& prompt, int32_t resume_at,
                              StateFormat format, int32_t count, const std::vector<int32_t>* forced,
                              std::vector<std::vector<float>>* distributions) {
    if (resume_at > 0)  // the beginning, and its state in this format
      Step(std::span(prompt).first(static_cast<size_t>(resume_at)), 0, format, resume_at);
    std::vector<int32_t> answer;
    std::vector<int32_t> next(prompt.begin() + resume_at, prompt.end());
    int32_t at = resume_at;
    for (int32_t i = 0; i < count; ++i) {
      const auto logits = Step(next, at, format, 0, i == 0 && resume_at > 0);
      at += static_cast<int32_t>(next.size());
      distributions->push_back(LogSoftmax(logits));
      const auto best =
          static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
      answer.push_back(best);
      next = {forced ? (*forced)[static_cast<size_t>(i)] : best};
    }
    return answer;
  }

 private:
  static std::vector<float> LogSoftmax(std::span<const float> logits) {
    const double max = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (const float x : logits) sum += std::exp(x - max);
    std::vector<float> log_p;
    for (const float x : logits) log_p.push_back(static_cast<float>(x - max - std::log(sum)));
    return log_p;
  }

  std::unique_ptr<engine::Qwen3Next> model_;
  std::unique_ptr<engine::KvPool> kv_;
  std::unique_ptr<engine::StatePool> states_;
  std::map<StateFormat, std::unique_ptr<engine::CheckpointPool>> pools_;
  std::vector<int32_t> table_;
  std::vector<float> logits_;
};

double Kl(const std::vector<float>& cold, const std::vector<float>& warm) {
  double sum = 0;
  for (size_t i = 0; i < cold.size(); ++i)
    sum += std::exp(static_cast<double>(cold[i])) * (static_cast<double>(cold[i]) - warm[i]);
  return std::max(0.0, sum);
}

// 500 questions about words in phrasings the model has not seen, behind a system prompt of earlier ones.
std::vector<std::vector<int32_t>> Questions(const engine::Tokenizer& tokenizer,
                                            std::vector<int32_t>* borders) {
  std::ifstream glosses(NEXTGATE_SOURCE_DIR "/models/dictionary/glosses.tsv");
  std::vector<std::string> words;
  for (std::string line; std::getline(glosses, line);)
    words.push_back(line.substr(0, line.find('\t')));
  std::ifstream file(NEXTGATE_SOURCE_DIR "/models/make/held_out.json");
  std::vector<std::string> phrasings;
  const auto held_out = nlohmann::json::parse(file);
  for (const auto& one : held_out["phrasings"]) phrasings.push_back(one["phrasing"]);
  std::mt19937 random(20261127);
  const auto asked = [&] {
    std::string text = phrasings[random() % phrasings.size()];
    const std::string& word = words[random() % words.size()];
    const size_t at = text.find("{w}");  // or {W}: a sentence begins with it
    return text.replace(at == std::string::npos ? text.find("{W}") : at, 3, word);
  };
  std::vector<std::vector<int32_t>> questions;
  for (int i = 0; i < 500; ++i) {
    std::string before = "<|im_start|>system\nYou explain words.";
    for (int more = 0; more < 4 + i % 40; ++more) before += " " + asked();
    const std::string border = before + "<|im_end|>\n";
    borders->push_back(static_cast<int32_t>(tokenizer.Encode(border).size()) / kBlockTokens *
                       kBlockTokens);
    questions.push_back(tokenizer.Encode(border + "<|im_start|>user\n" + asked() +
                                         "<|im_end|>\n<|im_start|>assistant\n"));
  }
  return questions;
}

}  // namespace

int Divergence() {
  const std::string dir = NEXTGATE_SOURCE_DIR "/models/dictionary";
  const auto tokenizer = Must(engine::Tokenizer::Open(dir));
  Runner runner(dir);
  std::vector<int32_t> borders;
  const auto questions = Questions(*tokenizer, &borders);
  fmt::print(
      "{} questions behind system prompts of {}–{} tokens, resumed at the block before the "
      "question; KL "
      "of cold to warm over {} tokens of each answer\n\n"
      "| format | mean KL | median | p99 | largest | answers changed "
      "|\n|---|---|---|---|---|---|\n",
      questions.size(), *std::min_element(borders.begin(), borders.end()),
      *std::max_element(borders.begin(), borders.end()), kAnswerTokens);
  for (const StateFormat format : {StateFormat::kFp32, StateFormat::kBf16, StateFormat::kInt8}) {
    std::vector<double> kl;
    int changed = 0;
    for (size_t q = 0; q < questions.size(); ++q) {
      if (borders[q] == 0) continue;
      std::vector<std::vector<float>> cold;
      std::vector<std::vector<float>> warm;
      const auto answer = runner.Answer(questions[q], 0, format, kAnswerTokens, nullptr, &cold);
      const auto resumed =
          runner.Answer(questions[q], borders[q], format, kAnswerTokens, &answer, &warm);
      changed += answer != resumed ? 1 : 0;
      for (size_t i = 0; i < cold.size(); ++i) kl.push_back(Kl(cold[i], warm[i]));
    }
    double mean = 0;
    for (const double value : kl) mean += value / static_cast<double>(kl.size());
    fmt::print("| {} | {:.2e} | {:.2e} | {:.2e} | {:.2e} | {} |\n",
               kernels::StateFormatName(format), mean, Percentile(kl, 50), Percentile(kl, 99),
               Percentile(kl, 100), changed);
  }
  fmt::print(
      "\none answer of {} tokens, mean KL by thousand\n\n"
      "| format | first | second | third |\n|---|---|---|---|\n",
      kLongTokens);
  const auto longest =
      static_cast<size_t>(std::max_element(borders.begin(), borders.end()) - borders.begin());
  for (const StateFormat format : {StateFormat::kBf16, StateFormat::kInt8}) {
    std::vector<std::vector<float>> cold;
    std::vector<std::vector<float>> warm;
    const auto answer = runner.Answer(questions[longest], 0, format, kLongTokens, nullptr, &cold);
    runner.Answer(questions[longest], borders[longest], format, kLongTokens, &answer, &warm);
    double mean[3] = {};
    for (size_t i = 0; i < cold.size(); ++i) mean[i / 1000] += Kl(cold[i], warm[i]) / 1000;
    fmt::print("| {} | {:.2e} | {:.2e} | {:.2e} |\n", kernels::StateFormatName(format), mean[0],
               mean[1], mean[2]);
  }
  return 0;
}

}  // namespace nextgate::bench
