// The sentence encoder on each model that scripts/models.sh put there (minilm, me5): one sentence of
// 16 tokens on one thread, a batch of 32 of them on two, one of the maximum length, and the tokenizer
// alone. `p50_ms` and `p99_ms` are over single calls.
//
//   build/release/bench/bench_encoder
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "engine/encoder/sentence_encoder.h"

namespace nextgate::engine {
namespace {

struct Model {
  std::string name;
  std::string directory;
  std::string sentence;  // 16 ids, the model's prefix included
};

std::vector<Model> InstalledModels() {
  const std::string share = NEXTGATE_DEPS_PREFIX "/share/";
  std::vector<Model> models = {
      {"minilm", share + "minilm", "How do I reset the password of my account if I lost it?"},
      {"me5", share + "me5", "How do I reset the password of my own account?"},
  };
  std::erase_if(models, [](const Model& model) {
    return !std::filesystem::exists(model.directory + "/tokenizer.json");
  });
  return models;
}

std::string LongText(const Model& model) {
  std::string text;
  for (int i = 0; i < 60; ++i) text += model.sentence + " ";
  return text;
}

void Encode(benchmark::State& state, const Model& model, const std::vector<std::string>& texts,
            int threads) {
  auto opened = SentenceEncoder::Open(model.directory, threads);
  CHECK(opened.has_value(), "%s", opened ? "" : opened.error().message.c_str());
  std::vector<double> milliseconds;
  int64_t tokens = 0;
  for (auto _ : state) {
    const auto begin = std::chrono::steady_clock::now();
    const auto embeddings = (*opened)->Encode(texts);
    const auto taken = std::chrono::steady_clock::now() - begin;
    milliseconds.push_back(std::chrono::duration<double, std::milli>(taken).count());
    CHECK(embeddings.has_value());
    tokens = 0;
    for (const SentenceEmbedding& embedding : *embeddings) tokens += embedding.num_tokens;
  }
  std::ranges::sort(milliseconds);
  state.counters["tokens"] = static_cast<double>(tokens);
  state.counters["p50_ms"] = milliseconds[milliseconds.size() / 2];
  state.counters["p99_ms"] = milliseconds[milliseconds.size() * 99 / 100];
}

void TokenizerAlone(benchmark::State& state, const Model& model) {
  const auto tokenizer = TextTokenizer::Open(model.directory);
  CHECK(tokenizer.has_value(), "%s", tokenizer ? "" : tokenizer.error().message.c_str());
  const std::string text = LongText(model);
  for (auto _ : state) benchmark::DoNotOptimize((*tokenizer)->Encode(text, INT32_MAX));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text.size()));
}

void RegisterCases(const Model& model) {
  const auto encode = [&](const std::string& name, std::vector<std::string> texts, int threads) {
    benchmark::RegisterBenchmark(
        (model.name + "/" + name).c_str(),
        [model, texts = std::move(texts), threads](benchmark::State& state) {
          Encode(state, model, texts, threads);
        })
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime()
        ->MinTime(4);
  };
  encode("one_sentence_one_thread", {model.sentence}, 1);
  encode("batch_of_32_two_threads", std::vector<std::string>(32, model.sentence), 2);
  encode("longest_text_one_thread", {LongText(model)}, 1);
  benchmark::RegisterBenchmark((model.name + "/tokenizer_alone").c_str(),
                               [model](benchmark::State& state) { TokenizerAlone(state, model); })
      ->Unit(benchmark::kMicrosecond);
}

}  // namespace
}  // namespace nextgate::engine

int main(int argc, char** argv) {
  const auto models = nextgate::engine::InstalledModels();
  CHECK(!models.empty(), "no model: scripts/models.sh minilm, scripts/models.sh me5");
  for (const auto& model : models) nextgate::engine::RegisterCases(model);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
