// What QuestionIndex saves, and what it makes of files that are damaged or were never its own.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "cache/semantic/question_index.h"
#include "tests/cache/semantic/plain_index.h"
#include "tests/support/checkpoint_files.h"

namespace nextgate::cache {
namespace {

constexpr int64_t kDimension = 8;
constexpr int64_t kNever = INT64_MAX;
const Hash128 kLarge = HashBytes("large");

QuestionIndex::Options Tiny() {
  return {
      .dimension = kDimension, .entries_max = 5'000, .graph_rows_min = 200, .tail_rows_min = 50};
}

Hash128 IdOf(int i) { return HashBytes(std::to_string(i)); }

// A group with a graph, a tail, twins and tombstones, and 40 small ones.
void Fill(QuestionIndex& index, int large) {
  std::mt19937_64 random(7);
  std::vector<float> vector;
  for (int i = 0; i < large; ++i) {
    if (i % 10 != 9) vector = RandomUnit(random, kDimension);
    index.Insert({kLarge, IdOf(i), vector, i % 3 == 0 ? 1'000'000 + i : kNever, i});
  }
  EXPECT_TRUE(index.WaitForBuilder(std::chrono::seconds(60)));
  for (int i = 0; i < 30; ++i) index.Erase(IdOf(i * 3));
  for (int i = 0; i < 80; ++i)
    index.Insert({HashBytes("small" + std::to_string(i / 2)), IdOf(100'000 + i),
                  RandomUnit(random, kDimension), kNever, 10'000 + i});
  for (int i = 0; i < 20; ++i)
    index.Insert({kLarge, IdOf(200'000 + i), RandomUnit(random, kDimension), kNever, 20'000 + i});
}

std::string Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void Write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

// The bytes with the checksum that belongs to them.
std::string Sealed(std::string body) {
  const Hash128 hash = HashBytes(body);
  body.append(reinterpret_cast<const char*>(&hash.high), 8);
  body.append(reinterpret_cast<const char*>(&hash.low), 8);
  return body;
}

void ExpectSameAnswers(const QuestionIndex& a, const QuestionIndex& b) {
  std::mt19937_64 random(9);
  for (int i = 0; i < 300; ++i) {
    const Hash128 group = i % 3 == 0 ? HashBytes("small" + std::to_string(i % 40)) : kLarge;
    const auto query = RandomUnit(random, kDimension);
    const auto of_a = a.Search(group, query, 5, 1'000'100);
    const auto of_b = b.Search(group, query, 5, 1'000'100);
    ASSERT_EQ(of_a.size(), of_b.size());
    for (size_t j = 0; j < of_a.size(); ++j) {
      EXPECT_EQ(of_a[j].id, of_b[j].id);
      EXPECT_EQ(of_a[j].cosine, of_b[j].cosine);
    }
  }
}

class QuestionSnapshot : public ::testing::Test {
 protected:
  std::string Path() const { return dir_.path() + "/index"; }
  // Loads bytes into an index that has an item, which must still be there, alone, if they are refused.
  void ExpectDataLoss(const std::string& bytes) {
    Write(Path(), bytes);
    const auto header = index_.Load(Path());
    ASSERT_FALSE(header);
    EXPECT_EQ(header.error().code, ErrorCode::kDataLoss);
    ASSERT_EQ(index_.stats().entries, 1);
  }
  void SetUp() override {
    std::vector<float> vector(kDimension);
    vector[0] = 1;
    index_.Insert({HashBytes("mine"), IdOf(1), vector, kNever, 1});
  }

  const nextgate::testing::TempDir dir_;
  QuestionIndex index_{Tiny()};
};

TEST_F(QuestionSnapshot, WhatIsLoadedAnswersAsWhatWasSaved) {
  QuestionIndex saved(Tiny());
  Fill(saved, 1'000);
  EXPECT_EQ(saved.stats().graphs, 1);
  EXPECT_GT(saved.stats().tombstones, 0);
  const std::string header = std::string("position 17\0 and more", 21);
  ASSERT_TRUE(saved.Save(Path(), header));
  const auto loaded = index_.Load(Path());
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(*loaded, header);
  EXPECT_EQ(index_.stats().entries, saved.stats().entries);
  EXPECT_EQ(index_.stats().groups, 41);
  EXPECT_EQ(index_.stats().graph_rows, saved.stats().graph_rows);
  EXPECT_EQ(index_.stats().builds, 0);  // it came with the file
  const Status status = index_.CheckIntegrity();
  EXPECT_TRUE(status) << status.error().message;
  ExpectSameAnswers(saved, index_);

  // It goes on as the other does.
  for (QuestionIndex* index : {&saved, &index_}) {
    EXPECT_EQ(index->EraseBefore(100), 100 - 30);
    EXPECT_EQ(index->RemoveExpired(1'000'500), (498 - 102) / 3 + 1);
    EXPECT_TRUE(index->Erase(IdOf(200'000)));
    std::mt19937_64 random(11);
    for (int i = 0; i < 500; ++i)
      index->Insert(
          {kLarge, IdOf(300'000 + i), RandomUnit(random, kDimension), kNever, 30'000 + i});
    EXPECT_TRUE(index->WaitForBuilder(std::chrono::seconds(60)));
    EXPECT_TRUE(index->CheckIntegrity());
  }
  ExpectSameAnswers(saved, index_);
}

TEST_F(QuestionSnapshot, AnEmptyIndexAndASecondFileInTheSamePlace) {
  QuestionIndex saved(Tiny());
  ASSERT_TRUE(index_.Save(Path(), "one"));
  ASSERT_TRUE(saved.Save(Path(), ""));
  EXPECT_EQ(index_.Load(Path()).value(), "");
  EXPECT_EQ(index_.stats().entries, 0);
  // No draft is left beside it.
  EXPECT_EQ(
      std::distance(
          std::filesystem::directory_iterator(std::filesystem::path(Path()).parent_path()), {}),
      1);
}

TEST_F(QuestionSnapshot, LoadsNoMoreThanItMayHold) {
  QuestionIndex saved(Tiny());
  Fill(saved, 1'000);
  ASSERT_TRUE(saved.Save(Path(), ""));
  QuestionIndex::Options options = Tiny();
  options.entries_max = 50;
  QuestionIndex small(options);
  ASSERT_TRUE(small.Load(Path()));
  EXPECT_EQ(small.stats().entries, 50);
  EXPECT_TRUE(small.CheckIntegrity());
  EXPECT_EQ(small.EraseBefore(10'000), 0);  // the oldest went
}

TEST_F(QuestionSnapshot, NoFileAndNoPlaceForOne) {
  EXPECT_EQ(index_.Load(Path()).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(index_.Save(Path() + "/below/nothing", "").error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(index_.stats().entries, 1);
}

TEST_F(QuestionSnapshot, AnotherDimensionIsDataLoss) {
  QuestionIndex other({.dimension = kDimension + 1});
  ASSERT_TRUE(other.Save(Path(), ""));
  EXPECT_EQ(index_.Load(Path()).error().code, ErrorCode::kDataLoss);
}

TEST_F(QuestionSnapshot, EveryFlippedByteAndEveryShorterFileIsDataLoss) {
  QuestionIndex saved(Tiny());
  Fill(saved, 300);
  ASSERT_TRUE(saved.Save(Path(), "header"));
  const std::string good = Read(Path());
  std::mt19937_64 random(std::random_device{}());
  const size_t step = 1 + random() % 7;
  for (size_t i = 0; i < good.size(); i += i < 256 ? 1 : 97 * step) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ (1 + random() % 255));
    ExpectDataLoss(bad);
    ExpectDataLoss(good.substr(0, i));
  }
  ExpectDataLoss(good + "x");
}

// Whoever makes a file on purpose computes the checksum too: then the fields must hold, or what is returned is
// wrong at worst.
TEST_F(QuestionSnapshot, FilesMadeOnPurposeCrashNothing) {
  QuestionIndex saved(Tiny());
  Fill(saved, 300);
  ASSERT_TRUE(saved.Save(Path(), "header"));
  const std::string good = Read(Path());
  const std::string body = good.substr(0, good.size() - 16);
  std::mt19937_64 random(std::random_device{}());
  const std::vector<uint32_t> odd = {0,      1,          2,          127,        255,       256,
                                     65'536, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffffe};
  int refused = 0;
  for (int i = 0; i < 1'500; ++i) {
    std::string bad = body;
    if (i % 10 == 0) {
      bad.resize(random() % bad.size());
    } else {
      // Every third change hits the front or the end, where the counts and the graph's fields are.
      for (uint64_t changes = 1 + random() % 3; changes > 0; --changes) {
        const size_t at = i % 3 == 0 ? random() % 200 : random() % (bad.size() - 4);
        const uint32_t value =
            random() % 2 == 0 ? odd[random() % odd.size()] : static_cast<uint32_t>(random());
        std::memcpy(bad.data() + at, &value, 1 + random() % 4);
      }
    }
    Write(Path(), Sealed(bad));
    QuestionIndex index(Tiny());
    const auto header = index.Load(Path());
    if (!header) {
      EXPECT_EQ(header.error().code, ErrorCode::kDataLoss);
      ++refused;
      continue;
    }
    const Status status = index.CheckIntegrity();
    ASSERT_TRUE(status) << status.error().message;
    for (int j = 0; j < 3; ++j) index.Search(kLarge, RandomUnit(random, kDimension), 5, 0);
    for (int j = 0; j < 120; ++j)
      index.Insert({kLarge, IdOf(j), RandomUnit(random, kDimension), kNever, j});
    EXPECT_TRUE(index.WaitForBuilder(std::chrono::seconds(60)));
    index.Search(kLarge, RandomUnit(random, kDimension), 5, 0);
    index.EraseBefore(kNever);
  }
  EXPECT_GT(refused, 150);
}

TEST_F(QuestionSnapshot, AnyBytesAreDataLoss) {
  std::mt19937_64 random(std::random_device{}());
  for (int i = 0; i < 1'000; ++i) {
    std::string bytes(random() % 600, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    if (i % 2 == 0) {
      const uint32_t version_and_dimension[] = {1, kDimension};
      bytes =
          "nextgqix" + std::string(reinterpret_cast<const char*>(version_and_dimension), 8) + bytes;
      if (i % 4 == 0 && bytes.size() >= 24) std::memset(bytes.data() + 17, 0, 7);  // a short header
      bytes = Sealed(bytes);
    }
    ExpectDataLoss(bytes);
  }
}

}  // namespace
}  // namespace nextgate::cache
