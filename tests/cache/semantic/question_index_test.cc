#include "cache/semantic/question_index.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <set>

#include "tests/cache/semantic/plain_index.h"

namespace nextgate::cache {
namespace {

using Neighbour = QuestionIndex::Neighbour;
constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

Hash128 HashOf(const std::string& text) { return HashBytes(text); }

QuestionIndex::Options Tiny(int64_t dimension) {
  return {.dimension = dimension,
          .graph_rows_min = 300,
          .tail_rows_min = 60,
          .tail_share = 8,
          .build_rows_max = 250};
}

std::vector<float> Axis(size_t dimension, size_t i, float length = 1) {
  std::vector<float> vector(dimension);
  vector[i] = length;
  return vector;
}

TEST(QuestionIndex, FindsTheNearestOfItsGroupBestFirst) {
  QuestionIndex index({.dimension = 3});
  const Hash128 group = HashOf("g");
  const std::vector<float> near = {0.8F, 0.6F, 0};
  index.Insert({group, HashOf("x"), Axis(3, 0), kNever, 1});
  index.Insert({group, HashOf("near"), near, kNever, 2});
  index.Insert({group, HashOf("z"), Axis(3, 2), kNever, 3});
  index.Insert({HashOf("other"), HashOf("o"), Axis(3, 0), kNever, 4});

  const auto found = index.Search(group, Axis(3, 0), 2, 0);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].id, HashOf("x"));
  EXPECT_NEAR(found[0].cosine, 1, 1e-3);
  EXPECT_EQ(found[1].id, HashOf("near"));
  EXPECT_NEAR(found[1].cosine, 0.8, 1e-3);
  EXPECT_EQ(index.Search(group, Axis(3, 0), 9, 0).size(), 3U);
  EXPECT_EQ(found[0].vector, Axis(3, 0));
  EXPECT_TRUE(index.Search(HashOf("none"), Axis(3, 0), 9, 0).empty());
  EXPECT_TRUE(index.Search(group, Axis(3, 0), 0, 0).empty());
  EXPECT_EQ(index.stats().entries, 4);
  EXPECT_EQ(index.stats().groups, 2);
}

TEST(QuestionIndex, EqualCosinesComeByIdWhateverTheOrderOfInsertion) {
  const Hash128 group = HashOf("g");
  const Hash128 low = {.high = 1, .low = 0};
  const Hash128 high = {.high = 2, .low = 0};
  for (const bool low_first : {true, false}) {
    QuestionIndex index({.dimension = 2});
    index.Insert({group, low_first ? low : high, Axis(2, 0), kNever, 1});
    index.Insert({group, low_first ? high : low, Axis(2, 0), kNever, 2});
    EXPECT_EQ(index.Search(group, Axis(2, 0), 1, 0)[0].id, low);
  }
}

TEST(QuestionIndex, AnItemExpiresAtItsInstant) {
  QuestionIndex index({.dimension = 2});
  index.Insert({HashOf("g"), HashOf("a"), Axis(2, 0), 1000, 1});
  EXPECT_EQ(index.Search(HashOf("g"), Axis(2, 0), 1, 999).size(), 1U);
  EXPECT_TRUE(index.Search(HashOf("g"), Axis(2, 0), 1, 1000).empty());
  EXPECT_EQ(index.RemoveExpired(999), 0);
  EXPECT_EQ(index.RemoveExpired(1000), 1);
  EXPECT_EQ(index.stats().entries, 0);
  EXPECT_EQ(index.stats().groups, 0);
}

TEST(QuestionIndex, AnIdIsReplacedInItsGroupAndErasedInAll) {
  QuestionIndex index({.dimension = 2});
  index.Insert({HashOf("g"), HashOf("a"), Axis(2, 0), kNever, 1});
  index.Insert({HashOf("h"), HashOf("a"), Axis(2, 0), kNever, 2});
  index.Insert({HashOf("g"), HashOf("a"), Axis(2, 1), kNever, 3});
  EXPECT_EQ(index.stats().entries, 2);
  const auto found = index.Search(HashOf("g"), Axis(2, 1), 4, 0);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_NEAR(found[0].cosine, 1, 1e-3);
  EXPECT_TRUE(index.Erase(HashOf("a")));
  EXPECT_FALSE(index.Erase(HashOf("a")));
  EXPECT_TRUE(index.Search(HashOf("g"), Axis(2, 1), 4, 0).empty());
  EXPECT_TRUE(index.Search(HashOf("h"), Axis(2, 0), 4, 0).empty());
}

TEST(QuestionIndex, WhatHasNoDirectionIsNotKeptAndFindsNothing) {
  QuestionIndex index({.dimension = 2});
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<std::vector<float>> odd = {{0, 0}, {nan, 0}, {0, INFINITY}, {3, 0}};
  index.Insert({HashOf("g"), HashOf("good"), Axis(2, 0), kNever, 1});
  for (const std::vector<float>& vector : odd) {
    index.Insert({HashOf("g"), HashOf("odd"), Axis(2, 0), kNever, 2});
    index.Insert({HashOf("g"), HashOf("odd"), vector, kNever, 3});  // takes away what it had
    EXPECT_EQ(index.stats().entries, 1);
  }
  EXPECT_EQ(index.stats().refused, 4);
  EXPECT_TRUE(index.Search(HashOf("g"), odd[0], 1, 0).empty());
  EXPECT_TRUE(index.Search(HashOf("g"), odd[1], 1, 0).empty());
  EXPECT_TRUE(index.Search(HashOf("g"), odd[2], 1, 0).empty());
}

TEST(QuestionIndex, BeyondItsLimitTheLowestPositionsGo) {
  QuestionIndex index({.dimension = 2, .entries_max = 3});
  const std::vector<int64_t> positions = {5, 2, 9, 7, 1};
  for (const int64_t position : positions)
    index.Insert({HashOf("g"), HashOf(std::to_string(position)), Axis(2, 0), kNever, position});
  std::set<Hash128> left;
  for (const Neighbour& found : index.Search(HashOf("g"), Axis(2, 0), 9, 0)) left.insert(found.id);
  EXPECT_EQ(left, (std::set<Hash128>{HashOf("5"), HashOf("9"), HashOf("7")}));
  EXPECT_EQ(index.stats().evictions, 2);
  EXPECT_EQ(index.EraseBefore(9), 2);
  EXPECT_EQ(index.stats().entries, 1);
}

// The same question stored over and over, in one group, leaves no heap of dead rows behind.
TEST(QuestionIndex, ASmallGroupDoesNotGrowByReplacement) {
  QuestionIndex index({.dimension = 64});
  for (int64_t i = 0; i < 10'000; ++i)
    index.Insert({HashOf("g"), HashOf(std::to_string(i % 3)), Axis(64, i % 64), kNever, i});
  EXPECT_EQ(index.stats().entries, 3);
  EXPECT_LT(index.stats().tombstones, 16);
  EXPECT_LT(index.stats().bytes, 8'192);
}

// A graph around which all is dead still leads to what lives: copies of one vector, and vectors that lie closer to
// the query than the living one does.
TEST(QuestionIndex, TheDeadDoNotHideTheLiving) {
  for (const float noise : {0.0F, 0.2F}) {
    QuestionIndex index(Tiny(24));
    std::mt19937_64 random(3);
    std::normal_distribution<float> normal(0, noise / std::sqrt(24.0F));
    constexpr int kDead = 3'000;
    for (int i = 0; i < kDead; ++i) {
      std::vector<float> vector = Axis(24, 0);
      for (float& value : vector) value += normal(random);
      double squares = 0;
      for (const float value : vector) squares += static_cast<double>(value) * value;
      for (float& value : vector) value = static_cast<float>(value / std::sqrt(squares));
      index.Insert({HashOf("g"), HashOf(std::to_string(i)), vector, i == 1 ? 500 : kNever, i});
    }
    std::vector<float> other = Axis(24, 0, 0.6F);
    other[1] = 0.8F;
    index.Insert({HashOf("g"), HashOf("other"), other, kNever, kDead});
    for (int i = 0; i < 700; ++i)
      index.Insert({HashOf("g"), HashOf("far" + std::to_string(i)), Axis(24, 2 + i % 22), kNever,
                    kDead + 1 + i});
    ASSERT_TRUE(index.WaitForBuilder(std::chrono::seconds(60)));
    ASSERT_EQ(index.stats().graphs, 1);
    for (int i = 0; i < kDead; ++i)
      if (i != 1) index.Erase(HashOf(std::to_string(i)));
    const auto both = index.Search(HashOf("g"), Axis(24, 0), 2, 499);
    ASSERT_EQ(both.size(), 2U);
    EXPECT_EQ(both[0].id, HashOf("1"));
    EXPECT_EQ(both[1].id, HashOf("other"));
    const auto one = index.Search(HashOf("g"), Axis(24, 0), 1, 500);
    ASSERT_EQ(one.size(), 1U);
    EXPECT_EQ(one[0].id, HashOf("other"));
    ASSERT_TRUE(index.WaitForBuilder(std::chrono::seconds(60)));
    EXPECT_GT(index.stats().compactions, 0);
    EXPECT_LT(index.stats().tombstones, 600);
    EXPECT_EQ(index.Search(HashOf("g"), Axis(24, 0), 1, 500)[0].id, HashOf("other"));
  }
}

// Random operations on many groups, with sizes so small that tails, graphs, extensions and compactions
// all happen, held against a list.
void Compare(uint64_t seed, int64_t dimension, int operations, bool wait) {
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  const QuestionIndex::Options options = [&] {
    QuestionIndex::Options tiny = Tiny(dimension);
    tiny.entries_max = 4'000;
    return tiny;
  }();
  QuestionIndex index(options);
  PlainIndex plain(options.entries_max);
  std::mt19937_64 random(seed);
  const auto below = [&](uint64_t n) { return random() % n; };
  const auto id_of = [&](uint64_t i) { return HashOf("id" + std::to_string(i)); };
  const auto group_of = [&](uint64_t i) { return HashOf("group" + std::to_string(i)); };
  int64_t now_ms = 1'000'000;
  int64_t position = 0;
  int64_t wanted = 0;
  int64_t overlooked = 0;
  for (int i = 0; i < operations; ++i) {
    const uint64_t what = below(1'000);
    // Half of all lands in one group, the rest is spread thin.
    const uint64_t group = below(2) == 0 ? 0 : 1 + below(60);
    if (what < 700) {
      const auto vector = RandomUnit(random, dimension);
      const int64_t expires = below(3) == 0 ? now_ms + static_cast<int64_t>(below(3'000)) : kNever;
      position += static_cast<int64_t>(below(3)) - (below(50) == 0 ? 5 : 0);
      const QuestionIndex::Item item = {group_of(group), id_of(group * 10'000 + below(6'000)),
                                        vector, expires, position};
      index.Insert(item);
      plain.Insert(item);
    } else if (what < 800) {
      const Hash128 id = id_of(group * 10'000 + below(6'000));
      EXPECT_EQ(index.Erase(id), plain.Erase(id));
    } else if (what < 803) {
      const int64_t before = position - static_cast<int64_t>(below(4'000));
      EXPECT_EQ(index.EraseBefore(before), plain.EraseBefore(before));
    } else if (what < 810) {
      EXPECT_EQ(index.RemoveExpired(now_ms), plain.RemoveExpired(now_ms));
    } else if (what == 810 && below(10) == 0) {
      index.Clear();
      plain.Clear();
    } else {
      const auto query = RandomUnit(random, dimension);
      const size_t k = 1 + below(5);
      const auto found = index.Search(group_of(group), query, k, now_ms);
      const auto truth = plain.Search(group_of(group), query, k, now_ms);
      ASSERT_EQ(found.size(), truth.size());
      wanted += static_cast<int64_t>(truth.size());
      overlooked += plain.CountWrong(group_of(group), query, found, truth, now_ms);
    }
    now_ms += static_cast<int64_t>(below(3));
    if (wait && i % 512 == 0) {
      EXPECT_TRUE(index.WaitForBuilder(std::chrono::seconds(60)));
    }
    if (i % 4'096 == 0) {
      const Status status = index.CheckIntegrity();
      ASSERT_TRUE(status) << status.error().message;
    }
  }
  EXPECT_TRUE(index.WaitForBuilder(std::chrono::seconds(60)));
  const Status status = index.CheckIntegrity();
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_EQ(index.stats().entries, plain.size());
  EXPECT_GT(index.stats().builds, 0);
  if (wait) {
    EXPECT_GT(index.stats().compactions, 0);
  }
  EXPECT_LE(overlooked, wanted / 200) << "of " << wanted;
}

TEST(QuestionIndex, AnswersAsAListDoesWhateverIsDone) {
  for (const uint64_t seed : {1, 2, 3}) Compare(seed, 24, 30'000, true);
}

TEST(QuestionIndex, AnswersAsAListDoesWhileGraphsAreBuilt) {
  Compare(std::random_device{}(), 40, 30'000, false);
}

}  // namespace
}  // namespace nextgate::cache
