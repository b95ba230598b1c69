// The regression finds what labels are drawn from; entries and partitions differ from it as their labels say.
#include "cache/semantic/calibration.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace nextgate::cache {
namespace {

TEST(Calibration, FindsTheCurveThatLabelsAreDrawnFrom) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<> uniform;
  const auto truth = [](double cosine) { return 1 / (1 + std::exp(-(1 + 20 * (cosine - 0.8)))); };
  Calibration calibration;
  for (int i = 0; i < 20'000; ++i) {
    const double cosine = 0.5 + 0.5 * uniform(random);
    calibration.Learn(cosine, uniform(random) < truth(cosine));
  }
  for (const double cosine : {0.6, 0.7, 0.8, 0.9})
    EXPECT_NEAR(calibration.PRight(cosine, 0), truth(cosine), 0.03) << cosine;
}

TEST(Calibration, TheScoreIsTheCosineOfAnOrdinaryEntryThatIsAsLikelyRight) {
  const Calibration calibration;
  const double score = calibration.Score(0.85, 0.7);
  EXPECT_GT(score, 0.85);
  EXPECT_NEAR(calibration.PRight(score, 0), calibration.PRight(0.85, 0.7), 1e-12);
}

TEST(Calibration, OneSurpriseCountsMoreThanOneConfirmation) {
  Calibration::Residual right, wrong;
  right.Add(0.95, true);
  wrong.Add(0.95, false);
  EXPECT_GT(right.Intercept(1), 0);
  EXPECT_LT(wrong.Intercept(1), -10 * right.Intercept(1));
}

TEST(Calibration, APartitionThatIsAllThereIsDoesNotDifferFromAll) {
  Calibration::Residual all;
  for (int i = 0; i < 10; ++i) all.Add(0.9, i % 2 == 0);
  EXPECT_NEAR(all.Beyond(all).Intercept(1), 0, 1e-12);
}

TEST(Calibration, LowCosinesTeachNothing) {
  Calibration calibration;
  for (int i = 0; i < 100; ++i) calibration.Learn(0.1, true);
  EXPECT_EQ(calibration.PRight(0.8, 0), Calibration().PRight(0.8, 0));
}

}  // namespace
}  // namespace nextgate::cache
