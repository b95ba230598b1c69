// The sentence encoder on all-MiniLM-L6-v2 (scripts/models.sh minilm): one sentence of 16 tokens on
// one thread, a batch of 32 of them on two, one of the maximum length, and the tokenizer alone.
// `p50_ms` and `p99_ms` are over single calls.
//
//   build/release/bench/bench_encoder
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "base/check.h"
#include "engine/encoder/sentence_encoder.h"

namespace nextgate::engine {
namespace {

const std::string kDirectory = NEXTGATE_DEPS_PREFIX "/share/minilm";
const std::string kSentence = "How do I reset the password of my account if I lost it?";  // 16 ids

std::string LongText() {
  std::string text;
  for (int i = 0; i < 40; ++i) text += kSentence + " ";
  return text;
}

void Encode(benchmark::State& state, const std::vector<std::string>& texts, int threads) {
  auto opened = SentenceEncoder::Open(kDirectory, threads);
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

void OneSentenceOneThread(benchmark::State& state) { Encode(state, {kSentence}, 1); }
void BatchOf32TwoThreads(benchmark::State& state) {
  Encode(state, std::vector<std::string>(32, kSentence), 2);
}
void LongestTextOneThread(benchmark::State& state) { Encode(state, {LongText()}, 1); }

void WordPieceAlone(benchmark::State& state) {
  const auto tokenizer = TextTokenizer::Open(kDirectory);
  CHECK(tokenizer.has_value(), "%s", tokenizer ? "" : tokenizer.error().message.c_str());
  const std::string text = LongText();
  for (auto _ : state) benchmark::DoNotOptimize((*tokenizer)->Encode(text, INT32_MAX));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text.size()));
}

BENCHMARK(OneSentenceOneThread)->Unit(benchmark::kMillisecond)->UseRealTime()->MinTime(3);
BENCHMARK(BatchOf32TwoThreads)->Unit(benchmark::kMillisecond)->UseRealTime()->MinTime(5);
BENCHMARK(LongestTextOneThread)->Unit(benchmark::kMillisecond)->UseRealTime()->MinTime(3);
BENCHMARK(WordPieceAlone)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace nextgate::engine
