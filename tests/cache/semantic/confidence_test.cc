// Intervals against scipy's numbers, and what a comparator's errors do to them.
#include "cache/semantic/confidence.h"

#include <gtest/gtest.h>

namespace nextgate::cache {
namespace {

TEST(Confidence, BetaCdfIsScipys) {
  EXPECT_NEAR(BetaCdf(0.3, 2, 5), 0.579825, 1e-12);
  EXPECT_NEAR(BetaCdf(0.5, 0.5, 0.5), 0.5, 1e-12);
  EXPECT_NEAR(BetaCdf(0.01, 1, 300), 0.9509591059287141, 1e-11);
  EXPECT_NEAR(BetaCdf(0.02, 37, 2000), 0.7434316069288858, 1e-10);
  EXPECT_EQ(BetaCdf(0, 2, 3), 0);
  EXPECT_EQ(BetaCdf(1, 2, 3), 1);
}

TEST(Confidence, ClopperPearsonIsScipys) {
  struct Case {
    double hits, count, confidence, low, high;
  };
  for (const Case& c : {Case{0, 10, 0.95, 0, 0.3084971078187607},
                        Case{5, 10, 0.95, 0.18708602844739855, 0.8129139715526015},
                        Case{3, 200, 0.95, 0.00310410762155351, 0.0432082819177126},
                        Case{12, 4000, 0.99, 0.0012367159972688081, 0.0060270743511025215},
                        Case{10, 10, 0.95, 0.6915028921812392, 1},
                        Case{7, 82, 0.95, 0.035012657702019626, 0.16800795000943566}}) {
    const Interval interval = ClopperPearson(c.hits, c.count, c.confidence);
    EXPECT_NEAR(interval.low, c.low, 1e-9) << c.hits << " of " << c.count;
    EXPECT_NEAR(interval.high, c.high, 1e-9) << c.hits << " of " << c.count;
  }
  EXPECT_EQ(ClopperPearson(0, 0, 0.95).high, 1);
}

TEST(Confidence, NoWrongOneOfNIsTheRuleOfThree) {
  // (1 - u)^n = alpha
  EXPECT_NEAR(UpperBound(0, 300, 0.05), 0.009936, 1e-6);
  EXPECT_EQ(UpperBound(7, 7, 0.05), 1);
}

TEST(Confidence, APerfectComparatorChangesNothing) {
  const WrongRate rate = CorrectedRate(3, 200, 0.95, {});
  const Interval plain = ClopperPearson(3, 200, 0.95);
  EXPECT_EQ(rate.estimate, 0.015);
  EXPECT_EQ(rate.interval.low, plain.low);
  EXPECT_EQ(rate.interval.high, plain.high);
}

TEST(Confidence, WhatAComparatorMissesIsAddedToTheHighEnd) {
  const ComparatorError misses = {.false_same = 100, .num_wrong = 1000};
  const WrongRate rate = CorrectedRate(30, 1000, 0.95, misses);
  EXPECT_NEAR(rate.estimate, 0.03 / 0.9, 1e-12);
  EXPECT_GT(rate.interval.high, ClopperPearson(30, 1000, 0.95).high / 0.9);
}

TEST(Confidence, RightAnswersCalledDifferentLowerTheEstimateButNeverTheHighEnd) {
  const ComparatorError strict = {.false_different = 20, .num_right = 1000};
  const WrongRate rate = CorrectedRate(30, 1000, 0.95, strict);
  EXPECT_NEAR(rate.estimate, 0.01 / 0.98, 1e-12);
  EXPECT_GE(rate.interval.high, ClopperPearson(30, 1000, 0.95).high);
  EXPECT_LT(rate.interval.low, ClopperPearson(30, 1000, 0.95).low);
  EXPECT_LE(rate.interval.low, rate.estimate);
}

TEST(Confidence, LabelsMayBeWrongLessOftenThanHitsIfSomeWrongOnesAreMissed) {
  EXPECT_EQ(ObservedErrorMax(0.02, 0.01, {}), 0.02);
  const ComparatorError misses = {.false_same = 10, .num_wrong = 100};
  EXPECT_NEAR(ObservedErrorMax(0.02, 0.01, misses), 0.02 * (1 - UpperBound(10, 100, 0.01)), 1e-15);
  EXPECT_LT(ObservedErrorMax(0.02, 0.01, misses), 0.02 * 0.9);
}

}  // namespace
}  // namespace nextgate::cache
