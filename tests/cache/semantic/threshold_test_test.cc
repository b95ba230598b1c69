// The betting test keeps its level whatever it is looked at, finds what is there, and the monitor alarms.
#include "cache/semantic/threshold_test.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace nextgate::cache {
namespace {

constexpr double kErrorMax = 0.05, kAlpha = 0.05;

TEST(ThresholdTest, BandsAreHundredthsFromTheTop) {
  EXPECT_EQ(ThresholdTest::BandOf(1.5), 0);
  EXPECT_EQ(ThresholdTest::BandOf(ThresholdTest::kTop), 0);
  EXPECT_EQ(ThresholdTest::BandOf(1.035), 1);
  EXPECT_EQ(ThresholdTest::BandOf(0.2), ThresholdTest::kBands);
  EXPECT_EQ(ThresholdTest::BandOf(-1), ThresholdTest::kBands);
  for (int band = 1; band < ThresholdTest::kBands; ++band) {
    EXPECT_EQ(ThresholdTest::BandOf(ThresholdTest::Threshold(band + 1)), band);
    EXPECT_EQ(ThresholdTest::BandOf(ThresholdTest::Threshold(band + 1) + 0.005), band);
  }
  EXPECT_GT(ThresholdTest::Threshold(0), 1.5);
}

TEST(ThresholdTest, WealthIsTheMeanOfFourLikelihoodRatios) {
  ThresholdTest test;
  for (int i = 0; i < 100; ++i) test.Add(0.9, i < 2);
  double expected = 0;
  for (const double stake : {0.1, 0.3, 0.5, 0.7}) {
    const double p = stake * kErrorMax;
    expected += std::pow(p / kErrorMax, 2) * std::pow((1 - p) / (1 - kErrorMax), 98) / 4;
  }
  EXPECT_NEAR(test.Wealth(ThresholdTest::BandOf(0.9) + 1, kErrorMax), expected, 1e-9 * expected);
  EXPECT_EQ(test.Wealth(ThresholdTest::BandOf(0.9), kErrorMax), 1);
}

// In how many of `streams` streams of `labels` labels something passes at any time, with the error of a
// score being error(score), which never falls where the score does, and nowhere within the bound.
template <class Error>
int FalsePasses(int streams, int labels, Error error, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<> uniform;
  int passes = 0;
  for (int stream = 0; stream < streams; ++stream) {
    ThresholdTest test;
    bool passed = false;
    for (int i = 0; i < labels && !passed; ++i) {
      const double score = 0.5 + 0.5 * uniform(random);
      test.Add(score, uniform(random) < error(score));
      passed = test.Passed(kErrorMax, kAlpha) > 0;
    }
    passes += passed ? 1 : 0;
  }
  return passes;
}

TEST(ThresholdTest, LookedAtAfterEveryLabelItRarelyPassesWhatIsAtTheBound) {
  // 0.05 is the promise: of 200 streams 10 on average, and more than 22 once in 5,000 such tests.
  EXPECT_LE(FalsePasses(
                200, 2000, [](double) { return kErrorMax; }, 1),
            22);
  EXPECT_LE(FalsePasses(
                200, 2000, [](double score) { return kErrorMax + 0.3 * (1 - score); }, 2),
            22);
}

TEST(ThresholdTest, ItKeepsItsLevelIfTheChanceOfBeingWrongMovesAboutTheBound) {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<> uniform;
  int passes = 0;
  for (int stream = 0; stream < 200; ++stream) {
    ThresholdTest test;
    bool passed = false;
    for (int i = 0; i < 2000; ++i) {
      // The worse half first of each pair, so that the average is never below the bound.
      test.Add(0.9, uniform(random) < (i % 2 == 0 ? 1.8 : 0.2) * kErrorMax);
      passed = passed || (i % 2 == 1 && test.Passed(kErrorMax, kAlpha) > 0);
    }
    passes += passed ? 1 : 0;
  }
  EXPECT_LE(passes, 22);
}

TEST(ThresholdTest, ItServesDownToWhereTheErrorOfAllAboveReachesTheBound) {
  // An error of 4 * (1 - score)^2 is 5 % on average above a score of 0.806.
  std::mt19937_64 random(4);
  std::uniform_real_distribution<> uniform;
  ThresholdTest test;
  for (int i = 0; i < 40'000; ++i) {
    const double score = 0.5 + 0.5 * uniform(random);
    test.Add(score, uniform(random) < 4 * (1 - score) * (1 - score));
  }
  const double threshold = ThresholdTest::Threshold(test.Passed(kErrorMax, kAlpha));
  EXPECT_GE(threshold, 0.80);
  EXPECT_LE(threshold, 0.85);
}

TEST(ThresholdTest, WhatPassedFailsAgainWhenLabelsTurnBad) {
  ThresholdTest test;
  for (int i = 0; i < 200; ++i) test.Add(0.9, false);
  EXPECT_GT(test.Passed(kErrorMax, kAlpha), ThresholdTest::BandOf(0.9));
  for (int i = 0; i < 20; ++i) test.Add(0.9, true);
  EXPECT_EQ(test.Passed(kErrorMax, kAlpha), 0);
}

TEST(ThresholdTest, LabelsBelowAllBandsSayNothing) {
  ThresholdTest test;
  for (int i = 0; i < 1000; ++i) test.Add(0.3, false);
  EXPECT_EQ(test.Passed(kErrorMax, kAlpha), 0);
}

TEST(DriftMonitor, AlarmsSoonWhenMuchIsWrongAndSeldomWhenAllIsWell) {
  std::mt19937_64 random(5);
  std::uniform_real_distribution<> uniform;
  DriftMonitor monitor;
  int alarms = 0;
  for (int i = 0; i < 20'000; ++i)
    alarms += monitor.Add(uniform(random) < 0.5 * kErrorMax, kErrorMax);
  EXPECT_LE(alarms, 3);
  int labels = 0;
  while (labels < 1000 && !monitor.Add(uniform(random) < 0.4, kErrorMax)) ++labels;
  EXPECT_LT(labels, 100);
}

}  // namespace
}  // namespace nextgate::cache
