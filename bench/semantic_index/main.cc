// The semantic tier's index under load: lookups at fixed times, whether or not earlier ones are done (open
// loop), while items are inserted and erased and the builder works; and what its graph overlooks.
//
//   bench_semantic_index [--vectors FILE] [--rows N] [--seconds S]
//
// FILE: float32 [n, 384], unit length (an encoder's output); without it, random directions. Rows beyond n are
// copies with noise (cosine about 0.94 to what they were made of). One query in two is a row with other noise,
// the rest are vectors that are not in the index. Results: bench/results/.
#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <random>
#include <set>

#include "bench/semantic_index/open_loop.h"

namespace nextgate::cache {
namespace {

constexpr size_t kDimension = 384;
constexpr float kNoise = 0.35F;
constexpr int64_t kNever = INT64_MAX;
const Hash128 kGroup = HashBytes("group");

double NowS() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void Normalise(std::vector<float>& vector) {
  double squares = 0;
  for (const float value : vector) squares += static_cast<double>(value) * value;
  for (float& value : vector) value = static_cast<float>(value / std::sqrt(squares));
}

std::vector<float> WithNoise(const std::vector<float>& from, std::mt19937_64& random) {
  std::normal_distribution<float> normal(0, kNoise / std::sqrt(static_cast<float>(kDimension)));
  std::vector<float> noisy = from;
  for (float& value : noisy) value += normal(random);
  Normalise(noisy);
  return noisy;
}

// `count` distinct vectors that go into the index, and `held_out` that do not.
struct Vectors {
  std::vector<std::vector<float>> rows;
  std::vector<std::vector<float>> held_out;
};

Vectors MakeVectors(const std::string& path, size_t count, size_t held_out,
                    std::mt19937_64& random) {
  Vectors vectors;
  std::ifstream file(path, std::ios::binary);
  std::vector<float> vector(kDimension);
  std::vector<std::vector<float>> real;
  while (file && file.read(reinterpret_cast<char*>(vector.data()), kDimension * sizeof(float)))
    real.push_back(vector);
  if (real.empty()) {
    std::normal_distribution<float> normal;
    for (size_t i = 0; i < count + held_out; ++i) {
      for (float& value : vector) value = normal(random);
      Normalise(vector);
      real.push_back(vector);
    }
  }
  std::shuffle(real.begin(), real.end(), random);
  for (size_t i = 0; i < held_out; ++i) {
    vectors.held_out.push_back(real.back());
    real.pop_back();
  }
  for (size_t i = 0; i < count; ++i)
    vectors.rows.push_back(i < real.size() ? real[i] : WithNoise(real[i % real.size()], random));
  return vectors;
}

std::vector<std::vector<float>> MakeQueries(const Vectors& vectors, std::mt19937_64& random) {
  std::vector<std::vector<float>> queries;
  for (const std::vector<float>& held_out : vectors.held_out) {
    queries.push_back(held_out);
    queries.push_back(WithNoise(vectors.rows[random() % vectors.rows.size()], random));
  }
  return queries;
}

Hash128 IdOf(size_t i) { return HashBytes({reinterpret_cast<const char*>(&i), sizeof(i)}); }

void Fill(QuestionIndex& index, const Vectors& vectors, size_t rows) {
  const double start = NowS();
  for (size_t i = 0; i < rows; ++i)
    index.Insert({kGroup, IdOf(i), vectors.rows[i], kNever, static_cast<int64_t>(i)});
  const double inserted = NowS();
  index.WaitForBuilder(std::chrono::hours(1));
  fmt::print("{} rows: inserted in {:.2f} s, graph after {:.1f} s more, {:.0f} MB\n", rows,
             inserted - start, NowS() - inserted, static_cast<double>(index.stats().bytes) / 1e6);
}

// What share of the k nearest that a list finds, the graph finds too; a neighbour as near as the k-th counts.
void PrintRecall(const QuestionIndex& index, const QuestionIndex& flat,
                 const std::vector<std::vector<float>>& queries) {
  double index_s = 0;
  double flat_s = 0;
  std::string line;
  for (const size_t k : {size_t{1}, size_t{4}}) {
    int64_t hits = 0;
    int64_t wanted = 0;
    for (const std::vector<float>& query : queries) {
      const double t0 = NowS();
      const auto found = index.Search(kGroup, query, k, 0);
      const double t1 = NowS();
      const auto truth = flat.Search(kGroup, query, k, 0);
      flat_s += NowS() - t1;
      index_s += t1 - t0;
      wanted += static_cast<int64_t>(truth.size());
      for (const auto& one : found)
        hits += !truth.empty() && one.cosine >= truth.back().cosine - 1e-6F;
    }
    line += fmt::format("recall@{} {:.4f}, ", k,
                        static_cast<double>(hits) / static_cast<double>(wanted));
  }
  const double lookups = 2.0 * static_cast<double>(queries.size());
  fmt::print("{}{} queries; mean lookup {:.3f} ms, flat {:.3f} ms\n", line, queries.size(),
             index_s / lookups * 1e3, flat_s / lookups * 1e3);
}

int RunAll(const std::string& path, size_t rows, double seconds) {
  std::mt19937_64 random(20261127);
  const auto inserts = static_cast<size_t>(seconds * 100) + 1'000;
  const Vectors vectors = MakeVectors(path, rows + 2 * inserts, 1'000, random);
  const auto queries = MakeQueries(vectors, random);
  QuestionIndex::Options options = {.dimension = static_cast<int64_t>(kDimension)};
  QuestionIndex index(options);
  options.graph_rows_min = INT64_MAX;
  QuestionIndex flat(options);
  fmt::print("{}, {} MB of vectors\n",
             path.empty() ? "random directions" : "an encoder's vectors with noisy copies",
             rows * kDimension * 2 / 1'000'000);
  Fill(index, vectors, rows);
  Fill(flat, vectors, rows);
  PrintRecall(index, flat, queries);

  OpenLoop::Plan plan = {.lookups_per_s = 200,
                         .threads = 16,
                         .inserts_per_s = 100,
                         .erases_per_s = 10,
                         .seconds = seconds,
                         .burst_at_s = seconds / 2,
                         .burst = 1'000};
  size_t next = rows;
  size_t oldest = 0;
  const auto insert = [&] {
    const QuestionIndex::Item item = {kGroup, IdOf(next), vectors.rows[next], kNever,
                                      static_cast<int64_t>(next)};
    index.Insert(item);
    flat.Insert(item);
    ++next;
  };
  const auto erase = [&] {
    const size_t i = oldest * 7 % rows;  // here and there
    index.Erase(IdOf(i));
    flat.Erase(IdOf(i));
    ++oldest;
  };
  OpenLoop(
      index, HashBytes("empty"), queries, [] {}, [] {})
      .Run("the machine alone: a group that is empty",
           {.lookups_per_s = 200, .threads = 16, .seconds = seconds / 4});
  OpenLoop(index, kGroup, queries, insert, erase).Run("sustained, with a burst", plan);
  PrintRecall(index, flat, queries);

  // A fifth goes at once: the builder writes all anew, while the same load goes on.
  for (size_t i = 0; i < rows / 4; ++i) {
    index.Erase(IdOf(i * 4 + 1));
    flat.Erase(IdOf(i * 4 + 1));
  }
  plan.burst = 0;
  OpenLoop(index, kGroup, queries, insert, erase).Run("while the group is compacted", plan);
  const auto stats = index.stats();
  fmt::print("graphs made or extended {}, compactions {}, tombstones {}\n", stats.builds,
             stats.compactions, stats.tombstones);
  PrintRecall(index, flat, queries);
  const Status status = index.CheckIntegrity();
  fmt::print("{}\n", status ? "books in order" : status.error().message);
  return status ? 0 : 1;
}

}  // namespace
}  // namespace nextgate::cache

int main(int argc, char** argv) {
  std::string path;
  size_t rows = 100'000;
  double seconds = 60;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--vectors") path = argv[i + 1];
    if (flag == "--rows") rows = std::stoul(argv[i + 1]);
    if (flag == "--seconds") seconds = std::stod(argv[i + 1]);
  }
  return nextgate::cache::RunAll(path, rows, seconds);
}
