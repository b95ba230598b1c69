// Encoding and decoding in MB/s of text on one core, and how long a tokenizer takes to open.
//
//   build/release/bench/bench_tokenizer
//
// The tokenizer is the one in $NEXTGATE_TOKENIZER, else the real Qwen3 one that
// scripts/fetch_test_data.sh puts into the prefix of dependencies, else the dictionary's (the label
// says which). Texts are longer than what the segment memo takes, so nothing but words is
// remembered.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

#include "base/check.h"
#include "engine/tokenizer/detokenizer.h"
#include "engine/tokenizer/tokenizer.h"

namespace nextgate::engine {
namespace {

namespace fs = std::filesystem;

constexpr size_t kTextBytes = 4 << 20;

std::string Directory() {
  if (const char* given = std::getenv("NEXTGATE_TOKENIZER")) return given;
  const fs::path real = fs::path(NEXTGATE_DEPS_PREFIX) / "share/qwen3";
  if (fs::exists(real / "tokenizer.json")) return real.string();
  return (fs::path(NEXTGATE_SOURCE_DIR) / "models/dictionary").string();
}

const Tokenizer& Subject() {
  static const std::unique_ptr<Tokenizer> tokenizer = [] {
    auto opened = Tokenizer::Open(Directory());
    CHECK(opened.has_value(), "%s", opened ? "" : opened.error().message.c_str());
    return std::move(*opened);
  }();
  return *tokenizer;
}

std::string ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string Repeated(const std::string& unit) {
  CHECK(!unit.empty());
  std::string text;
  while (text.size() < kTextBytes) text += unit;
  return text;
}

// English of many different words: the definitions of WordNet that the small model learnt.
std::string Prose() {
  const std::string table =
      ReadFile(fs::path(NEXTGATE_SOURCE_DIR) / "models/dictionary/glosses.tsv");
  std::string text;
  for (const char c : table) text += c == '\t' ? ' ' : c;
  return Repeated(text);
}

// Our own sources, but for files that spell added tokens: those would cut the text into segments
// that the memo takes.
std::string Code() {
  const fs::path root = NEXTGATE_SOURCE_DIR;
  std::string text;
  for (const char* folder : {"base", "engine", "gateway", "cache", "kernels", "tests"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      const std::string ending = entry.path().extension().string();
      if (ending != ".cc" && ending != ".h" && ending != ".py") continue;
      if (entry.path().stem() == "unicode_tables") continue;
      const std::string file = ReadFile(entry.path());
      const auto spells = [&](const char* token) { return file.find(token) != std::string::npos; };
      if (!spells("|>") && !spells("think>") && !spells("<tool_") && !spells("</tool_"))
        text += file;
    }
  }
  return Repeated(text);
}

// Sentences of random common characters: harder than real text, whose words repeat.
std::string Chinese() {
  std::mt19937 random(7);
  std::string text;
  while (text.size() < kTextBytes) {
    for (int n = 4 + random() % 16; n > 0; --n) {
      const uint32_t c = 0x4E00 + random() % 0x1A00;
      text += static_cast<char>(0xE0 | c >> 12);
      text += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
      text += static_cast<char>(0x80 | (c & 0x3F));
    }
    text += random() % 3 ? "，" : "。";
  }
  return text;
}

// Lower-case words that no vocabulary and no cache has.
std::string NeverSeenWords() {
  std::mt19937 random(11);
  std::string text;
  while (text.size() < kTextBytes) {
    for (int n = 3 + random() % 10; n > 0; --n) text += static_cast<char>('a' + random() % 26);
    text += ' ';
  }
  return text;
}

void Encode(benchmark::State& state, std::string (*make)()) {
  const std::string text = make();
  size_t num_ids = 0;
  for (auto _ : state) {
    const auto ids = Subject().Encode(text);
    num_ids = ids.size();
    benchmark::DoNotOptimize(ids.data());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
  state.counters["bytes_per_token"] =
      static_cast<double>(text.size()) / static_cast<double>(num_ids);
  state.SetLabel(Directory());
}
BENCHMARK_CAPTURE(Encode, prose, Prose)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Encode, chinese, Chinese)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Encode, code, Code)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Encode, never_seen_words, NeverSeenWords)->Unit(benchmark::kMillisecond);

// One megabyte (and what makes it too long for the memo) of one character is one word: the heap at
// work.
void EncodeOneRun(benchmark::State& state) {
  const std::string text(1'050'000, static_cast<char>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(Subject().Encode(text).data());
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}
BENCHMARK(EncodeOneRun)->Arg('a')->Arg(' ')->Arg('=')->Unit(benchmark::kMillisecond);

// A system prompt of 32 KB that came before.
void EncodeRemembered(benchmark::State& state) {
  const std::string text = Prose().substr(0, 32 << 10);
  for (auto _ : state) benchmark::DoNotOptimize(Subject().Encode(text).data());
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}
BENCHMARK(EncodeRemembered)->Unit(benchmark::kMicrosecond);

void DetokenizeStepwise(benchmark::State& state) {
  const auto ids = Subject().Encode(Prose());
  for (auto _ : state) {
    Detokenizer detokenizer(Subject(), true);
    for (const int32_t id : ids) benchmark::DoNotOptimize(detokenizer.Add(id).data());
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * ids.size()));
}
BENCHMARK(DetokenizeStepwise)->Unit(benchmark::kMillisecond);

void Open(benchmark::State& state) {
  const std::string directory = Directory();
  for (auto _ : state) benchmark::DoNotOptimize(Tokenizer::Open(directory).has_value());
  state.SetLabel(directory);
}
BENCHMARK(Open)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace nextgate::engine
